"""Hostile phones on USB. Each row of the fault model has its test; no other phone is disturbed.

row | what | test
B1 | detach at each stage | usb.test_detach_inside_each_of_the_first_transfers
B2, B3 | short, empty, babbling, halted, silent | usb.test_a_hostile_phone_recovers_alone...,
   | | usb.test_an_empty_packet_behind_a_payload..., usb.test_a_phone_that_falls_silent...,
   | | usb_recovery (reset, power, quarantine)
B4 | descriptors that lie | usb.test_descriptors_that_lie_are_never_claimed
B5 | descriptors that differ when read again | here
B6 | one serial on two phones | usb.test_two_phones_of_one_serial_keep_their_names
B7 | another port, another serial, during a lease | here
B8 | other classes | here
B9 | ADB messages that no adbd sends, and floods | here
B10 | fastboot answers | usb_fastboot
B11 | answers handshakes, ends no work | here
B12 | a hub fails | usb.test_phones_of_one_hub_that_vanish..., usb_recovery
B13 | comes and goes without end | usb.test_a_phone_that_comes_and_goes_without_end...
B14 | serial controllers | usb_serial, and host/serial_power of the unit tests
B15 | a port map that is wrong | usb_serial.test_a_wrong_map_is_found_out_and_not_used_again
"""

import struct

import rig
import usb_rig

CNXN, OPEN, OKAY, CLSE, WRTE, AUTH, SYNC = (
    int.from_bytes(name, "little") for name in
    (b"CNXN", b"OPEN", b"OKAY", b"CLSE", b"WRTE", b"AUTH", b"SYNC"))
BUSY = """[capability]
name = busy
attempts = 1
retry_on = none
attempt_seconds = 2
[action.work]
type = shell
command = getprop
"""


def header(command, first=0, second=0, size=0, magic=None):
    magic = command ^ 0xffffffff if magic is None else magic
    return struct.pack("<6I", command, first, second, size, 0, magic).hex()


# What a phone says between its messages, and how often.
MESSAGES = {
    "bad-magic": [(header(WRTE, 1, 1, magic=1), 1)],
    "too-long": [(header(WRTE, 1, 1, size=0x7fffffff), 1)],
    "unknown-command": [(header(0x41414141), 1)],
    "sync": [(header(SYNC), 1)],
    "opens-the-host": [(header(OPEN, 77, 0, size=9), 1), (b"tcp:5037\0".hex(), 1)],
    "opens-id-0": [(header(OPEN, 0, 0, size=9), 1), (b"tcp:5037\0".hex(), 1)],
    "unknown-streams": [(header(WRTE, 900, 901), 20), (header(OKAY, 900, 901), 20),
                        (header(CLSE, 900, 901), 20)],
    "stream-0": [(header(WRTE, 0, 0), 20), (header(OKAY, 0, 0), 20), (header(CLSE, 0, 0), 20)],
    "auth-loop": [(header(AUTH, 1, 0, size=20), 1), (bytes(20).hex(), 1)],
    "cnxn-flood": [(header(CNXN, 0x01000001, 4096), 3000)],
    "okay-flood": [(header(OKAY, 900, 901), 5000)],
}


