"""The fleet's work on a board without a network: a request at upstreamd's own API goes through hubd and
the serial line to a phone of the board, and its end comes back the same way."""

import signal

import carrier_rig
import rig
from carrier_rig import BOARD


class Work(carrier_rig.WorkCase):
    # ---- the board ----

    def cut_and_hang(self, event):
        """A power cut, and phones that answer nothing when the work is offered again. hubd is
        stopped meanwhile, or it would be done before."""
        before = self.count(event)
        self.hub.signal(signal.SIGSTOP)
        self.restart_board()
        self.hang_all_phones()
        self.hub.signal(signal.SIGCONT)
        rig.wait_until(lambda: self.count(event) > before, 60, "another " + event, 0.1)

    def replug_phones(self):
        for word in ("unplug", "plug"):
            for phone in range(1, 9):
                self.board.console.ask("%s %d" % (word, phone), "ok")

    def test_a_request_at_upstreams_api_runs_on_the_board_through_two_power_cuts(self):
        self.start_hub(section=self.section)
        self.hang_all_phones()
        phone = self.board.console.ask("phones", "phones=")[0].split()[0]
        rig.wait_until(lambda: self.fleet.get("/phones/" + phone).status == 200, 30, "the phone upstream")
        identity = self.request(phone_id=phone)
        self.wait_fleet(identity, "executing")
        self.assertEqual(self.count("started"), 1)
        self.cut_and_hang("started")
        self.assertEqual(self.count("started"), 2)
        self.restart_board()
        process = self.wait_fleet(identity, "completed")
        item, = process["items"]
        self.assertEqual((item["phone_id"], process["attempts"]), (phone, 3), process)
        self.assertIsNone(process["error"])
        succeeded, = [image for event, image in self.told() if event == "succeeded"]
        self.assertEqual((succeeded[6], succeeded[7]), (3, 0), "a power cut counts no attempt")
        rig.wait_until(self.has_all, 60, "the board knows that upstream has everything", 0.2)
        rows = self.rows()
        self.assertEqual([seq for seq, _ in rows], list(range(1, len(rows) + 1)))
        again = self.fleet.post("/maintenance/requests", {
            "request_id": "m-1", "target": {"phone_id": phone}, "inputs": {},
            "requested_by": {"system": "tests"}})
        self.assertEqual((again.status, again.body["process_id"]), (200, identity))

    def test_a_grant_is_renewed_over_the_line_and_ends_without_it(self):
        self.start_hub(section=self.section)
        self.hang_all_phones()
        identity = self.request()
        self.wait_fleet(identity, "executing")
        rig.wait_until(lambda: int(self.board.status()["renewed"]) >= 3, 60, "three renewals", 0.2)
        self.assertEqual(self.look(identity)["status"], "executing", "longer than its first grant")
        self.assertEqual(self.count("started"), 1)
        self.hub.kill()
        rig.wait_until(lambda: " executing" not in self.ask_ps(), 60, "the board stops by itself", 0.2)
        self.replug_phones()
        self.restart_hub()
        process = self.wait_fleet(identity, "completed")
        self.assertEqual(process["attempts"], 2)
        self.assertEqual([error["category"] for error in process["errors"]], ["lease_expired"], process)

    def ask_ps(self):
        return "\n".join(self.board.console.ask("ps", "processes="))

    def test_cancel_at_upstream_stops_what_runs_on_the_board(self):
        self.start_hub(section=self.section)
        self.hang_all_phones()
        identity = self.request()
        self.wait_fleet(identity, "executing")
        answer = self.fleet.post("/processes/%s/cancel" % identity)
        self.assertEqual(answer.status, 202, answer)
        process = self.wait_fleet(identity, "cancelled")
        self.assertEqual(process["items"][0]["state"], "canceled", process)
        self.assertEqual(self.told()[-1][0], "cancelled")
        self.assertIn("cancelled", self.ask_ps())

    def test_what_waits_on_the_board_is_withdrawn_for_another_hub(self):
        """The board had a phone to spare when it asked; now a request of its own has them all."""
        first = rig.free_ports(1)
        self.start_hub([first], section=self.section)
        self.hang_all_phones()
        rig.wait_until(self.has_all, 60, "the board knows that upstream has everything", 0.2)
        self.hub.signal(signal.SIGSTOP)
        rig.wait_until(lambda: self.board.status()["line"] == "pushing", 30, "a push on its way", 0.05)
        self.submit("maintenance 8")
        identity = self.request()
        self.hub.signal(signal.SIGCONT)
        rig.wait_until(lambda: self.board.status()["offered"] == "1", 30, "an offer", 0.1)
        self.assertEqual(self.look(identity)["status"], "queued")
        phones = self.start("phonesim", "--count", 1, "--adb-tcp", "127.0.0.1:%d" % first,
                            "--serial", "SIM001")
        phones.wait_for(" on 127.0.0.1:", 20)
        process = self.wait_fleet(identity, "completed")
        self.assertEqual(process["items"][0]["phone_id"], "SIM001", process)
        self.assertEqual(self.board.status()["withdrawn"], "1")
        self.assertEqual(self.count("withdrawn"), 1)

    def test_a_request_too_large_for_the_line_goes_to_another_hub_and_holds_up_nothing(self):
        first = rig.free_ports(1)
        self.start_hub([first], section=self.section)
        rig.wait_until(lambda: sum(phone["state"] == "ready" for phone in
                                   self.fleet.get("/phones").body["phones"]) == 8, 30, "phones", 0.2)
        large = self.request("large", 6000)
        self.upstream.wait_for("event=offer_refused hub=%s process=1 item=1 reason=too_large" % BOARD, 30)
        self.wait_fleet(self.request(), "completed")
        self.assertEqual(self.look(large)["status"], "queued")
        phones = self.start("phonesim", "--count", 1, "--adb-tcp", "127.0.0.1:%d" % first,
                            "--serial", "SIM001")
        phones.wait_for(" on 127.0.0.1:", 20)
        process = self.wait_fleet(large, "completed", 90)
        self.assertEqual(process["items"][0]["phone_id"], "SIM001", process)


if __name__ == "__main__":
    import unittest
    unittest.main()
