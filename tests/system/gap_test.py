"""A hub that is offline for longer than its store can hold: what upstream gets of it, and what not."""

import hashlib
import json
import sqlite3
import unittest

import hub_client
import hub_rig
import rig
import store_reader
import sync_rig

GAPS = "SELECT first, last, chain, d0+d1+d2+d3+d4+d5+d6+d7 FROM gaps ORDER BY last"


class Gap(sync_rig.SyncCase):
    limit_seconds = 170

    def setUp(self):
        super().setUp()
        _, first = self.start_phones(4)
        self.ports = range(first, first + 4)

    def given_up(self):
        return self.metric("hub_sync_gap_records")

    def fill(self, workers, records):
        """Until so many sequence numbers were given up."""
        rig.wait_until(lambda: self.given_up() >= records, 60, "history is given up", 0.05)
        for worker in workers:
            self.assertTrue(worker.is_alive())

    def upstream_rows(self):
        with sqlite3.connect("file:%s?mode=ro" % self.database, uri=True) as database:
            rows = database.execute("SELECT seq, bytes, chain FROM records ORDER BY seq")
            records = [(seq, bytes(body), chain) for seq, body, chain in rows]
            return records, database.execute(GAPS).fetchall()

    def assert_verifiable(self, records, gaps):
        """Numbers are records or in a gap, and the chain goes on behind each gap."""
        by_seq = {seq: (body, chain) for seq, body, chain in records}
        ends = {first: (last, chain) for first, last, chain, _ in gaps}
        seq, chain, bodies = 1, bytes(8), []
        head = max(max(by_seq), max(last for last, _ in ends.values()))
        while seq <= head:
            if seq in ends:
                self.assertEqual(bodies, [], "a gap begins at a group's end")
                self.assertNotIn(seq, by_seq)
                last, chain = ends[seq]
                seq = last + 1
                continue
            self.assertIn(seq, by_seq, "%d is neither stored nor given up" % seq)
            body, end = by_seq[seq]
            bodies.append(body)
            if end is not None:
                digest = hashlib.sha256(chain + b"".join(bodies)).digest()[:8]
                self.assertEqual(digest, end, "the chain at %d" % seq)
                chain, bodies = end, []
            seq += 1
        self.assertEqual(bodies, [])

    def fleet(self, path):
        client = hub_rig.Client(self.fleet_port)
        try:
            answer = client.get(path)
        finally:
            client.close()
        self.assertEqual(answer.status, 200, answer)
        return answer.body

    def assert_all_ended(self, acknowledged):
        """Every process whose request was acknowledged has its final state upstream."""
        for request_id, identity in acknowledged.items():
            process = self.fleet("/processes/" + identity)
            self.assertEqual(process["request_id"], request_id)
            self.assertIn(process["status"], hub_rig.TERMINAL, process)
            self.assertEqual(process["status"], self.process(identity)["status"])

    def assert_shown(self, oldest):
        """Whoever reads sees that something is missing."""
        events = self.fleet("/processes/%s/events?limit=200" % oldest)
        self.assertTrue(events["gap"] or self.has_hole(events["events"]), events)
        stream = hub_rig.Client(self.fleet_port)
        self.addCleanup(stream.close)
        self.assertIn("event: gap", stream.get("/processes/%s/stream" % oldest).body)
        hub, = self.fleet("/hubs")["hubs"]
        self.assertGreater(hub["gap_count"], 0)
        self.assertGreater(hub["given_up_records"], 0)
        self.assertGreater(hub["gaps"][0]["last_seq"], hub["gaps"][0]["first_seq"])
        self.assertGreater(sum(hub["gaps"][-1]["dropped"].values()), 0)

    @staticmethod
    def has_hole(events):
        ids = [event["id"] for event in events]
        return ids != list(range(ids[0], ids[0] + len(ids)))

    def end_and_connect(self, workers):
        acknowledged = self.stop_workers(workers)
        self.start_upstream()
        self.wait_caught_up(60)
        self.assertEqual(self.metric("hub_sync_forks_total"), 0)
        self.assertEqual(self.given_up(), 0)  # upstream knows of it
        records, gaps = self.upstream_rows()
        self.assertGreater(len(gaps), 0)
        self.assert_verifiable(records, gaps)
        self.assert_all_ended(acknowledged)
        return acknowledged, gaps

    def test_final_states_arrive_and_the_gap_is_seen_when_a_store_has_filled_offline(self):
        self.start_hub(self.ports, size="2MiB")
        workers = self.start_workers(3)
        self.fill(workers, 300)
        self.assertIn("history_given_up", json.dumps(self.client.get("/readyz").body))
        acknowledged, gaps = self.end_and_connect(workers)
        self.assert_shown("hub-1-1-1")
        self.assertEqual(len(gaps), 1)
        self.assertEqual(self.client.get("/readyz").body["warnings"], [])
        # It goes on, also after a restart of both.
        self.assertEqual(self.hub.stop(), 0)
        self.assertEqual(self.upstream.stop(), 0)
        self.assertEqual(self.run_program("hubctl", "store", "check", self.path("hub.store"))[0], 0)
        self.start_upstream()
        self.restart_hub()
        self.wait_phones("SIM001", seconds=30)
        process = self.submit("small")
        self.wait_end(process)
        self.wait_caught_up(60)
        self.assertIn(self.fleet("/processes/" + process)["status"], hub_rig.TERMINAL)
        self.assertEqual(self.upstream_rows()[1], gaps)

    def test_a_hub_killed_again_and_again_while_it_gives_up_history_loses_nothing_else(self):
        self.start_hub(self.ports, size="2MiB")
        workers = self.start_workers(3)
        self.fill(workers, 1)
        for _ in range(8):
            before = self.metric("hub_store_head_seq")
            rig.wait_until(lambda: self.metric("hub_store_head_seq") > before + 40, 20,
                           "it goes on")
            self.hub.kill()
            status, out, _ = self.run_program("hubctl", "store", "check", self.path("hub.store"))
            self.assertEqual(status, 0, out)
            self.restart_hub()
            self.assertGreater(self.given_up(), 0)
        self.end_and_connect(workers)

    def test_a_group_that_cannot_be_read_does_not_stop_the_sync(self):
        self.start_hub(self.ports, size="64MiB")
        for _ in range(3):
            self.wait_end(self.submit("small"))
        self.assertEqual(self.hub.stop(), 0)
        path = self.path("hub.store")
        with open(path, "r+b") as file:
            at = self.place_of_a_body(file.read())
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 0x10]))
        self.start_upstream()
        self.restart_hub()
        self.wait_phones("SIM001", seconds=30)
        process = self.submit("small")
        self.wait_end(process)
        self.wait_caught_up(60)
        self.assertGreater(self.metric("hub_sync_unreadable_total"), 0)
        self.assertIn(self.fleet("/processes/" + process)["status"], hub_rig.TERMINAL)
        records, gaps = self.upstream_rows()
        self.assert_verifiable(records, gaps)
        self.assertEqual(len(gaps), 1)
        self.assertLess(gaps[0][1] - gaps[0][0], 20)

    def place_of_a_body(self, image):
        """Of a step in the middle of the log: no object's newest record."""
        _, _, groups = store_reader.read_groups(self.path("hub.store"))
        for group in groups[len(groups) // 3:]:
            for body in group.bodies:
                kind, _, _, event = hub_client.decode(body)[0][:4]
                if kind == sync_rig.ATTEMPT and event == sync_rig.EVENT["step"]:
                    self.assertEqual(image.count(body), 1)
                    return image.index(body) + len(body) - 2
        raise AssertionError("no step in the log")


if __name__ == "__main__":
    unittest.main()
