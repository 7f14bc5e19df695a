"""Hub controllers on serial lines, through libserialport, and the slots whose power they switch."""

import rig
import serial_hub_rig
import usb_rig


class SerialHubTest(usb_rig.UsbCase):
    """The ports of USB hub 1 are switched by the controller; the hub itself cannot."""

    def config_text(self, phones=(), **changes):
        text = super().config_text(phones, **changes)
        slots = ", ".join("%d=%s" % (port, usb_rig.slot(at)) for port, at in self.map.items())
        return text + "[hub_serial.shelf]\nport = /dev/ttyHUB0\ndialect = cambrionix-universal\n" \
            "slots = %s\n" % slots

    def start_with(self, *names, wires=None, slots=None):
        """Phones at ports 1, 2, ... of the bus; the controller's port 11 feeds port 1, and so on."""
        self.map = slots or {11: 1, 12: 2, 13: 3}
        self.bus.say("hub", 1, "never")
        self.box = serial_hub_rig.Controller(self.bus, wires=wires or {11: 1, 12: 2, 13: 3})
        self.addCleanup(lambda: self.box.stop())
        for port, name in enumerate(names, 1):
            self.bus.attach(port, name)
        self.bus.settle()
        self.start_hub()
        self.wait_phones(*names)
        rig.wait_until(lambda: self.up() == 1, 10, "the controller is ready")

    def up(self):
        return self.metric('hub_serial_up{name="shelf"}')

    def said(self, text, seconds=20):
        rig.wait_until(lambda: text in self.hub.output(), seconds, text)

    def power(self, name):
        answer = self.client.post("/phones/%s/power" % name)
        self.assertEqual(202, answer.status, answer)

    def test_an_operator_switches_a_port_of_a_controller(self):
        self.start_with("A", "B")
        self.power("A")
        self.bus.wait_for("detached 1")
        self.bus.wait_for("attached 1")
        self.said("power_cycled slot=" + usb_rig.slot(1))
        self.wait_phones("A", "B")
        self.assertEqual(1, self.bus.counts(2)[1])
        self.assertEqual(1, self.metric("hub_power_cycles_total"))
        self.run_on("A")

    def test_hubctl_switches_it_too_and_says_why_not(self):
        self.start_with("A")

        def hubctl(name):
            status, out, error = self.run_program(
                "hubctl", "--url", "http://127.0.0.1:%d" % self.port, "--token-file",
                self.token_file, "power", name)
            return status, (out + error).decode()
        status, text = hubctl("A")
        self.assertEqual((0, "A"), (status, text.split()[0]), text)
        self.said("power_cycled slot=" + usb_rig.slot(1))
        self.box.unplug()
        rig.wait_until(lambda: self.up() == 0, 10, "its controller is gone")
        status, text = hubctl("A")
        self.assertEqual(1, status, text)
        self.assertIn("controller", text)
        self.assertEqual(1, hubctl("NOBODY")[0])

    def test_the_ladder_uses_the_controller(self):
        self.start_with("SICK", "WELL")
        self.bus.say("cure", 1, "power")
        self.bus.fault(1, "stall")
        self.submit("brittle", phone="SICK")
        self.wait_phones("SICK", state="recovering")
        self.said("power_cycled slot=" + usb_rig.slot(1), 60)
        self.wait_phones("SICK")
        self.assertEqual(1, self.bus.counts(2)[1])
        self.run_on("SICK")

    def test_a_port_that_was_left_off_gets_power_when_hubd_starts(self):
        self.start_with("A")
        self.hub.kill()
        self.box.switch(11, False)
        self.bus.settle()
        self.restart_hub()
        self.wait_phones("A")

    def test_a_controller_that_has_restarted_is_set_up_again(self):
        self.start_with("A", "B")
        self.box.restarted = True
        self.power("B")
        self.said("hub_serial_restarted name=shelf")
        rig.wait_until(lambda: self.box.heard[-1] == "crf" or "crf" in self.box.heard, 10, "crf")
        self.assertIn("mode s 11", self.box.heard)
        self.said("power_cycled slot=" + usb_rig.slot(2))
        self.wait_phones("A", "B")

    def test_after_a_fatal_error_the_controller_is_left_alone(self):
        self.start_with("A")
        self.box.fatal = True
        self.power("A")
        self.said('power_cycle_failed slot=%s reason="its hub has failed and restarts"'
                  % usb_rig.slot(1))
        heard = len(self.box.heard)
        self.assertEqual(0, self.up())
        answer = self.client.post("/phones/A/power")
        self.assertEqual(409, answer.status, answer)
        self.box.silent = False
        rig.wait_until(lambda: self.up() == 1, 30, "it is used again")
        self.assertEqual("host manual", self.box.heard[heard])
        self.wait_phones("A")

    def test_a_silent_controller_is_not_used_and_an_unplugged_one_is_found_again(self):
        self.start_with("A")
        self.box.silent = True
        self.power("A")
        self.said('power_cycle_failed slot=%s reason="its hub does not answer"' % usb_rig.slot(1))
        self.box.silent = False
        rig.wait_until(lambda: self.up() == 1, 30, "it answers again")
        self.box.unplug()
        self.said("its serial adapter was unplugged")
        self.assertEqual(0, self.up())
        self.box.plug()
        rig.wait_until(lambda: self.up() == 1, 40, "it is back")
        self.power("A")
        self.said("power_cycled slot=" + usb_rig.slot(1))
        self.wait_phones("A")

    def test_noise_and_refusals_on_the_line(self):
        self.start_with("A")
        self.box.noise = b"\xff\x00garbage, 1, O\r\n11, 0000, D O\r\n" + b"x" * 400 + b"\r\n"
        self.power("A")
        self.said("power_cycled slot=" + usb_rig.slot(1))
        self.wait_phones("A")
        self.box.refuses = True
        self.power("A")
        self.said('power_cycle_failed slot=%s reason="its hub refused a request"' % usb_rig.slot(1))
        self.said("E422")
        self.wait_phones("A")

    def test_a_wrong_map_is_found_out_and_not_used_again(self):
        self.start_with("A", "B", wires={11: 2, 12: 1})
        self.power("A")
        self.said("power_not_trusted slot=" + usb_rig.slot(1))
        self.wait_phones("A", "B")
        self.assertEqual(0, self.up())
        self.assertEqual(1, self.metric("hub_power_distrusted_total"))
        for name in "A", "B":
            self.assertEqual(409, self.client.post("/phones/%s/power" % name).status)

    def test_a_port_without_effect_is_told(self):
        self.start_with("A", wires={12: 2})
        self.power("A")
        self.said('reason="its phone did not leave the bus: its power was not cut"')
        self.assertEqual(1, self.up())
        self.run_on("A")

    def test_a_wrong_section_is_refused_with_what_was_expected(self):
        good = "port = /dev/ttyS0\ndialect = line\nslots = 1=usb:x-1.1\n"
        wrong = {
            "dialect = line\nslots = 1=usb:x-1.1\n": "port: missing",
            "port = /dev/ttyS0\nslots = 1=usb:x-1.1\n": "dialect: missing",
            "port = /dev/ttyS0\ndialect = line\n": "slots: missing",
            good.replace("line", "morse"): "cambrionix-universal",
            good.replace("/dev/ttyS0", "ttyS0"): "absolute path",
            good.replace("1=usb", "0=usb"): "ports 1 to 64",
            good.replace("1=usb", "65=usb"): "ports 1 to 64",
            good.replace("usb:x", "tcp:x"): "PORT=usb:SLOT",
            good + "slots = 1=usb:x-1.2\n": "no port and no slot twice",
            good + "slots = 2=usb:x-1.1\n": "no port and no slot twice",
            good + "baud = 5\n": "300 to 4000000",
            good + "speed = 5\n": "one of port dialect baud slots",
            good + "[hub_serial.other]\n" + good.replace("S0", "S1"): "no slot twice",
        }
        for lines, expected in wrong.items():
            text = super().config_text() + "[hub_serial.shelf]\n" + lines
            path = self.write("wrong.ini", text)
            status, _, error = self.run_program(rig.program("hubd"), "--config", path,
                                                "--check-config")
            self.assertEqual(2, status, lines)
            self.assertIn(expected, error.decode(), lines)
