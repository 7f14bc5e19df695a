"""Phones that fail on USB, and how hubd brings them back: ladder, port power, hubs."""

import contextlib
import os
import time

import rig
import usb_rig


class RecoveryTest(usb_rig.UsbCase):

    def metric_of(self, name, label):
        return self.metric('%s{rung="%s"}' % (name, label))

    def rungs(self):
        return {name: self.metric_of("hub_recovery_rungs_total", name)
                for name in ("reopen", "reset", "reboot", "power", "hub", "quarantine")}

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

    def test_a_reset_that_takes_seconds_keeps_nobody_waiting(self):
        self.start_with(SICK=1, WELL=2)
        self.bus.say("slow-reset", 1, 6000)
        self.break_phone(1, "SICK", "reset")
        rig.wait_until(lambda: self.bus.counts(1)[2] == 1, 30, "its port is being reset")
        started = time.monotonic()
        self.run_on("WELL", "brittle")
        self.assertLess(time.monotonic() - started, 4 * rig.SLOW)
        self.assertEqual("recovering", self.phone("SICK")["state"])
        self.wait_phones("SICK", seconds=20)
        self.assertEqual(1, self.rungs()["reset"])
        self.assertEqual(1, self.bus.counts(2)[1])

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
        self.assertEqual((3, 2, 0, 2, 0, 1), tuple(rungs.values()))
        self.run_on("WELL")
        self.bus.fault(1, "good")
        self.assertEqual(200, self.client.post("/phones/SICK/release").status)
        self.wait_phones("SICK")
        self.run_on("SICK")

    def test_a_phone_that_answers_and_falls_again_and_again_is_rebooted(self):
        self.start_with(SICK=1, WELL=2)
        self.bus.say("cure", 1, "reboot")
        self.bus.fault(1, "garbage@")

        def is_rebooted():
            if self.phone("SICK")["state"] == "ready" and not self.rungs()["reboot"]:
                self.submit("brittle", phone="SICK")
            return self.rungs()["reboot"]
        rig.wait_until(is_rebooted, 60, "it is rebooted")
        self.bus.wait_for("detached 1")
        self.wait_phones("SICK")
        rungs = self.rungs()
        self.assertEqual((3, 2, 1, 0), (rungs["reopen"], rungs["reset"], rungs["reboot"],
                                        rungs["power"]))
        self.assertEqual(1, self.bus.counts(2)[1])
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

    def test_both_halves_of_a_usb_3_hub_are_switched(self):
        self.bus.say("super", 1)
        self.start_with(A=1, B=2)
        self.assertEqual(202, self.client.post("/phones/A/power").status)
        self.bus.wait_for("detached 1")  # as it only does without power from both
        self.bus.wait_for("attached 1")
        self.said("power_cycled slot=" + usb_rig.slot(1))
        self.wait_phones("A", "B")
        self.bus.say("offs", 1)
        self.bus.wait_for("offs 1 1 1")
        self.assertEqual(1, self.bus.counts(2)[1])

    def test_a_port_that_feeds_an_inner_hub_is_never_switched(self):
        self.start_with(A=4)
        self.bus.detach(4)
        self.wait_phones("A", state="absent")
        self.bus.say("nest", 12, "1-1.4")  # its ports are 111 to 120 of the bus
        self.bus.attach(111, "INNER")
        self.wait_phones("INNER")
        self.assertEqual("usb:0000:00:14.0-1.4.1", self.phone("INNER")["slot"])
        answer = self.client.post("/phones/A/power")
        self.assertEqual((409, "power_denied"), (answer.status, answer.body["error"]["code"]), answer)
        self.assertEqual(202, self.client.post("/phones/INNER/power").status)
        self.bus.wait_for("detached 111")
        self.said("power_cycled slot=usb:0000:00:14.0-1.4.1")
        self.wait_phones("INNER")
        self.bus.say("offs", 1)
        self.bus.wait_for("offs 1 0 0")

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

    def test_a_kernel_that_hangs_while_it_switches_a_port_holds_up_nobody_else(self):
        self.start_with(A=1, B=2)
        place = self.bus.root + "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/1-1-port1"
        os.makedirs(place)
        os.mkfifo(place + "/disable")
        pipe = os.open(place + "/disable", os.O_RDWR | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(pipe, b"x" * 4096)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(pipe, b"x")
        self.assertEqual(202, self.client.post("/phones/A/power").status)
        self.run_on("B")
        self.assertEqual(503, self.client.post("/phones/A/power").status)  # it still hangs
        os.unlink(place + "/disable")
        os.close(pipe)  # and now it fails: the hub is asked itself
        self.bus.wait_for("detached 1")
        self.said("power_cycled slot=" + usb_rig.slot(1))
        self.wait_phones("A", "B")
