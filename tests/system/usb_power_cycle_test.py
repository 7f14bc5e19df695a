"""The `power_cycle` action: a phone's port off and on within its lease, and the budget of that."""

import rig
import usb_rig

CYCLE = """[capability]
name = %s
attempts = 2
retry_on = phone_lost, adb
attempt_seconds = 60
%s
[action.before]
type = shell
command = echo before
timeout_seconds = 10
[action.off_and_on]
type = power_cycle
timeout_seconds = 40
[action.after]
type = shell
command = echo after
timeout_seconds = 10
"""


class PowerCycleTest(usb_rig.UsbCase):
    limit_seconds = 180

    def setUp(self):
        super().setUp()
        self.write("capabilities/cycle.ini", CYCLE % ("cycle", ""))
        self.write("capabilities/scarce.ini", CYCLE % ("scarce", "budget_power_cycles_per_hour = 1"))

    def start_with(self, **phones):
        for name, port in phones.items():
            self.bus.attach(port, name)
        self.bus.settle()
        self.start_hub()
        self.wait_phones(*phones)

    def test_a_phone_goes_and_comes_back_within_its_lease(self):
        self.start_with(ONE=1, TWO=2)
        process = self.submit("cycle", phone="ONE")
        ended = self.wait_end(process, 60)
        self.assertEqual("completed", ended["status"])
        self.assertEqual(100, ended["progress_percent"])
        started = [event for event in self.events(process) if event["type"] == "started"]
        self.assertEqual(1, len(started), "one attempt")
        self.assertGreaterEqual(self.metric("hub_power_cycles_total"), 1)
        self.assertEqual(0, self.metric('hub_recovery_rungs_total{rung="power"}'))
        self.wait_phones("ONE", "TWO")
        self.run_on("TWO")

    def test_a_spent_budget_suspends_before_anything_is_switched(self):
        self.start_with(ONE=1)
        self.assertEqual("completed", self.wait_end(self.submit("scarce", phone="ONE"), 60)["status"])
        cycles = self.metric("hub_power_cycles_total")
        second = self.submit("scarce", phone="ONE")

        def is_spent():
            shown = self.process(second)
            return "budget" in (shown.get("status_detail") or "") or shown["status"] == "suspended"
        rig.wait_until(is_spent, 30, "the second one waits for its budget")
        self.assertEqual(cycles, self.metric("hub_power_cycles_total"))
        self.wait_phones("ONE")

    def test_a_port_that_nobody_switches_is_a_failure_in_words(self):
        _, port = self.start_phones(1, serial="TCP")
        self.start_hub([port])
        rig.wait_until(lambda: self.client.get("/phones").body["phones"], 20, "a phone")
        name = self.client.get("/phones").body["phones"][0]["phone_id"]
        self.wait_phones(name)
        ended = self.wait_end(self.submit("cycle", phone=name), 30)
        self.assertEqual("failed_terminal", ended["status"])
        self.assertEqual("no_port_power", ended["error"]["code"])


if __name__ == "__main__":
    import unittest
    unittest.main()
