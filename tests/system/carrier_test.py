"""A board without a network, its line in a hub host's serial port: hubd carries its records upstream,
over TLS, under the board's own name."""

import os
import sqlite3
import sys

import carrier_rig
import hub_client
import hub_rig
import rig
import store_reader
import sync_rig
from carrier_rig import BOARD

sys.path.insert(0, os.path.join(rig.ROOT, "docs", "examples"))
import endpoint  # noqa: E402


class Carrier(carrier_rig.CarrierCase):
    def test_a_request_on_the_board_reaches_upstream_through_two_power_cuts(self):
        self.board.format(BOARD, is_pty=True)
        self.start_upstream()
        self.start_hub(section=self.section)
        first = self.submit("maintenance 8")
        self.restart_board()  # it runs
        second = self.submit("maintenance 8")
        self.restart_board()
        third = self.submit("reboot 2")
        fleet = hub_rig.Client(self.fleet_port)
        self.addCleanup(fleet.close)
        for number in (first, second, third):
            def ended(number=number):
                answer = fleet.get("/processes/%s-1-%d" % (BOARD, number))
                return answer.status == 200 and answer.body["status"] == "completed"
            rig.wait_until(ended, 90, "process %d of the board completed upstream" % number, 0.2)
        rig.wait_until(self.has_all, 60, "the board knows that upstream has everything", 0.2)
        rows = self.rows()
        self.assertEqual([seq for seq, _ in rows], list(range(1, len(rows) + 1)))
        _, _, groups = store_reader.read_groups(self.board.store())
        kept = [body for group in groups for body in group.bodies]
        self.assertEqual([body for _, body in rows][-len(kept):], kept)
        self.assertGreaterEqual(self.metric('hub_carried_pushes_total{hub="%s"}' % BOARD), 3)

    def start_example(self):
        """The endpoint of docs/examples in upstream's place; it gives the board work."""
        example = self.start(
            sys.executable, os.path.join(rig.ROOT, "docs/examples/endpoint.py"),
            "--listen", "127.0.0.1:%d" % self.sync_port, "--ca", self.certs + "/ca.crt",
            "--cert", self.certs + "/server.crt", "--key", self.certs + "/server.key",
            "--database", self.path("example.db"))
        example.wait_for("ready", 20)
        fleet = endpoint.Fleet(self.path("example.db"))
        self.addCleanup(fleet.db.close)
        return fleet

    def test_an_offer_runs_on_a_phone_of_the_board_through_two_power_cuts(self):
        """Each cut voids the grant: the part waits until upstream offers it once more."""
        self.board.format(BOARD, is_pty=True)
        fleet = self.start_example()
        self.start_hub(section=self.section)
        image = endpoint.request_image("maintenance", "offered")

        def item_events():
            with fleet.lock:
                rows = fleet.db.execute("SELECT bytes FROM records WHERE hub = ? ORDER BY seq",
                                        (BOARD,)).fetchall()
            records = [hub_client.decode(bytes(row[0]))[0] for row in rows]
            return [(hub_client.EVENTS[one[3]], one[6]) for one in records if one[0] == hub_client.ITEM]

        def count(event):
            return sum(name == event for name, _ in item_events())
        for cut in (1, 2):
            self.hang_all_phones()
            endpoint.offer(fleet, BOARD, 77, image)
            rig.wait_until(lambda cut=cut: count("started") == cut, 60, "attempt %d" % cut, 0.1)
            self.restart_board()
            rig.wait_until(lambda cut=cut: count("returned") == cut, 60, "the cut is known", 0.1)
            self.assertEqual(cut, item_events()[-1][1][9], "faults: none of them counts")
        self.assertEqual(2, count("started"))
        endpoint.offer(fleet, BOARD, 77, image)
        rig.wait_until(lambda: count("succeeded") == 1, 60, "the item completed", 0.1)
        event, item = item_events()[-1]
        self.assertEqual(("succeeded", 6, 3, 0, 1), (event, item[0], item[6], item[7], item[22][0]))
        rig.wait_until(self.has_all, 60, "the board knows that upstream has everything", 0.2)

    def test_upstream_away_and_hubd_killed_cost_time_only(self):
        self.board.format(BOARD, is_pty=True)
        self.start_hub(section=self.section)
        first = self.submit("maintenance 4")
        self.start_upstream()
        rig.wait_until(lambda: self.upstream_has(first), 60, "upstream has it", 0.2)
        self.hub.kill()
        second = self.submit("maintenance 4")
        self.restart_hub()
        rig.wait_until(lambda: self.upstream_has(second), 60, "upstream has it", 0.2)
        self.upstream.kill()
        third = self.submit("maintenance 4")
        self.start_upstream()
        rig.wait_until(lambda: self.upstream_has(third), 90, "upstream has it", 0.2)
        rows = self.rows()
        self.assertEqual([seq for seq, _ in rows], list(range(1, len(rows) + 1)))

    def upstream_has(self, number):
        """The end of a process, in upstream's table."""
        try:
            rows = self.rows()
        except sqlite3.OperationalError:
            return False
        for _, body in rows:
            kind, path, _, event, *_ = hub_client.decode(body)[0]
            if kind == hub_client.PROCESS and path == [number] and event == sync_rig.EVENT["finished"]:
                return True
        return False

    def test_a_board_with_another_name_is_not_carried(self):
        self.board.format("hub-7", is_pty=True)
        self.start_upstream()
        self.start_hub(section=self.section)
        self.submit("maintenance 2")
        self.hub.wait_for("carried_hub_wrong", 30)
        self.assertEqual(self.rows(), [])

    def test_a_wrong_section_is_refused_with_its_line(self):
        for text, expected in (
                ("[carry.hub-2]\nport = ttyS0\ncert = a\nkey = b\n", "absolute path"),
                ("[carry.hub 2]\nport = /dev/ttyS0\ncert = a\nkey = b\n", "id of the hub"),
                ("[carry.hub-2]\nport = /dev/ttyS0\ncert = a\n", "key"),
                ("[carry.hub-2]\nport = /dev/ttyS0\ncert = a\nkey = b\nbaud = 12\n", "1200 to 4000000"),
                (self.section.replace("[carry.hub-2]", "[carry.hub-3]"), "common name")):
            config = self.write("wrong.ini", self.config_text(section=text))
            hub = self.start("hubd", "--config", config, "--check-config")
            self.assertEqual(hub.wait(), 2, hub.output())
            self.assertIn(expected, hub.output())


if __name__ == "__main__":
    import unittest
    unittest.main()
