"""Phones that fail on USB, and how hubd brings them back: ladder, port power, hubs."""

import rig
import usb_rig


class RecoveryTest(usb_rig.UsbCase):

    def metric_of(self, name, label):
        return self.metric('%s{rung="%s"}' % (name, label))

    def rungs(self):
        return {name: self.metric_of("hub_recovery_rungs_total", name)
                for name in ("reopen", "reset", "power", "hub", "quarantine")}

    def start_with(self, **phones):
        """Phones by name, each at a port."""
        for name, port in phones.items():
            self.bus.attach(port, name)
        self.bus.settle()
        self.start_hub()
        self.wait_phones(*phones)

    def break_phone(self, port, name, cure):
        self.bus.say("cure", port, cure)
        self.bus.fault(port, "stall")
        self.submit("brittle", phone=name)
        self.wait_phones(name, state="recovering")

    def said(self, text, seconds=20):
        """Until hubd's log has the text."""
        rig.wait_until(lambda: text in self.hub.output(), seconds, text)

    def test_a_reset_brings_back_what_reopening_does_not(self):
        self.start_with(SICK=1, WELL=2)
        self.break_phone(1, "SICK", "reset")
        self.wait_phones("SICK", seconds=40)
        rungs = self.rungs()
        self.assertEqual((3, 1, 0), (rungs["reopen"], rungs["reset"], rungs["power"]))
        self.assertEqual(1, self.bus.counts(1)[2])
        self.assertEqual(0, self.bus.counts(2)[2])
        self.run_on("SICK")

    def test_a_power_cycle_brings_back_what_a_reset_does_not(self):
        self.start_with(SICK=1, WELL=2)
        self.break_phone(1, "SICK", "power")
        process = self.nap(3, phone="WELL")
        self.said("power_cycled slot=" + usb_rig.slot(1), 60)
        self.wait_phones("SICK")
        rungs = self.rungs()
        self.assertEqual((3, 2, 1), (rungs["reopen"], rungs["reset"], rungs["power"]))
        self.assertEqual("completed", self.wait_end(process)["status"])
        self.assertEqual(1, self.bus.counts(2)[1])  # nobody touched the other one
        self.run_on("SICK")

    def test_a_phone_that_nothing_helps_is_quarantined_with_the_reason(self):
        self.bus.say("hub", 1, "never")
        self.start_with(SICK=1, WELL=2)
        self.break_phone(1, "SICK", "none")
        self.wait_phones("SICK", state="quarantined", seconds=60)
        self.assertEqual("recovery is spent: halted its endpoint", self.phone("SICK")["reason"])
        self.said("power_cycle_failed slot=%s reason=\"its hub cannot switch ports\""
                  % usb_rig.slot(1))
        rungs = self.rungs()
        self.assertEqual((3, 2, 2, 0, 1), tuple(rungs.values()))
        self.run_on("WELL")
        self.bus.fault(1, "good")
        self.assertEqual(200, self.client.post("/phones/SICK/release").status)
        self.wait_phones("SICK")
        self.run_on("SICK")

    def test_phones_of_one_hub_that_fail_together_get_one_restart_of_the_hub(self):
        self.start_with(A=1, B=2, C=11)
        for port, name in ((1, "A"), (2, "B")):
            self.break_phone(port, name, "power")
        self.wait_phones("A", "B", seconds=60)
        rungs = self.rungs()
        self.assertEqual((0, 0, 1, 0), tuple(rungs[name] for name in
                                             ("reset", "power", "hub", "quarantine")))
        self.assertEqual("ready", self.phone("C")["state"])
        self.assertEqual(1, self.bus.counts(11)[1])

    def test_an_operator_switches_the_power_of_a_port(self):
        self.start_with(A=1, B=2)
        answer = self.client.post("/phones/A/power")
        self.assertEqual(202, answer.status, answer)
        self.bus.wait_for("detached 1")
        self.bus.wait_for("attached 1")
        self.wait_phones("A")
        self.assertEqual(1, self.bus.counts(2)[1])
        self.assertEqual(1, self.metric("hub_power_cycles_total"))
        process = self.nap(3, phone="A")
        self.wait_status(process, "executing")
        answer = self.client.post("/phones/A/power")
        self.assertEqual((409, "phone_in_use"), (answer.status, answer.body["error"]["code"]), answer)

    def test_what_a_hub_says_is_not_believed(self):
        reasons = {"ganged": "its hub switches all its ports together, and others are in use",
                   "never": "its hub cannot switch ports",
                   "lying": "its hub says that it switches ports, and does not",
                   "refusing": "its hub refused a request"}
        self.start_with(A=1, B=2)
        for mode, reason in reasons.items():
            self.bus.say("hub", 1, mode)
            self.assertEqual(202, self.client.post("/phones/A/power").status)
            self.said('power_cycle_failed slot=%s reason="%s"' % (usb_rig.slot(1), reason))
            self.wait_phones("A", "B")
        self.assertEqual([1, 1], [self.bus.counts(port)[1] for port in (1, 2)])

    def test_a_ganged_hub_is_switched_for_its_only_phone(self):
        self.bus.say("hub", 1, "ganged")
        self.start_with(A=1, B=11)
        self.assertEqual(202, self.client.post("/phones/A/power").status)
        self.bus.wait_for("detached 1")
        self.bus.wait_for("attached 1")
        self.wait_phones("A", "B")

    def test_a_phone_that_is_seen_to_leave_only_when_power_is_on_again(self):
        self.bus.say("hub", 1, "late")
        self.start_with(A=1)
        self.assertEqual(202, self.client.post("/phones/A/power").status)
        self.bus.wait_for("detached 1")
        self.said("power_cycled slot=" + usb_rig.slot(1))
        self.wait_phones("A")
        self.run_on("A")

    def test_a_kernel_that_turns_ports_on_again_is_asked_to_switch_them(self):
        self.start_with(A=1, B=2)
        self.bus.say("hub", 1, "kernel")
        self.bus.settle()
        self.assertEqual(202, self.client.post("/phones/A/power").status)
        self.bus.wait_for("detached 1")
        self.bus.wait_for("attached 1")
        self.said("power_cycled slot=" + usb_rig.slot(1))
        self.wait_phones("A", "B")
        self.assertEqual(1, self.bus.counts(2)[1])
