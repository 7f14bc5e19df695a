"""A hub that is to look for phones on USB, on a machine that shows no USB yet."""

import os

import rig
import usb_rig


class UsbMissingTest(usb_rig.UsbCase):
    """What shows the bus is hidden until a test brings it back."""

    def setUp(self):
        super().setUp()
        self.bus.settle()
        self.hide("sys", "dev")

    def hide(self, *folders):
        for folder in folders:
            os.rename(os.path.join(self.bus.root, folder, "bus"),
                      os.path.join(self.bus.root, folder, "hidden"))

    def show(self, folder):
        os.rename(os.path.join(self.bus.root, folder, "hidden"),
                  os.path.join(self.bus.root, folder, "bus"))

    def warnings(self):
        return self.client.get("/readyz").body["warnings"]

    def missing_lines(self):
        return [line for line in self.hub.lines if "event=usb_missing" in line]

    def test_it_works_without_says_so_once_and_takes_usb_as_soon_as_it_is_there(self):
        tcp = rig.free_ports(1)
        self.start("phonesim", "--adb-tcp", "127.0.0.1:%d" % tcp)
        self.start_hub(phones=[tcp])
        self.wait_phones("SIM001")
        self.run_on("SIM001")
        rig.wait_until(lambda: "usb_missing" in self.warnings(), 10, "it warns")
        self.assertEqual(0, self.metric("hub_usb_up"))
        said = self.missing_lines()
        self.assertEqual(1, len(said), said)
        self.assertIn("level=warn", said[0])
        self.assertIn("load the USB modules, or set [phones] usb = off", said[0])

        self.show("dev")
        self.show("sys")
        self.bus.attach(1, "USB001")
        self.hub.wait_for("event=usb_found", 30)
        self.wait_phones("USB001")
        self.run_on("USB001")
        self.bus.attach(2, "USB002")
        self.wait_phones("USB002")
        self.assertEqual([], self.warnings())
        self.assertEqual(1, self.metric("hub_usb_up"))
        self.assertEqual(said, self.missing_lines())

    def test_what_is_in_the_way_now_is_said_when_it_is_another_thing(self):
        self.start_hub()
        self.hub.wait_for("this kernel has no USB support", 10)
        self.show("sys")
        self.hub.wait_for("/dev/bus/usb is not there", 30)
        self.show("dev")
        self.hub.wait_for("event=usb_found", 30)
        self.assertEqual(2, len(self.missing_lines()))


class UsbOffTest(usb_rig.UsbCase):

    def config_text(self, phones=(), **changes):
        return super().config_text(phones, **changes).replace("usb = on", "usb = off")

    def test_a_hub_that_does_not_want_usb_says_nothing_of_it(self):
        self.start_hub()
        self.assertNotIn("hub_usb_up", self.client.get("/metrics").body)
        self.assertEqual([], self.client.get("/readyz").body["warnings"])
