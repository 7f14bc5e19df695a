"""Offers that a small board cannot take, or that nobody should send: each is answered, none ends the image."""

import unittest

import board_rig
import hub_client
import rig

OFFER, WITHDRAW = 1, 7
MANY = (1 << 32) - 1
TTL_MS = 900000
NONE = b""
DONE, REFUSED_CAPABILITY, CAPACITY_EXHAUSTED, NO_PHONE, MALFORMED = 0, 1, 2, 3, 7  # of an answer


def request(capability="maintenance", inputs="{}", items=1, phones=NONE):
    """An image as records.cddl has it."""
    return hub_client.encode([capability, "r", "tests", "", "{}", inputs, "", "{}", "", "{}", "", NONE,
                              NONE, 1, 0, 5, 0, 0, items, phones, ""])


class Offers(board_rig.BoardCase):
    def setUp(self):
        super().setUp()
        self.board = board_rig.Board(self.folder.name, "mps2")
        self.board.start()
        self.connect()
        self.board.console.wait_for("no hub runs here")
        self.board.console.ask("format hub-m4", "made")
        self.board.console.ask("restart", "hub ready")

    def offer(self, process, image, item=1, phone="", account="", done=(0, 0, 0, 0), ttl_ms=TTL_MS):
        return self.upstream.command(OFFER, process, 1, item, 1, ttl_ms, image, phone, account, *done)

    def answers(self):
        """The code of each command's answer, by its number."""
        records = [hub_client.decode(raw)[0] for raw in self.upstream.records]
        return {one[1][0]: one[6][1] for one in records if one[0] == hub_client.ANSWER}

    def wait_for_answers(self, numbers, seconds=60):
        rig.wait_until(lambda: self.answers().keys() >= set(numbers), seconds, "answers to %r" % (numbers,))

    def test_offers_beyond_its_limits_are_refused_one_by_one(self):
        expected = {
            self.offer(1, request(inputs='{"pad":"%s"}' % ("x" * 3200))): CAPACITY_EXHAUSTED,
            self.offer(2, request("nothing")): REFUSED_CAPABILITY,
            self.offer(3, request(), phone="NOWHERE"): NO_PHONE,
            self.offer(4, b"\x80"): MALFORMED,
            self.offer(5, request(), account="\n"): MALFORMED,
            self.offer(6, request(), done=(1, 2, 0, 0)): MALFORMED,
            self.offer(7, request(items=MANY)): DONE,
            self.offer(8, request(phones=bytes(8 * 100))): DONE,
            self.offer(9, request(), done=(MANY - 1, 0, MANY, (1 << 64) - 1), ttl_ms=MANY): DONE,
            self.offer(10, request(), item=MANY): DONE,
        }
        self.wait_for_answers(expected)
        self.assertEqual(self.answers(), expected)
        found = self.status()
        self.assertNotIn("restarted", " ".join(self.board.console.ask("status", "line=")))
        self.assertEqual((found["offered"], found["starts"]), ("4", "2"))
        number, _ = self.submit("maintenance 6")
        self.wait_for_process(number, "completed")
        self.wait_for_upstream()

    def test_more_offers_than_it_has_places_leave_it_running(self):
        for phone in range(1, 9):
            self.board.console.ask("hang %d" % phone, "ok")
        numbers = [self.offer(process, request()) for process in range(1, 49)]
        self.wait_for_answers(numbers, 90)
        codes = list(self.answers().values())
        self.assertEqual(set(codes), {DONE, CAPACITY_EXHAUSTED})
        self.assertEqual(codes.count(DONE), 32, "as many as the board has items")
        for process in range(1, 33):
            self.upstream.command(WITHDRAW, process, 1, 1)
        rig.wait_until(lambda: self.status()["withdrawn"] == "32", 60, "all withdrawn", 0.2)
        self.wait_for_upstream()
        number, _ = self.submit("maintenance")
        self.assertGreater(number, 32)


if __name__ == "__main__":
    unittest.main()