class HostileTest(usb_rig.UsbCase):

    def test_messages_that_no_adbd_sends(self):
        names = ["GOOD1", "GOOD2", *("BAD%d" % port for port in range(3, 3 + len(MESSAGES)))]
        for port, name in enumerate(names, 1):
            self.bus.attach(port, name)
        self.bus.settle()
        self.start_hub()
        self.wait_phones(*names)
        for port, (kind, messages) in enumerate(MESSAGES.items(), 3):
            with self.subTest(kind):
                name = "BAD%d" % port
                for hexadecimal, count in messages:
                    self.bus.say("say", port, hexadecimal, count)
                self.run_on("GOOD1", "brittle", 10)
                self.run_on("GOOD2", "brittle", 10)
                self.wait_phones(name, seconds=30)
                self.run_on(name, "brittle", 20)
        self.assertTrue(self.hub.is_running())
        self.assertEqual([1, 1], [self.bus.counts(port)[1] for port in (1, 2)])

    def test_only_the_descriptors_that_were_read_first_count(self):
        self.bus.attach(1, "FACES", "two-faced")
        self.bus.attach(2, "GOOD")
        self.start_hub()
        self.wait_phones("FACES", "GOOD")
        self.run_on("FACES")
        self.run_on("GOOD")

    def test_a_lease_does_not_follow_a_phone_to_another_port(self):
        self.bus.attach(1, "MOVES")
        self.bus.attach(2, "OTHER")
        self.start_hub()
        self.wait_phones("MOVES", "OTHER")
        process = self.nap(5, phone="MOVES")
        self.wait_status(process, "executing")
        self.bus.detach(1)
        self.bus.attach(25, "MOVES")
        ended = self.wait_end(process, 30)
        self.assertEqual(("completed", 2, ["phone_lost"]),
                         (ended["status"], ended["attempts"],
                          [error["category"] for error in ended["errors"]]), ended)
        self.wait_phones("MOVES", "OTHER")
        self.assertEqual(usb_rig.slot(25), self.phone("MOVES")["slot"])
        self.run_on("MOVES")
        self.assertEqual(1, self.bus.counts(2)[1])

    def test_a_lease_does_not_pass_to_another_phone_in_its_slot(self):
        self.bus.attach(1, "FIRST")
        self.start_hub()
        self.wait_phones("FIRST")
        process = self.nap(5, phone="FIRST")
        self.wait_status(process, "executing")
        self.bus.detach(1)
        self.bus.attach(1, "SECOND")
        self.wait_phones("SECOND")
        self.run_on("SECOND")
        rig.wait_until(lambda: self.process(process)["errors"], 10, "the loss is judged")
        left = self.process(process)
        self.assertEqual(("phone_lost", 1), (left["error"]["category"], left["attempts"]), left)
        self.assertEqual("absent", self.phone("FIRST")["state"])
        self.bus.detach(1)
        self.bus.attach(1, "FIRST")
        self.assertEqual("completed", self.wait_end(process, 30)["status"])

    def test_other_classes_are_never_claimed(self):
        # byte 32: the class of the interface: keyboard, storage, network, audio, hub
        self.start_hub()
        for port, number in enumerate((3, 8, 2, 1, 9), 2):
            self.bus.attach(port, "CLASS%d" % number, "descriptor=32:%d" % number)
        self.bus.attach(1, "GOOD")
        self.wait_phones("GOOD")
        for port in range(2, 7):
            self.assertEqual([0, 0, 0], self.bus.counts(port))
        self.run_on("GOOD")
        self.bus.detach(1)
        self.wait_phones("GOOD", state="absent")
        self.bus.attach(1, "GOOD", "descriptor=32:3")  # it comes back as a keyboard
        self.bus.settle()
        self.bus.attach(7, "WELL")
        self.wait_phones("WELL")
        self.assertEqual("absent", self.phone("GOOD")["state"])

    def test_a_phone_that_answers_and_ends_no_work_costs_only_its_own_time(self):
        self.write("capabilities/busy.ini", BUSY)
        self.bus.attach(1, "HANGS")
        self.bus.attach(2, "WELL")
        self.bus.fault(1, "hang@")
        self.bus.settle()
        self.start_hub()
        self.wait_phones("HANGS", "WELL")
        process = self.submit("busy", phone="HANGS")
        self.run_on("WELL", "busy")
        ended = self.wait_end(process, 20)
        self.assertEqual(("failed_terminal", "timeout"),
                         (ended["status"], ended["error"]["category"]), ended)
        self.assertEqual(1, self.bus.counts(2)[1])
        self.bus.fault(1, "good")
        rig.wait_until(lambda: self.phone("HANGS")["state"] == "ready", 30, "it is ready")
        self.run_on("HANGS", "busy")
