"""Phones on USB, through libusb, on an emulated bus."""

import time

import rig
import usb_rig


class UsbTest(usb_rig.UsbCase):

    def test_a_phone_that_is_there_is_found_and_works(self):
        self.bus.attach(1, "USB001")
        self.bus.settle()
        self.start_hub()
        self.wait_phones("USB001")
        phone = self.phone("USB001")
        self.assertEqual(usb_rig.slot(1), phone["slot"])
        self.run_on("USB001")

    def test_a_phone_that_is_plugged_in_later_is_found(self):
        self.start_hub()
        self.bus.attach(1, "USB001")
        self.wait_phones("USB001")
        self.run_on("USB001")

    def test_an_unplugged_phone_is_absent_and_comes_back(self):
        self.bus.attach(1, "USB001")
        self.bus.settle()
        self.start_hub()
        self.wait_phones("USB001")
        self.bus.detach(1)
        self.wait_phones("USB001", state="absent")
        self.bus.attach(1, "USB001")
        self.wait_phones("USB001")
        self.run_on("USB001")

    def test_a_hundred_phones_at_once_are_ready_leased_and_served(self):
        names = ["USB%03d" % number for number in range(1, 101)]
        self.start_hub(size="64MiB")
        started = time.monotonic()
        for number, name in enumerate(names, 1):
            self.bus.attach(number, name)

        def all_ready():
            phones = self.client.get("/phones?limit=200").body["phones"]
            return sum(phone["state"] == "ready" for phone in phones) == 100
        rig.wait_until(all_ready, 60, "100 phones are ready")
        print("note: 100 USB phones ready %.2f s after the first was plugged in"
              % (time.monotonic() - started))
        process = self.submit("brittle", phones=names)
        self.assertEqual("completed", self.wait_end(process, 60)["status"])
