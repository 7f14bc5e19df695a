"""Bootloaders on USB: the emulated ones, as Debian's fastboot sees them, and hubd's way there."""

import os
import subprocess
import unittest

import fastboot_image
import hub_rig
import rig
import usb_rig

LIMIT = 1 << 20  # max-download-size of the phones here
FLASH = """[capability]
name = flash
attempts = 1
attempt_seconds = 300
[action.flash]
type = flash
source = %s
target = ${build}
timeout_seconds = 120
once = on
"""


class FastbootCase(usb_rig.UsbCase):

    def setUp(self):
        super().setUp()
        self.partitions = self.path("partitions")
        os.makedirs(self.partitions)

    def attach(self, port, serial, *options):
        self.bus.attach(port, serial, "partitions=" + self.partitions, "download=%d" % LIMIT,
                        *options)

    def partition(self, serial, name, size=None):
        with open(os.path.join(self.partitions, "%s.%s" % (serial, name)), "rb") as file:
            return file.read() if size is None else file.read(size)

    def tool(self, *arguments, good=True, seconds=60):
        """Runs Debian's adb or fastboot on the bus; its output."""
        env = dict(usb_rig.environment(self.bus), ADB_LIBUSB="1",
                   ANDROID_ADB_SERVER_PORT=str(self.adb_port), HOME=self.path(""))
        done = subprocess.run(arguments, env=env, timeout=seconds, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        output = done.stdout.decode("utf-8", "replace")
        self.assertEqual(good, done.returncode == 0, output)
        return output


class ForeignTest(FastbootCase):
    """The emulated bootloader is what Debian's fastboot takes for one."""

    def setUp(self):
        super().setUp()
        self.adb_port = rig.free_ports(1)
        self.addCleanup(lambda: self.tool("adb", "kill-server"))

    def into_bootloader(self, *options):
        self.attach(1, "USB001", *options)
        self.bus.settle()
        rig.wait_until(lambda: "USB001" in self.tool("adb", "devices"), 20, "adb sees the phone")
        self.tool("adb", "reboot", "bootloader")
        rig.wait_until(lambda: "fastboot" in self.tool("fastboot", "devices"), 20,
                       "fastboot sees the phone")

    def test_debians_fastboot_flashes_it_and_brings_it_back(self):
        self.into_bootloader()
        self.assertIn("USB001", self.tool("fastboot", "devices"))
        self.assertIn("max-download-size: 0x100000", self.tool("fastboot", "getvar",
                                                               "max-download-size"))
        self.assertIn("partition-size:system_a:0x10000000", self.tool("fastboot", "getvar", "all"))
        small = fastboot_image.plain(70000)
        image, whole = fastboot_image.large_sparse(400)
        small_file, image_file = self.path("small.img"), self.path("large.simg")
        for path, content in ((small_file, small), (image_file, image)):
            with open(path, "wb") as file:
                file.write(content)
        self.tool("fastboot", "flash", "boot", small_file)
        self.tool("fastboot", "flash", "system", image_file)
        self.assertEqual(small, self.partition("USB001", "boot_a", len(small)))
        self.assertEqual(whole, self.partition("USB001", "system_a", len(whole)))
        self.tool("fastboot", "erase", "boot_a")
        self.assertEqual(bytes(70000), self.partition("USB001", "boot_a", 70000))
        self.tool("fastboot", "set_active", "b")
        self.assertIn("current-slot: b", self.tool("fastboot", "getvar", "current-slot"))
        self.assertIn("unknown command", self.tool("fastboot", "oem", "secret", good=False))
        self.assertIn("partition does not exist",
                      self.tool("fastboot", "flash", "nothing", small_file, good=False))
        self.tool("fastboot", "reboot")
        rig.wait_until(lambda: "USB001\tdevice" in self.tool("adb", "devices"), 20, "adb sees it")


class FlashTest(FastbootCase):
    """The `flash` action: images of a folder into a phone's partitions, by way of its bootloader."""

    def setUp(self):
        super().setUp()
        self.images = self.path("images")
        os.makedirs(self.images)
        self.write("capabilities/flash.ini", FLASH % self.images)
        self.write("capabilities/reflash.ini", FLASH.replace("once = on", "once = off").replace(
            "name = flash", "name = reflash") % self.images)
        self.boot = fastboot_image.plain(300001, 3)
        self.system, self.system_whole = fastboot_image.large_sparse(400)
        self.data = fastboot_image.plain(3 * LIMIT + 12345, 4)

    def write_build(self, build="build", images=None, **keys):
        """A folder with a manifest; gives its path."""
        folder = os.path.join(self.images, build)
        os.makedirs(folder, exist_ok=True)
        images = images or [("boot", "boot.img", self.boot, ""),
                            ("system", "system.simg", self.system, "slot = both\n"),
                            ("userdata", "data.img", self.data, "")]
        for _, name, content, _ in images:
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        with open(os.path.join(folder, "manifest.ini"), "w", encoding="utf-8") as file:
            file.write(fastboot_image.manifest(images, **keys))
        return folder

    def start_with(self, *options, port=1, serial="USB001"):
        self.attach(port, serial, *options)
        self.bus.settle()
        self.start_hub()
        self.wait_phones(serial)

    def flash(self, serial="USB001", build="build", capability="flash"):
        return self.submit(capability, phone=serial, inputs={"build": build})

    def assert_flashed(self, serial="USB001"):
        for name, content in (("boot_a", self.boot), ("system_a", self.system_whole),
                              ("system_b", self.system_whole), ("userdata", self.data)):
            self.assertEqual(content, self.partition(serial, name, len(content)), name)
        # Behind its last byte a plain image is filled up to its block's end, and no further.
        self.assertEqual(bytes(70000), self.partition(serial, "userdata")[
            len(self.data):len(self.data) + 70000])

    def wait_step(self, process, text, seconds=20):
        """Until the process's current step has the text."""
        rig.wait_until(lambda: text in (self.process(process)["current_step"] or ""), seconds,
                       "a step with %r" % text)

    def test_every_byte_arrives_whatever_the_bootloader_takes_at_once(self):
        self.write_build(product="phonesim", set_active="b")
        self.start_with()
        process = self.wait_end(self.flash(), 60)
        self.assertEqual("completed", process["status"], process)
        self.assert_flashed()
        self.wait_phones("USB001")
        result = process["result"]["flash"]
        self.assertEqual(3, result["partitions"])
        self.assertEqual(len(self.boot) + 2 * len(self.system) + len(self.data), result["bytes"])
        self.run_on("USB001")

    def test_its_progress_is_told_in_percent_and_megabytes_a_second(self):
        self.write_build()
        self.start_with()
        self.bus.fault(1, "slow@flash")
        process = self.flash()
        seen = []

        def is_over():
            now = self.process(process)
            if now["status"] == "executing":
                seen.append((now["progress_percent"] or 0, now["current_step"] or ""))
            return now["status"] == "completed"
        rig.wait_until(is_over, 90, "it is flashed")
        percents = [percent for percent, _ in seen]
        self.assertEqual(sorted(percents), percents)
        self.assertTrue(any(20 < percent < 95 for percent in percents), percents)
        steps = {step for _, step in seen}
        self.assertIn("flash: waiting for Android", steps)
        self.assertTrue(any(step.startswith("flash: boot_a, ") and step.endswith(" MB/s")
                            for step in steps) or "flash: to the bootloader" in steps, steps)

    def test_a_bootloader_without_serial_is_followed_on_its_slot(self):
        self.write_build()
        self.attach(1, "USB001", "blank-bootloader")
        self.attach(2, "USB002", "blank-bootloader")
        self.bus.settle()
        self.start_hub()
        self.wait_phones("USB001", "USB002")
        both = [self.flash("USB001"), self.flash("USB002")]
        for process, serial in zip(both, ("USB001", "USB002")):
            self.assertEqual("completed", self.wait_end(process, 90)["status"])
            self.assert_flashed(serial)
        names = {phone["phone_id"] for phone in self.client.get("/phones").body["phones"]}
        self.assertEqual({"USB001", "USB002"}, names)

    def test_an_answer_of_fail_ends_it_with_the_bootloaders_words(self):
        self.write_build(set_active="b")
        stages = ("download", "data", "data-end", "flash:boot_a", "flash:system_b", "set_active",
                  "reboot")
        for stage, serial, process in self.flash_each(["fail@" + stage for stage in stages]):
            with self.subTest(stage):
                error = self.wait_end(process, 60)["error"]
                self.assertEqual(("fastboot", "refused"), (error["category"], error["code"]), error)
                self.assertIn("it was told to fail", error["message"])
                self.bus.fault(int(serial[3:]), "good")
                self.wait_phones(serial, seconds=60)
        # All but those that stopped in the middle of data, or at the reboot, were simply rebooted.
        rungs = sum(self.metric('hub_recovery_rungs_total{rung="%s"}' % rung)
                    for rung in ("reset", "reboot", "power"))
        self.assertLessEqual(rungs, 2)

    def flash_each(self, faults, **changes):
        """A phone for each fault, all being flashed: (fault, serial, process)."""
        serials = ["USB%03d" % (number + 1) for number in range(len(faults))]
        for port, (serial, fault) in enumerate(zip(serials, faults), 1):
            self.attach(port, serial)
            self.bus.fault(port, fault)
        self.bus.settle()
        self.start_hub(**changes)
        self.wait_phones(*serials)
        return [(fault, serial, self.flash(serial)) for serial, fault in zip(serials, faults)]

    def test_a_bootloader_that_breaks_off_at_any_stage_leaves_it_uncertain(self):
        self.write_build()
        rows = (("stall@download", "halted its endpoint"), ("stall@data", "halted its endpoint"),
                ("stall@flash:system_a", "halted its endpoint"),
                ("garbage@getvar:max", "broke the fastboot protocol"),
                ("garbage@data-end", "broke the fastboot protocol"),
                ("drop@getvar:product", "was unplugged"), ("drop@data", "was unplugged"),
                ("drop@flash:userdata", "was unplugged"))
        running = self.flash_each([fault for fault, _ in rows])
        for (fault, reason), (_, serial, process) in zip(rows, running):
            with self.subTest(fault):
                self.wait_detail(process, "suspended_as_uncertain")
                self.assertIn("flash_broke_off phone=%s" % serial, self.hub.output())
                self.assertIn(reason, [line for line in self.hub.output().split("\n")
                                       if "flash_broke_off phone=%s" % serial in line][0])
                self.bus.fault(int(serial[3:]), "good")
        for _, serial, _ in running:
            self.wait_phones(serial, seconds=90)
            self.run_on(serial)

    def wait_detail(self, process, detail, seconds=60):
        rig.wait_until(lambda: self.process(process)["status_detail"] == detail, seconds,
                       "%s, it is %s" % (detail, self.process(process)))

    def hang(self, stage):
        """A flash that waits at this stage."""
        self.bus.fault(1, "hang@" + stage)
        process = self.flash()
        self.wait_step(process, "MB/s")
        self.assertEqual("away", self.phone("USB001")["state"])
        return process

    def test_a_phone_that_is_unplugged_while_it_is_flashed_is_lost(self):
        self.write_build()
        self.start_with()
        process = self.hang("data")
        self.bus.detach(1)
        self.wait_detail(process, "suspended_as_uncertain")
        self.bus.fault(1, "good")
        self.attach(1, "USB001")
        self.wait_phones("USB001", seconds=60)
        self.run_on("USB001")

    def test_a_phone_that_is_unplugged_for_good_at_any_stage_is_lost(self):
        self.write_build()
        stages = ("getvar:product", "getvar:max", "download", "data-end", "flash:system_a")
        running = self.flash_each(["hang@" + stage for stage in stages], away_seconds=20)
        for port, (_, serial, _) in enumerate(running, 1):
            there = "serial=%s mode=bootloader" % serial
            rig.wait_until(lambda: there in self.hub.output(), 40, there)
            self.bus.detach(port)
        for fault, _, process in running:
            with self.subTest(fault):
                self.wait_detail(process, "suspended_as_uncertain")
        for _, serial, _ in running:  # nothing of it waits for ever
            self.wait_phones(serial, state="absent", seconds=60)

    def test_a_phone_that_comes_back_on_another_port_is_lost_to_its_lease(self):
        self.write_build()
        self.start_with()
        process = self.hang("data")
        self.bus.detach(1)
        self.attach(25, "USB001")  # Android, and the window is still open
        self.wait_detail(process, "suspended_as_uncertain")
        self.assertEqual("phone_lost", self.process(process)["errors"][-1]["category"])
        self.wait_phones("USB001", seconds=60)
        self.assertEqual(usb_rig.slot(25), self.phone("USB001")["slot"])
        self.run_on("USB001")

    def test_cancel_during_a_download_frees_the_phone(self):
        self.write_build()
        self.start_with()
        process = self.hang("data")
        resets = self.bus.counts(1)[2]
        self.client.post("/processes/%s/cancel" % process)
        self.assertEqual("cancelled", self.wait_end(process)["status"])
        self.bus.fault(1, "good")
        self.wait_phones("USB001", seconds=60)
        self.assertEqual(resets + 1, self.bus.counts(1)[2])  # it waited for the rest of the data
        self.run_on("USB001")

    def test_a_deadline_during_a_download_ends_it(self):
        self.write_build()
        self.start_with()
        self.bus.fault(1, "hang@data")
        process = self.submit("flash", phone="USB001", inputs={"build": "build"},
                              deadline=hub_rig.now_text(8))
        ended = self.wait_end(process, 40)
        self.assertEqual("deadline", ended["error"]["category"], ended)
        self.bus.fault(1, "good")
        self.wait_phones("USB001", seconds=60)

    def test_a_hub_that_dies_while_it_flashes_says_that_it_is_uncertain(self):
        self.write_build()
        self.start_with("blank-bootloader")
        process = self.hang("data")
        self.hub.kill()
        self.bus.fault(1, "good")
        self.restart_hub()
        self.wait_detail(process, "suspended_as_uncertain")
        self.wait_phones("USB001", seconds=90)
        again = self.flash()
        self.assertEqual("completed", self.wait_end(again, 60)["status"])
        self.assert_flashed()

    def test_a_phone_that_is_found_in_its_bootloader_is_rebooted(self):
        self.attach(1, "USB001", "blank-bootloader")
        self.bus.settle()
        self.start_hub()
        self.wait_phones("USB001")
        self.bus.say("boot", 1, "bootloader")
        self.wait_phones("USB001", state="recovering")
        self.assertEqual("is in its bootloader", self.phone("USB001")["reason"])
        self.wait_phones("USB001", seconds=60)
        self.run_on("USB001")

    def test_a_phone_that_always_comes_back_to_its_bootloader_is_quarantined(self):
        self.attach(1, "USB001", "blank-bootloader")
        self.attach(2, "WELL")
        self.bus.settle()
        self.start_hub()
        self.wait_phones("USB001", "WELL")
        self.bus.say("bootloop", 1)
        self.bus.say("boot", 1, "bootloader")
        self.wait_phones("USB001", state="quarantined", seconds=90)
        self.assertEqual("recovery is spent: is in its bootloader", self.phone("USB001")["reason"])
        rungs = {name: self.metric('hub_recovery_rungs_total{rung="%s"}' % name)
                 for name in ("reopen", "reset", "reboot", "power", "hub")}
        self.assertEqual({"reopen": 0, "reset": 0, "reboot": 1, "power": 2, "hub": 0}, rungs)
        self.run_on("WELL")

    def test_a_phone_that_stays_away_longer_than_its_window_is_lost(self):
        self.write_build()
        self.attach(1, "USB001")
        self.bus.settle()
        self.start_hub(away_seconds=5)
        self.wait_phones("USB001")
        self.bus.say("bootloop", 1)  # flashed, and it never comes back to Android
        process = self.flash()
        self.wait_detail(process, "suspended_as_uncertain")
        error = self.process(process)["errors"][-1]
        self.assertEqual("phone_lost", error["category"], error)

    def test_what_is_wrong_with_a_folder_is_said_before_the_phone_is_touched(self):
        good = ("boot", "boot.img", self.boot, "")
        self.start_with()
        claims = self.bus.counts(1)[1]
        bad_sparse = self.system[:len(self.system) - 4096]
        rows = (
            ("size", [("boot", "boot.img", self.boot, "")], ("boot.img", b"short"),
             "it has not the size that the manifest says"),
            ("hash", [good], ("boot.img", bytes(len(self.boot))),
             "its SHA-256 is not what the manifest says"),
            ("sparse", [("system", "system.simg", bad_sparse, "")], None,
             "it is no sound sparse image"),
            ("slot", [("boot", "boot.img", self.boot, "slot = c\n")], None,
             "manifest.ini:6: [image.boot] slot: expected current, other, a, b or both"),
        )
        for build, images, spoil, message in rows:
            with self.subTest(build):
                folder = self.write_build(build, images)
                if spoil:
                    with open(os.path.join(folder, spoil[0]), "wb") as file:
                        file.write(spoil[1])
                error = self.wait_end(self.flash(build=build))["error"]
                self.assertEqual("capability", error["category"])
                self.assertIn(message, error["message"])
        link = self.write_build("link", [good])
        os.rename(os.path.join(link, "boot.img"), self.path("outside.img"))
        os.symlink(self.path("outside.img"), os.path.join(link, "boot.img"))
        for build, message in (("link", "there is no such file"), ("none", "No such file"),
                               ("../partitions", "the inputs must name a folder")):
            error = self.wait_end(self.flash(build=build))["error"]
            self.assertIn(message, error["message"])
        self.assertEqual(claims, self.bus.counts(1)[1])

    def test_images_of_another_product_or_slot_are_not_flashed(self):
        self.start_with()
        self.write_build("other", product="pixel, nexus")
        self.write_build("slots", [("misc", "misc.img", self.boot, "slot = a\n")])
        for build, code in (("other", "wrong_product"), ("slots", "no_slot")):
            error = self.wait_end(self.flash(build=build), 60)["error"]
            self.assertEqual(code, error["code"], error)
            self.wait_phones("USB001", seconds=60)
        self.assertEqual([], os.listdir(self.partitions))
