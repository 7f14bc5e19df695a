"""Power cuts of a board with real NOR rules: the emulator is killed at any moment and its flash kept, as it
is or with one more operation torn in one of the simulator's ways. HUB_BOARD_KILLS makes it longer, HUB_SEED
chooses another run."""

import collections
import os
import random
import time
import unittest

import board_rig
import board_tear
import rig
from board_rig import CANCELED, COMPLETED

KILLS = int(os.environ.get("HUB_BOARD_KILLS", "20"))
SEED = int(os.environ.get("HUB_SEED", str(int(time.time()))))


class PowerCuts(board_rig.BoardCase):
    limit_seconds = 120 + 30 * KILLS

    def start_aged(self, dice):
        """A hub on a chip whose other blocks hold what was given up long ago, so that each is erased
        when it is used."""
        self.board.format("hub-seven")
        accepted = self.submit("maintenance")
        self.board.kill()
        board_tear.age(self.board.flash, dice)
        self.board.start()
        self.board.console.wait_for("hub ready")
        return accepted

    def begin(self):
        dice = random.Random(SEED)
        print("note: HUB_SEED=%d HUB_BOARD_KILLS=%d" % (SEED, KILLS))
        self.weak = board_tear.WeakCells(self.board.flash)
        self.torn, self.slowest, self.starts, self.others = collections.Counter(), 0.0, 0, 0
        return dice, self.start_aged(dice)

    def tear(self, promised, dice, *what):
        self.torn[board_tear.tear_last(self.board.flash, promised, dice, self.weak, *what)] += 1

    def start_once(self, promised, dice):
        """Cells between two states read as they like; what was told of is there."""
        _, others = self.weak.read(dice)
        self.others += others > 0
        begun = time.monotonic()
        self.board.start()
        self.board.console.wait_for("hub ready")
        self.slowest = max(self.slowest, time.monotonic() - begun)
        self.starts += 1
        self.assertGreaterEqual(int(self.status()["durable"]), promised, "what was told of is there")
        self.assert_sound()

    def assert_sound(self):
        """Nothing that was torn is taken for rot, and nothing that a start before has built on is gone."""
        checked = self.board.console.ask("check", "torn_frames=")[-1]
        found = board_rig.fields(checked)
        for name in ("rotten_frames", "lost_blocks", "lost_records", "suspect_objects"):
            self.assertEqual(found[name], "0", checked)

    def start_torn(self, promised, dice, shorts):
        """Some starts are cut short, as many in a row; their carrier may hear something."""
        for _ in range(shorts):
            self.start_once(promised, dice)
            if dice.random() < 0.5:
                self.connect(0.1, dice.random())
                self.status()
            self.cut()
            promised = max(promised, self.upstream.cursor)
        self.start_once(promised, dice)
        self.connect(0.1, dice.random())
        self.assertIsNone(self.upstream.problem)

    def wait_for_the_end(self, said):
        """All that was accepted has ended, upstream has all of it, and the store finds nothing wrong."""
        self.carrier.lose = 0.0
        rig.wait_until(lambda: all(COMPLETED <= state <= CANCELED for state in self.states().values())
                       and {key[0] for key in self.states()} >= set(said), 120, "every item ends", step=0.5)
        self.wait_for_upstream(90)
        self.assert_sound()
        print("note: %d power cuts, %d starts, %d with cells that read otherwise, %d processes, %d records, "
              "slowest start %.1f s" % (KILLS, self.starts, self.others, len(said), self.upstream.cursor,
                                        self.slowest))
        print("note: torn: " + ", ".join("%s %d" % one for one in sorted(self.torn.items())))

    def test_power_cuts_at_any_moment_lose_nothing_that_was_acknowledged(self):
        dice, (process, record) = self.begin()
        self.connect(0.1, SEED)
        refused = 0
        said = {process: record}  # process -> record number, as the console has said durably
        for _ in range(KILLS):
            end = time.monotonic() + dice.expovariate(1.5)
            while time.monotonic() < end:
                what = dice.choice(["maintenance", "maintenance", "reboot"])
                accepted = self.submit("%s %d" % (what, dice.randrange(1, 4)))
                if accepted is None:
                    refused += 1
                    before = self.upstream.cursor
                    rig.wait_until(lambda: self.upstream.cursor != before, 60, "some room")
                    continue
                said[accepted[0]] = accepted[1]
                if dice.random() < 0.2:
                    self.board.console.ask("cancel %d" % accepted[0], "accepted=", "refused")
            self.cut()
            promised = max([self.upstream.cursor, *said.values()])
            if dice.random() < 0.7:
                self.tear(promised, dice)
            self.start_torn(promised, dice, dice.choice((0, 0, 1)) if self.weak.rows else 0)
        self.wait_for_the_end(said)
        print("note: %d refused" % refused)

    def test_cells_that_read_otherwise_at_each_start_lose_nothing(self):
        """The last frame, which nobody was told of, is there or not as each start reads it."""
        dice, (process, record) = self.begin()
        said = {process: record}
        for turn in range(KILLS // 2):
            number, record = self.submit("maintenance 2")
            said[number] = record
            if self.carrier is not None:  # what follows is told to nobody
                self.carrier.close()
                self.carrier = None
            rig.wait_until(lambda: int(self.status()["durable"]) > max(record, self.upstream.cursor), 20,
                           "a record more")
            self.cut()
            promised = max(self.upstream.cursor, *said.values())
            self.tear(promised, dice, "metastable", "program")
            self.start_torn(promised, dice, 1 + turn % 3)
        self.wait_for_the_end(said)
        self.assertGreater(self.torn["the newest frame: metastable"], KILLS // 8)
        self.assertGreater(self.others, KILLS // 4)


if __name__ == "__main__":
    unittest.main()
