"""Phones on USB, through libusb, on an emulated bus."""

import os
import time

import rig
import usb_rig

CARRY = """[capability]
name = carry
attempts = 1
retry_on = none
"""
CARRY_STEP = """[action.push_%(size)d]
type = push
source = %(folder)s/%(size)d
target = /data/local/tmp/%(size)d
[action.pull_%(size)d]
type = pull
source = /data/local/tmp/%(size)d
target = %(folder)s/%(size)d.back
max_bytes = 10485760
"""
# What a phone may do on the bus, and the reason that hubd then gives. Every one is survived.
HOSTILE = {
    "short-header": "sent what is no ADB message",
    "noise": "sent what is no ADB message",
    "lying-header": "sent a payload of another length than its header said",
    "empty-flood": "sends empty packets without end",
    "stall": "halted its endpoint",
    "babble": "sent more than was asked for",
    "error": "the USB transfer failed",
}


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
        maps = self.map_count()
        process = self.submit("brittle", phones=names)
        self.assertEqual("completed", self.wait_end(process, 60)["status"])
        self.assertEqual(maps, self.map_count())
        self.assertEqual(0, self.metric("hub_arena_failures_total"))

        def idle_ticks():
            before = self.cpu_ticks()
            time.sleep(0.5)
            return self.cpu_ticks() - before
        rig.wait_until(lambda: idle_ticks() <= 1, 20, "100 idle phones cost nothing")

    def map_count(self):
        with open("/proc/%d/maps" % self.hub.pid, encoding="utf-8") as file:
            return len(file.readlines())

    def cpu_ticks(self):
        with open("/proc/%d/stat" % self.hub.pid, encoding="utf-8") as file:
            return sum(int(word) for word in file.read().split()[13:15])

    def test_a_hostile_phone_recovers_alone_and_disturbs_no_other(self):
        names = ["GOOD1", "GOOD2", *("BAD%d" % port for port in range(3, 3 + len(HOSTILE)))]
        for port, name in enumerate(names, 1):
            self.bus.attach(port, name)
        self.bus.settle()
        self.start_hub()
        self.wait_phones(*names)
        for port, (kind, reason) in enumerate(HOSTILE.items(), 3):
            with self.subTest(kind):
                name = "BAD%d" % port
                claims = [self.bus.counts(good)[1] for good in (1, 2)]
                self.bus.fault(port, kind)
                process = self.submit("brittle", phone=name)
                others = [self.submit("brittle", phone=good) for good in ("GOOD1", "GOOD2")]
                self.wait_phones(name, state="recovering")
                self.assertEqual(reason, self.phone(name)["reason"])
                for other in others:
                    self.assertEqual("completed", self.wait_end(other)["status"])
                self.bus.fault(port, "good")
                self.wait_phones(name)
                self.wait_end(process, 40)
                self.assertEqual(claims, [self.bus.counts(good)[1] for good in (1, 2)])
        self.assertTrue(self.hub.is_running())

    def test_an_empty_packet_behind_a_payload_is_left_out(self):
        self.bus.fault(1, "empty-behind")
        self.bus.attach(1, "USB001")
        self.start_hub()
        self.wait_phones("USB001")
        self.run_on("USB001")
        self.assertEqual(1, self.bus.counts(1)[1])

    def test_a_phone_that_falls_silent_is_found_out(self):
        self.bus.attach(1, "USB001")
        self.bus.attach(2, "USB002")
        self.start_hub()
        self.wait_phones("USB001", "USB002")
        self.bus.fault(1, "silent")
        self.submit("brittle", phone="USB001")
        self.wait_phones("USB001", state="recovering", seconds=40)
        self.assertEqual("has gone silent", self.phone("USB001")["reason"])
        self.run_on("USB002")
        self.bus.fault(1, "good")
        self.wait_phones("USB001", seconds=40)

    def test_detach_inside_each_of_the_first_transfers(self):
        self.bus.attach(2, "OTHER")
        self.start_hub()
        seen = 0
        # A lost lease is judged 2 s late, so not every number up to the end of the work.
        for count in [*range(1, 10), 12, 16, 20, 25, 30, 39]:
            self.bus.say("detach-at", 1, count)
            self.bus.attach(1, "USB001")
            while not any(line == "detached 1" for line in self.bus.lines[seen:]):
                if self.phone("USB001").get("state") == "ready":
                    self.submit("maintenance", phone="USB001")
                time.sleep(0.01)
            seen = len(self.bus.lines)
            rig.wait_until(lambda: self.phone("USB001").get("state") in (None, "absent"), 10,
                           "it is absent after transfer %d" % count)
        self.bus.attach(1, "USB001")
        self.wait_phones("USB001", "OTHER")
        self.run_on("OTHER")
        self.assertEqual(1, self.bus.counts(2)[1])

    def test_two_phones_of_one_serial_keep_their_names(self):
        self.bus.attach(1, "TWIN")
        self.start_hub()
        self.wait_phones("TWIN")
        self.bus.attach(2, "TWIN")
        second = "TWIN~" + usb_rig.slot(2)
        self.wait_phones(second)
        for name in ("TWIN", second):
            self.run_on(name)
        self.bus.detach(1)
        self.bus.detach(2)
        self.wait_phones("TWIN", second, state="absent")
        self.bus.attach(2, "TWIN")
        self.wait_phones(second)
        self.bus.attach(1, "TWIN")
        self.wait_phones("TWIN")
        self.assertEqual(usb_rig.slot(1), self.phone("TWIN")["slot"])

    def test_a_phone_may_move_to_another_slot(self):
        self.bus.attach(1, "USB001")
        self.start_hub()
        self.wait_phones("USB001")
        self.bus.detach(1)
        self.bus.attach(25, "USB001")
        rig.wait_until(lambda: self.phone("USB001")["slot"] == usb_rig.slot(25), 10, "it moved")
        self.wait_phones("USB001")
        self.run_on("USB001")

    def test_a_phone_without_serial_is_named_by_its_slot(self):
        self.bus.attach(4, "-")
        self.start_hub()
        self.wait_phones(usb_rig.slot(4))
        self.run_on(usb_rig.slot(4))

    def test_descriptors_that_lie_are_never_claimed(self):
        # byte: value of the 50 bytes in link_usb.c: lengths, counts, addresses, packet sizes
        lies = ["0:0", "17:0", "18:0", "18:255", "20:255", "20:8", "21:4", "27:0", "27:255",
                "31:3", "31:1", "36:0", "36:1", "38:0", "38:1", "40:1", "45:129"]
        self.start_hub()
        for port, lie in enumerate(lies, 2):
            self.bus.attach(port, "LIAR%02d" % port, "descriptor=" + lie)
        self.bus.attach(1, "USB001")
        self.wait_phones("USB001")
        for port in range(2, len(lies) + 2):
            self.assertEqual([0, 0, 0], self.bus.counts(port), lies[port - 2])
        self.assertEqual(1, len(self.client.get("/phones").body["phones"]))
        self.run_on("USB001")

    def test_a_phone_that_wants_a_key_is_unauthorized_until_it_is_accepted(self):
        self.bus.attach(1, "NEVER", "auth=never")
        self.bus.attach(2, "ASKS", "auth=yes")
        self.start_hub(keys=self.path("adbkey"))
        self.wait_phones("NEVER", state="unauthorized")
        self.wait_phones("ASKS")
        self.run_on("ASKS")
        self.assertIn("accepted", self.phone("NEVER")["reason"])

    def test_a_phone_that_another_program_holds_is_refused_with_the_cure(self):
        self.bus.fault(1, "busy")
        self.bus.fault(2, "denied")
        self.bus.attach(1, "BUSY")
        self.bus.attach(2, "DENIED")
        self.start_hub()
        self.wait_phones("BUSY", "DENIED", state="refused")
        self.assertIn("adb server", self.phone("BUSY")["reason"])
        self.assertIn("udev", self.phone("DENIED")["reason"])
        self.bus.fault(1, "good")
        self.bus.fault(2, "good")
        self.wait_phones("BUSY", "DENIED")

    def test_a_phone_too_many_for_its_controller_is_refused_in_words(self):
        self.start_hub(endpoints=8)  # 2 of the hub, 3 of each phone
        self.bus.attach(1, "A")
        self.bus.attach(2, "B")
        self.wait_phones("A", "B")
        self.bus.attach(3, "C")
        self.bus.attach(4, "D", "unconfigured")
        self.wait_phones("C", "D", state="refused")
        self.assertIn("no endpoints left", self.phone("C")["reason"])
        self.assertIn("could not configure it", self.phone("D")["reason"])
        self.assertEqual([0, 0], [self.bus.counts(port)[1] for port in (3, 4)])
        self.run_on("A")
        self.bus.detach(1)
        self.wait_phones("C")
        self.run_on("C")

    def test_a_phone_that_comes_and_goes_without_end_disturbs_no_other(self):
        self.bus.attach(2, "OTHER")
        self.start_hub()
        self.wait_phones("OTHER")
        process = self.nap(2, phone="OTHER")
        for _ in range(100):
            self.bus.attach(1, "FLOOD")
            self.bus.detach(1)
        self.bus.attach(1, "FLOOD")
        self.assertEqual("completed", self.wait_end(process)["status"])
        self.wait_phones("FLOOD")
        self.run_on("FLOOD")
        self.assertEqual(1, self.bus.counts(2)[1])

    def test_files_of_every_awkward_size_arrive_whole(self):
        self.carry_awkward_sizes()

    def test_files_of_every_awkward_size_arrive_whole_without_delayed_ack(self):
        self.carry_awkward_sizes(delayed_ack="off")

    def carry_awkward_sizes(self, **changes):
        sizes = [1, 503, 504, 505, 511, 512, 513, 1016, 16376, 16384, 65528, 65536, 1048568, 3000000]
        text = CARRY
        for size in sizes:
            self.write("files/%d" % size, os.urandom(size))
            text += CARRY_STEP % {"size": size, "folder": self.path("files")}
        self.write("capabilities/carry.ini", text)
        self.bus.attach(1, "USB001")
        self.start_hub(**changes)
        self.wait_phones("USB001")
        self.run_on("USB001", "carry", 60)
        for size in sizes:
            with open(self.path("files", str(size)), "rb") as sent:
                with open(self.path("files", "%d.back" % size), "rb") as back:
                    self.assertEqual(sent.read(), back.read(), size)

    def test_phones_of_one_hub_that_vanish_together_are_one_fault(self):
        for port, name in ((1, "A1"), (2, "A2"), (11, "B1")):
            self.bus.attach(port, name)
        self.start_hub()
        self.wait_phones("A1", "A2", "B1")
        work = {name: self.nap(3, phone=name) for name in ("A1", "A2", "B1")}
        for process in work.values():
            self.wait_status(process, "executing")
        self.bus.detach(1)
        self.bus.detach(2)
        self.wait_phones("A1", "A2", state="absent")
        for name in ("A1", "A2"):
            process = self.wait_status(work[name], "queued")
            self.assertIsNone(process["error"], process)
        self.assertEqual("completed", self.wait_end(work["B1"])["status"])
        self.bus.attach(1, "A1")
        self.bus.attach(2, "A2")
        for name in ("A1", "A2"):
            self.assertEqual("completed", self.wait_end(work[name], 30)["status"])

    def test_debians_adb_takes_the_bus_for_a_real_one(self):
        self.bus.attach(1, "USB001")
        self.bus.attach(2, "USB002")
        self.bus.settle()
        env = dict(usb_rig.environment(self.bus), HOME=self.scratch, ADB_LIBUSB="1",
                   ANDROID_ADB_SERVER_PORT=str(rig.free_ports(1)))

        def adb(*arguments):
            return self.run_program("/usr/bin/adb", *arguments, env=env)[1].decode()
        self.addCleanup(adb, "kill-server")
        rig.wait_until(lambda: adb("devices").count("\tdevice") == 2, 20, "adb lists both phones")
        self.assertEqual("hi\n", adb("-s", "USB002", "shell", "echo", "hi"))

    def test_debians_uhubctl_takes_its_hubs_for_real_ones(self):
        self.bus.attach(1, "USB001")
        self.bus.attach(2, "USB002")
        self.bus.settle()

        def uhubctl(*arguments):
            return self.run_program("/usr/sbin/uhubctl", *arguments,
                                    env=usb_rig.environment(self.bus))[1].decode()
        listed = uhubctl()
        self.assertIn("Current status for hub 1-1", listed)
        self.assertIn("10 ports, ppps", listed)
        self.assertIn("Port 1: 0503 power highspeed enable connect", listed)
        self.assertIn("Port 3: 0100 power", listed)
        self.assertIn("Port 1: 0000 off", uhubctl("-l", "1-1", "-p", "1", "-a", "off"))
        self.bus.wait_for("detached 1")
        self.assertIn("Port 1: 0", uhubctl("-l", "1-1", "-p", "1", "-a", "on"))
        rig.wait_until(lambda: self.bus.lines.count("attached 1 1-1.1") == 2, 10, "it is back")
        self.start_hub()
        self.wait_phones("USB001", "USB002")
