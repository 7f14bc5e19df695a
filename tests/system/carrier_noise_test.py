"""A bad serial line between a board and hubd: bytes are lost, added and changed, whole frames are cut short, come
twice or from nowhere, and floods come from the board's side. HUB_SEED chooses another run."""

import os
import random
import select
import socket
import threading
import time
import tty

import board_rig
import carrier_rig
import hub_client
import rig
from carrier_rig import BOARD

SEED = int(os.environ.get("HUB_SEED", str(int(time.time()))))
TO_HUBD, TO_BOARD = 0, 1


class BadLine(threading.Thread):
    """Carries bytes between the board's socket and a serial device of its own, and spoils a share
    of the pieces. What a test asks to be sent goes in between."""

    def __init__(self, dice):
        super().__init__(daemon=True)
        self.dice, self.share = dice, 0.0
        self.master, self.device = os.openpty()
        tty.setraw(self.device)
        self.path = os.ttyname(self.device)
        self.board, self.stopping = None, False
        self.waiting = [b"", b""]  # for hubd, for the board
        self.spoiled = [0, 0]
        self.lock = threading.Lock()

    def connect(self, path):
        self.board = socket.socket(socket.AF_UNIX)
        self.board.connect(path)
        self.start()

    def send(self, where, data):
        with self.lock:
            self.waiting[where] += data

    def is_sent(self):
        return not self.waiting[TO_HUBD] and not self.waiting[TO_BOARD]

    def spoil(self, data):
        """The bytes of one piece, as they arrive."""
        at = self.dice.randrange(len(data))
        rubbish = self.dice.randbytes(self.dice.randrange(1, 400))
        return self.dice.choice((
            data[:at],                                                   # cut short
            data[:at] + data[at + self.dice.randrange(1, 9):],           # some are lost
            data[:at] + bytes([data[at] ^ 1 << self.dice.randrange(8)]) + data[at + 1:],
            data[:at] + rubbish + data[at:],
            data[:at] + rubbish,
            data + data,                                                 # an echo
            data.replace(b"\0", b""),                                    # two frames become one
        ))

    def take(self, where, data):
        if data and self.dice.random() < self.share:
            self.spoiled[where] += 1
            data = self.spoil(data)
        self.send(where, data)

    def run(self):
        board = self.board.fileno()
        os.set_blocking(self.master, False)
        self.board.setblocking(False)
        targets = {TO_HUBD: self.master, TO_BOARD: board}
        while not self.stopping:
            wanted = [targets[where] for where in targets if self.waiting[where]]
            ready, writable, _ = select.select([self.master, board], wanted, [], 0.02)
            try:
                for source, where in ((board, TO_HUBD), (self.master, TO_BOARD)):
                    if source in ready and len(self.waiting[where]) < 1 << 20:
                        data = os.read(source, 4096)
                        if not data:
                            return
                        self.take(where, data)
                for where, target in targets.items():
                    if target in writable:
                        with self.lock:
                            sent = os.write(target, self.waiting[where][:4096])
                            self.waiting[where] = self.waiting[where][sent:]
            except BlockingIOError:
                continue
            except OSError:
                return  # the board or the test is over

    def close(self):
        self.stopping = True
        self.join(10)
        self.board.close()
        os.close(self.master)
        os.close(self.device)


