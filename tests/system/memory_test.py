"""After start hubd maps no more memory, whatever is asked of it."""

import re
import unittest

import hub_rig
import sync_rig

REQUESTS = 10000
TOUCHED_KIB = 6 * 1024  # 2500 processes of about 1.5 KiB, and some slack


class Memory(sync_rig.SyncCase):
    limit_seconds = 180
    has_upstream = True

    def config_text(self, phones=(), **changes):
        if self.has_upstream:
            return super().config_text(phones, **changes)
        return hub_rig.HubCase.config_text(self, phones, **changes)

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

    def start_hub_with_phones(self):
        _, first = self.start_phones(4)
        self.start_hub(range(first, first + 4), size="64MiB")
        self.wait_phones("SIM001", "SIM002", "SIM003", "SIM004")
        self.spend(400)

    def assert_nothing_is_mapped_by(self, work):
        before = self.mappings()
        resident = self.resident_kib("Rss")
        self.assertFalse([one for one in before if one[-1] == "[heap]"])
        work()
        grown = self.resident_kib("Rss") - resident
        self.assertEqual(self.mappings(), before)
        self.assertEqual(self.metric("hub_arena_failures_total"), 0)
        print("note: resident %d KiB, after %d requests %d KiB more" % (resident, REQUESTS, grown))
        # Rows of tables that were touched for the first time, and buffers of a few connections.
        self.assertLess(grown, TOUCHED_KIB)

    def test_mappings_stay_as_they_are_under_ten_thousand_requests(self):
        self.has_upstream = False
        self.start_hub_with_phones()
        self.assert_nothing_is_mapped_by(lambda: self.spend(REQUESTS))
        self.assertEqual(self.metric("hub_arena_peak_bytes"), 0)  # nothing of hubd's own is there

    def test_mappings_stay_as_they_are_with_a_link_to_upstream(self):
        self.start_upstream()
        self.start_hub_with_phones()

        def work():
            self.spend(REQUESTS)
            self.wait_caught_up()
        self.assert_nothing_is_mapped_by(work)
        self.assertGreater(self.metric("hub_arena_peak_bytes"), 0)  # the TLS link lives there


if __name__ == "__main__":
    unittest.main()
