"""Battery care on the emulated bus: phones whose batteries charge and drain within seconds."""

import rig
import usb_rig


class BatteryTest(usb_rig.UsbCase):
    slots = "all"

    def config_text(self, phones=(), **changes):
        text = super().config_text(phones, **changes)
        if self.slots:
            text += "[power]\nslots = %s\nbattery_check_seconds = 1\n" % self.slots
        return text

    def start_with(self, **phones):
        """Phones by name, each with its port and its battery."""
        for name, (port, battery) in phones.items():
            self.bus.attach(port, name, "battery=" + battery)
        self.bus.settle()
        self.start_hub()  # a full phone may rest before anybody has seen it ready

    def slots_in(self, state):
        return self.metric('hub_battery_slots{state="%s"}' % state)

    def wait_off(self, name):
        wanted = ("absent", "its port is off for its battery's sake")

        def is_off():
            phone = self.phone(name)
            return (phone.get("state"), phone.get("reason")) == wanted
        rig.wait_until(is_off, 20, "%s rests" % name)

    def test_a_full_phone_rests_and_one_that_is_not_full_charges(self):
        self.start_with(FULL=(1, "90:1000"), HALF=(2, "60:0"))
        self.bus.wait_for("detached 1")
        self.wait_off("FULL")
        self.assertEqual(1, self.slots_in("resting"))
        # It is waked to be looked at, and rests again, longer, now that its loss is known.
        rig.wait_until(lambda: self.metric("hub_battery_cuts_total") == 2, 20, "2 rests")
        self.wait_phones("HALF")
        self.assertEqual(1, self.bus.counts(2)[1])
        self.assertEqual(1, self.metric("hub_battery_charges_total"))
        self.assertEqual(0, self.metric("hub_battery_failures_total"))
        self.assertEqual(0, self.metric("hub_recovery_rungs_total{rung=\"reopen\"}"))

    def test_work_wakes_a_resting_phone(self):
        self.start_with(FULL=(1, "100:10"))
        for _ in range(2):
            self.wait_off("FULL")
            self.run_on("FULL")
        self.wait_off("FULL")
        process = self.submit("maintenance", phones=None)
        self.assertEqual("completed", self.wait_end(process)["status"])

    def test_a_phone_at_work_is_not_cut(self):
        self.slots = "usb:0000:00:14.0-1.1"
        self.bus.attach(1, "FULL", "battery=75:3000")
        self.bus.attach(2, "OTHER", "battery=100:0")
        self.bus.settle()
        self.start_hub()
        self.wait_phones("FULL")
        process = self.nap(5, phone="FULL")
        self.assertEqual("completed", self.wait_end(process)["status"])
        self.wait_off("FULL")
        self.assertEqual("ready", self.phone("OTHER")["state"])
        self.assertEqual(1, self.bus.counts(2)[1])

    def test_a_hub_that_cannot_is_asked_once_and_the_phone_works_on(self):
        self.bus.say("hub", 1, "ganged")
        self.start_with(FULL=(1, "100:0"), OTHER=(2, "60:0"))
        rig.wait_until(lambda: self.metric("hub_battery_failures_total") == 1, 10, "it is refused")
        self.run_on("FULL")
        self.run_on("OTHER")
        self.assertEqual(1, self.metric("hub_battery_failures_total"))
        self.assertEqual([1, 1], [self.bus.counts(port)[1] for port in (1, 2)])

    def test_no_port_stays_off_when_hubd_stops_or_dies(self):
        self.start_with(FULL=(1, "100:10"))
        self.wait_off("FULL")
        seen = len(self.bus.lines)
        self.hub.stop()
        rig.wait_until(lambda: "attached 1 1-1.1" in self.bus.lines[seen:], 10, "it has power")
        self.restart_hub()
        self.wait_off("FULL")
        for slots in "all", "usb:0000:00:14.0-1.1":
            seen = len(self.bus.lines)
            self.hub.kill()
            self.slots = slots
            self.start_hub()
            rig.wait_until(lambda: "attached 1 1-1.1" in self.bus.lines[seen:], 20, "it has power")
            self.wait_off("FULL")

    def test_a_phone_that_does_not_say_its_level_is_left_on(self):
        self.bus.attach(1, "MUTE", "battery=100:0")
        self.bus.fault(1, "hang@dumpsys")
        self.bus.settle()
        self.start_hub()
        self.wait_phones("MUTE")
        self.run_on("MUTE", "brittle")
        self.assertEqual(1, self.slots_in("unknown"))
        self.assertEqual(0, self.metric("hub_battery_cuts_total"))

    def test_it_is_off_unless_it_is_configured(self):
        self.slots = ""
        self.start_with(FULL=(1, "100:0"))
        self.run_on("FULL")
        self.assertNotIn("hub_battery", self.client.get("/metrics").body)