class BadLines(carrier_rig.CarrierCase):
    def setUp(self):
        super().setUp()
        self.dice = random.Random(SEED)
        print("note: HUB_SEED=%d" % SEED)
        self.line = BadLine(self.dice)
        os.unlink(self.bus.root + "/dev/ttyBOARD")
        os.symlink(self.line.path, self.bus.root + "/dev/ttyBOARD")
        self.board.format(BOARD)
        self.line.connect(self.board.path("line"))
        self.start_upstream()
        self.start_hub(section=self.section)

    def tearDown(self):
        self.line.close()
        super().tearDown()

    def carried(self, name):
        client = self.new_client()  # one that nobody has kept waiting
        return int(self.metric('hub_carried_%s_total{hub="%s"}' % (name, BOARD), client))

    def assert_nothing_lost(self):
        """Upstream has every record that the board has, once and in order."""
        self.line.share = 0.0
        rig.wait_until(lambda: self.line.is_sent() and self.has_all()
                       and len(self.rows()) == int(self.board.status()["head"]), 90, "everything is upstream", 0.5)
        rows = self.rows()
        self.assertEqual([seq for seq, _ in rows], list(range(1, len(rows) + 1)))
        self.assertEqual(self.board.status()["forks"], "0")

    def test_noise_in_both_directions_costs_time_only(self):
        self.line.share = 0.15
        numbers = []
        for _ in range(4):
            numbers.append(self.submit("maintenance %d" % self.dice.randrange(1, 4)))
            for where in (TO_HUBD, TO_BOARD):
                self.line.send(where, self.dice.randbytes(self.dice.randrange(1, 2000)))
            self.wait_for_process(numbers[-1])
        rig.wait_until(lambda: min(self.line.spoiled) >= 5, 90, "both directions were spoiled", 0.2)
        self.assert_nothing_lost()
        found = self.board.status()
        print("note: spoiled %d pieces to hubd, %d to the board; hubd counted %d damaged frames, the board %s" % (
            *self.line.spoiled, self.carried("damaged_frames"), found["damaged"]))
        self.assertGreater(self.carried("damaged_frames"), 0)
        self.assertGreater(int(found["damaged"]) + int(found["too_long"]), 0)

    def wait_for_process(self, number):
        rig.wait_until(lambda: any(line.startswith("process=%d " % number) and line.endswith(" completed") for line in
                                   self.board.console.ask("ps", "processes=")), 60, "it runs, whatever the line does", 0.1)

    def test_floods_from_the_board_are_counted_and_stop_nothing(self):
        """A megabyte without a frame, more without an end than a frame can have, hellos of nobody, pushes that
        are none, and frames of no type; hubd answers its own callers meanwhile."""
        first = self.submit("maintenance 2")
        rig.wait_until(self.has_all, 60, "the first is upstream", 0.2)
        before = self.carried("damaged_frames"), self.carried("dropped_frames"), self.carried("wrong_names")
        floods = (self.dice.randbytes(1 << 20), b"\x01" * 200000 + b"\0",
                  board_rig.frame(board_rig.HELLO, b"nobody") * 3000,
                  board_rig.frame(board_rig.PUSH, b"mark") * 500, board_rig.frame(77, b"?") * 3000,
                  board_rig.frame(board_rig.PUSH, b"mark" + self.dice.randbytes(300)) * 20)
        slowest, numbers = 0.0, [first]
        for flood in floods:
            self.line.send(TO_HUBD, flood)
            numbers.append(self.submit("maintenance"))
            client = self.new_client()
            while not self.line.is_sent():
                begun = time.monotonic()
                self.assertEqual(client.get("/healthz").status, 200)
                slowest = max(slowest, time.monotonic() - begun)
        self.assert_nothing_lost()
        after = self.carried("damaged_frames"), self.carried("dropped_frames"), self.carried("wrong_names")
        print("note: floods: %r damaged, dropped and strange frames; slowest answer of hubd %.0f ms" % (
            tuple(b - a for a, b in zip(before, after)), 1000 * slowest))
        for least, was, now in zip((1000, 3000, 2900), before, after):
            self.assertGreater(now - was, least)
        self.assertLess(slowest, 1.0 * rig.SLOW)
        self.assertLess(self.hub.output().count("carried_hub_wrong"), 40, "the log is bounded")

    def test_a_reply_that_comes_late_is_not_taken_for_another_pushs(self):
        self.submit("maintenance")
        rig.wait_until(self.has_all, 60, "it is upstream", 0.2)
        stale = board_rig.frame(board_rig.REPLY, b"mark" + hub_client.encode(
            [1, 0, "", [0, bytes(8)], 1, 1 << 20, 0, [], 0, [], 0, None]))
        self.line.send(TO_BOARD, stale * 20)
        rig.wait_until(lambda: self.board.status()["late"] == "20", 20, "all of them are known for what they are")
        self.submit("maintenance")
        self.assert_nothing_lost()


if __name__ == "__main__":
    import unittest
    unittest.main()
