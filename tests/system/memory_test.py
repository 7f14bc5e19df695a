"""After start hubd maps no more memory, whatever is asked of it."""

import re
import unittest

import hub_rig
import sync_rig

REQUESTS = 10000


class Memory(sync_rig.SyncCase):
    limit_seconds = 180

    def mappings(self):
        """What is mapped: addresses, rights and files, without the kernel's own pages."""
        with open("/proc/%d/maps" % self.hub.pid, encoding="ascii") as maps:
            return [line.split()[0:2] + line.split()[5:6] for line in maps
                    if "[vvar" not in line and "[vdso" not in line]

    def resident_kib(self, name):
        with open("/proc/%d/smaps_rollup" % self.hub.pid, encoding="ascii") as rollup:
            return int(re.search(r"^%s:\s+(\d+) kB" % name, rollup.read(), re.MULTILINE).group(1))

    def spend(self, count):
        """Requests of every kind on a few kept connections."""
        clients = [self.new_client() for _ in range(4)]
        identity = None
        for number in range(count // 4):
            client = clients[number % len(clients)]
            answer = client.post("/capability-requests/enqueue", hub_rig.order("small"))
            if answer.status == 202:
                identity = answer.body["process_id"]
            client.get("/processes/" + identity)
            client.get("/processes/%s/events" % identity)
            client.get(("/processes?limit=5", "/phones", "/metrics", "/capabilities")[number % 4])
        for client in clients:
            client.close()

    def test_mappings_stay_as_they_are_under_ten_thousand_requests(self):
        _, first = self.start_phones(4)
        self.start_upstream()
        self.start_hub(range(first, first + 4), size="64MiB")
        self.wait_phones("SIM001", "SIM002", "SIM003", "SIM004")
        self.spend(400)
        before = self.mappings()
        resident = self.resident_kib("Rss")
        self.assertFalse([one for one in before if one[-1] == "[heap]"])
        self.spend(REQUESTS)
        self.wait_caught_up()
        self.assertEqual(self.mappings(), before)
        self.assertEqual(self.metric("hub_arena_failures_total"), 0)
        self.assertGreater(self.metric("hub_arena_peak_bytes"), 0)  # the TLS link lives there
        print("note: resident %d KiB, after %d requests %d KiB" % (
            resident, REQUESTS, self.resident_kib("Rss")))


if __name__ == "__main__":
    unittest.main()
