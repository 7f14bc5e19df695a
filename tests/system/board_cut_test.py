"""Power cuts of a board with real NOR rules: the emulator is killed at any moment and its flash kept, as it
is or with one more operation torn. HUB_BOARD_KILLS makes it longer, HUB_SEED chooses another run."""

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
    limit_seconds = 120 + 12 * KILLS

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

    def test_power_cuts_at_any_moment_lose_nothing_that_was_acknowledged(self):
        dice = random.Random(SEED)
        print("note: HUB_SEED=%d HUB_BOARD_KILLS=%d" % (SEED, KILLS))
        process, record = self.start_aged(dice)
        self.connect(0.1, SEED)
        refused = 0
        said, slowest = {process: record}, 0.0  # process -> record number, as the console has said durably
        torn = collections.Counter()
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
                torn[board_tear.tear_last(self.board.flash, promised, dice)] += 1
            begun = time.monotonic()
            self.board.start()
            self.board.console.wait_for("hub ready")
            slowest = max(slowest, time.monotonic() - begun)
            self.connect(0.1, dice.random())
            found = self.status()
            self.assertGreaterEqual(int(found["durable"]), promised, "what was told of is there")
            self.assertIsNone(self.upstream.problem)
        self.carrier.lose = 0.0
        rig.wait_until(lambda: all(COMPLETED <= state <= CANCELED for state in self.states().values())
                       and {key[0] for key in self.states()} >= set(said), 120, "every item ends", step=0.5)
        self.wait_for_upstream(90)
        print("note: %d power cuts, %d processes, %d refused, %d records, slowest start %.1f s" % (
            KILLS, len(said), refused, self.upstream.cursor, slowest))
        print("note: torn: " + ", ".join("%s %d" % one for one in sorted(torn.items())))
        checked = self.board.console.ask("check", "torn_frames=")[-1]
        found = board_rig.fields(checked)
        for name in ("rotten_frames", "lost_blocks", "lost_records", "suspect_objects"):
            self.assertEqual(found[name], "0", checked)


if __name__ == "__main__":
    unittest.main()
