"""A board's flash set back to an older copy: it and upstream find their way out of the fork over the serial
line (SPEC.md section 8)."""

import contextlib
import os
import shutil
import sqlite3

import board_rig
import carrier_rig
import hub_rig
import rig
import store_reader
from carrier_rig import BOARD

NUMBER_BITS = 40  # of a number of a process and of a record's place; above them stands which life it is of
CUT = (1 << NUMBER_BITS) - 1


class Forked(carrier_rig.WorkCase):
    limit_seconds = 420

    def hub_row(self):
        rows = self.fleet.get("/hubs").body["hubs"]
        return next(row for row in rows if row["hub_id"] == BOARD)

    def wait_told(self):
        rig.wait_until(self.has_all, 60, "the board knows that upstream has everything", 0.2)

    def own(self, number):
        """The id of a process that the board was given at its console."""
        return "%s-%d-%d" % (BOARD, number >> NUMBER_BITS or 1, number & CUT)

    def run_own(self, what):
        number = self.submit(what)
        identity = self.own(number)
        rig.wait_until(lambda: self.fleet.get("/processes/" + identity).status == 200, 60, identity, 0.2)
        self.wait_fleet(identity, "completed", 90)
        return number

    def states(self):
        """What the board's console says of each process."""
        lines = self.board.console.ask("ps", "processes=")[:-1]
        return {int(board_rig.fields(line)["process"]): line.split()[-1] for line in lines}

    def assert_same_life(self):
        """Upstream's records of the board's new life are the ones on its flash, behind the gap."""
        rows = [(place & CUT, body) for place, body in self.rows() if place >> NUMBER_BITS == 1]
        first = rows[0][0]
        self.assertGreater(first, 1, "the log of the former life is a gap")
        self.assertEqual([seq for seq, _ in rows], list(range(first, first + len(rows))))
        _, _, groups = store_reader.read_groups(self.board.store())
        kept = [(group.first_seq + place, body) for group in groups
                for place, body in enumerate(group.bodies)]
        self.assertEqual([row for row in kept if row[0] >= first], rows)

    def wait_settled(self):
        def is_settled():
            row = self.hub_row()
            return row["store_epoch"] == 2 and not row["reconciling"]
        rig.wait_until(is_settled, 60, "the board in its new epoch: %s" % self.hub_row(), 0.2)
        found = self.board.status()
        self.assertEqual((self.hub_row()["forks"], found["forks"], found["epoch"]), (1, "1", "2"))

    def test_a_flash_from_an_older_copy_goes_on_in_a_new_epoch(self):
        self.start_hub(section=self.section)
        first = self.request("first")
        self.wait_fleet(first, "completed")
        before = self.run_own("maintenance 2")
        self.hang_all_phones()
        kept = self.submit("maintenance 1")
        self.wait_told()
        self.board.kill()
        shutil.copy(self.board.flash, self.path("older"))
        self.board.start(is_pty=True)
        self.board.console.wait_for("hub ready")
        self.wait_fleet(self.own(kept), "completed", 90)
        second = self.request("second")
        self.wait_fleet(second, "completed")
        late = self.run_own("maintenance 2")
        self.hang_all_phones()
        lost = self.request("lost")
        self.wait_fleet(lost, "executing")
        self.board.kill()
        shutil.copy(self.path("older"), self.board.flash)
        self.board.start(is_pty=True)
        self.board.console.wait_for("hub ready")
        self.wait_settled()
        process = self.wait_fleet(lost, "completed", 120)
        self.assertEqual(["hub_forgot"], [error["code"] for error in process["errors"]], process)
        for identity in (first, second):  # upstream's ends stand
            process = self.look(identity)
            self.assertEqual(("completed", 1), (process["status"], process["attempts"]), process)
        for number in (before, kept, late):
            process = self.look(self.own(number))
            self.assertEqual(("completed", False), (process["status"], process["lost"]), process)
        told = self.states()
        self.assertEqual(("completed", "completed"), (told[before], told[kept]), told)
        self.assertNotIn(late, told)
        self.wait_fleet(self.request("new"), "completed")
        after = self.run_own("maintenance 2")
        self.assertEqual(after >> NUMBER_BITS, 2, "no number is given twice")
        self.wait_told()
        self.assert_same_life()
        self.restart_board()  # the epoch, and that all was told, are on its flash
        self.wait_fleet(self.request("again"), "completed")
        self.wait_told()
        self.assertEqual(1, self.hub_row()["forks"])
        self.assert_same_life()

    def test_a_database_from_an_older_copy_is_told_again_what_it_lacks(self):
        self.start_hub(section=self.section)
        before = self.run_own("maintenance 2")
        self.wait_told()
        with (contextlib.closing(sqlite3.connect(self.database)) as now,
              contextlib.closing(sqlite3.connect(self.path("older"))) as copy):
            now.backup(copy)
        late = self.run_own("maintenance 2")
        self.wait_told()
        self.upstream.kill()
        self.upstream.wait()
        for end in ("-wal", "-shm"):
            if os.path.exists(self.database + end):
                os.unlink(self.database + end)
        shutil.copy(self.path("older"), self.database)
        self.start_upstream()
        self.fleet = hub_rig.Client(self.fleet_port)
        self.addCleanup(self.fleet.close)
        self.wait_settled()
        for number in (before, late):
            self.assertEqual("completed", self.wait_fleet(self.own(number), "completed")["status"])
        after = self.run_own("maintenance 2")
        self.assertEqual(after >> NUMBER_BITS, 2)
        self.wait_told()
        self.assert_same_life()


if __name__ == "__main__":
    import unittest
    unittest.main()
