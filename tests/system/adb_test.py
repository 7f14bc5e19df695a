"""Debian's own adb against phonesim: a foreign client must find nothing odd about our phones."""

import hashlib
import os
import random
import signal
import time
import unittest

import rig


class AdbCase(rig.Case):
    """A private adb server: own port, own home, ended by its own kill-server."""

    def setUp(self):
        super().setUp()
        self.server_port = rig.free_ports()
        self.env = {"HOME": self.scratch, "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                    "TMPDIR": self.scratch, "ADB_MDNS_AUTO_CONNECT": ""}
        self.adb("start-server")
        self.addCleanup(self.adb, "kill-server")

    def adb(self, *arguments, serial=None, seconds=30.0):
        chosen = ["-s", serial] if serial else []
        status, out, err = self.run_program(
            "/usr/bin/adb", "-P", self.server_port, *chosen, *arguments, env=self.env,
            seconds=seconds)
        return status, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def connect(self, port):
        serial = "127.0.0.1:%d" % port
        status, out, _ = self.adb("connect", serial)
        self.assertEqual(0, status)
        self.assertIn("connected to", out)
        return serial

    def state_of(self, serial):
        for line in self.adb("devices")[1].splitlines():
            if line.startswith(serial + "\t"):
                return line.split("\t")[1]
        return None

    def wait_for_state(self, serial, state, seconds=10.0):
        rig.wait_until(lambda: self.state_of(serial) == state, seconds,
                       "%s is %s" % (serial, state), step=0.1)


class OnePhone(AdbCase):
    def setUp(self):
        super().setUp()
        self.phones, port = self.start_phones(1, serial="SIM042")
        self.serial = self.connect(port)

    def test_is_listed_with_its_product_model_and_device(self):
        line = [one for one in self.adb("devices", "-l")[1].splitlines() if self.serial in one][0]
        for part in (" device ", "product:oriole", "model:Pixel_6", "device:oriole"):
            self.assertIn(part, line)

    def test_runs_a_command_and_gives_its_exit_status(self):
        self.assertEqual((0, "SIM042\n", ""), self.adb("shell", "getprop ro.serialno"))
        for status in (0, 1, 7, 255):
            self.assertEqual(status, self.adb("shell", "exit %d" % status)[0])

    def test_keeps_stdout_and_stderr_apart(self):
        status, out, err = self.adb("shell", "echo out; foo")
        self.assertEqual(127, status)
        self.assertEqual("out\n", out)
        self.assertEqual("/system/bin/sh: foo: inaccessible or not found\n", err)
        self.assertEqual("/system/bin/sh: foo: inaccessible or not found\n",
                         self.adb("shell", "foo 2>&1")[1])

    def test_joins_commands_as_a_shell_does(self):
        self.assertEqual("b\nc\n", self.adb("shell", "false && echo a; echo b && echo c")[1])
        self.assertEqual("y\n", self.adb("shell", "false || echo y; true || echo n")[1])
        self.assertEqual("a b  c\n", self.adb("shell", "echo a 'b  c'")[1])
        self.assertEqual("x\n", self.adb("shell", "echo x > /sdcard/f && cat /sdcard/f")[1])

    def test_reports_battery_storage_and_uptime_as_android_does(self):
        battery = self.adb("shell", "dumpsys battery")[1]
        self.assertTrue(battery.startswith("Current Battery Service state:\n"))
        self.assertRegex(battery, r"\n  level: \d+\n")
        self.assertRegex(self.adb("shell", "df -k /data")[1], r"/dev/\S+ +\d+ +\d+ +\d+ +\d+% /data")
        self.assertRegex(self.adb("shell", "cat /proc/uptime")[1], r"^\d+\.\d\d \d+\.\d\d\n$")
        self.assertRegex(self.adb("shell", "uptime")[1], r"^ \d\d:\d\d:\d\d up .*load average: ")

    def test_clears_its_log(self):
        self.adb("shell", "echo noticed")
        self.assertIn("noticed", self.adb("shell", "logcat -d")[1])
        self.assertEqual(0, self.adb("shell", "logcat -c")[0])
        self.assertNotIn("noticed", self.adb("shell", "logcat -d")[1])

    def test_sleeps_without_blocking_others(self):
        sleeper = self.start("/usr/bin/adb", "-P", str(self.server_port), "shell", "sleep 600",
                             env=self.env)
        self.assertEqual("awake\n", self.adb("shell", "echo awake")[1])
        self.assertTrue(sleeper.is_running())
        sleeper.kill()

    def test_returns_pushed_files_unchanged(self):
        sizes = (0, 1, 504, 511, 512, 1016, 66040, 65535, 65536, 65537, 65528, 5 * 1024 * 1024)
        source = random.Random(1)
        for size in sizes:
            with self.subTest(size=size):
                content = source.randbytes(size)
                path = self.write("content", content)
                target = "/sdcard/deep/folder/f%d" % size
                self.assertEqual(0, self.adb("push", path, target)[0])
                self.assertEqual(0, self.adb("pull", target, self.path("back"))[0])
                with open(self.path("back"), "rb") as back:
                    self.assertEqual(hashlib.sha256(content).hexdigest(),
                                     hashlib.sha256(back.read()).hexdigest())
        listed = self.adb("shell", "ls /sdcard/deep/folder")[1].split()
        self.assertEqual({"f%d" % size for size in sizes}, set(listed))

    def test_takes_a_push_of_64_mib(self):
        path = self.path("large")
        with open(path, "wb") as large:
            large.truncate(64 * 1024 * 1024)
        self.assertEqual(0, self.adb("push", path, "/data/local/tmp/large", seconds=60)[0])
        self.assertEqual(0, self.adb("shell", "rm /data/local/tmp/large")[0])
        self.assertEqual(1, self.adb("shell", "ls /data/local/tmp/large")[0])

    def test_says_why_a_pull_fails(self):
        status, out, err = self.adb("pull", "/sdcard/nothing", self.path("back"))
        self.assertNotEqual(0, status)
        self.assertIn("No such file or directory", out + err)
        self.assertFalse(os.path.exists(self.path("back")))

    def test_lists_a_directory(self):
        self.adb("push", self.write("content", "x" * 9), "/sdcard/nine")
        lines = self.adb("ls", "/sdcard")[1].splitlines()
        self.assertTrue(any(line.endswith(" nine") and " 00000009 " in line for line in lines))

    def test_refuses_what_it_does_not_have(self):
        status, _, err = self.adb("raw", "framebuffer:")
        self.assertEqual((1, True), (status, "closed" in err))

    def test_ends_at_sigterm_with_status_0(self):
        self.phones.signal(signal.SIGTERM)
        self.assertEqual(0, self.phones.wait())


class ManyPhones(AdbCase):
    def test_counts_serials_and_ports_up(self):
        phones, port = self.start_phones(12, serial="LAB098")
        serials = []
        for index in range(12):
            serials.append(self.connect(port + index))
        for index, serial in enumerate(serials):
            self.assertEqual("LAB%03d\n" % (98 + index),
                             self.adb("shell", "getprop ro.serialno", serial=serial)[1])
        self.assertIn("phonesim: LAB109 on 127.0.0.1:%d" % (port + 11), phones.output())


class Keys(AdbCase):
    def test_is_unauthorized_until_its_user_accepts(self):
        _, port = self.start_phones(1, "--auth", "1500")
        serial = "127.0.0.1:%d" % port
        self.adb("connect", serial)
        self.assertEqual("unauthorized", self.state_of(serial))
        self.assertNotEqual(0, self.adb("shell", "echo", serial=serial)[0])
        self.wait_for_state(serial, "device")
        self.assertEqual("in\n", self.adb("shell", "echo in", serial=serial)[1])

    def test_knows_an_accepted_key_again(self):
        _, port = self.start_phones(1, "--auth", "0")
        serial = "127.0.0.1:%d" % port
        self.adb("connect", serial)
        self.wait_for_state(serial, "device")
        self.adb("disconnect", serial)
        self.assertIn("connected to", self.adb("connect", serial)[1])
        self.assertEqual("device", self.state_of(serial))

    def test_stays_unauthorized_when_nobody_accepts(self):
        _, port = self.start_phones(1, "--auth", "never")
        serial = "127.0.0.1:%d" % port
        self.adb("connect", serial)
        self.assertEqual("unauthorized", self.state_of(serial))
        status, _, err = self.adb("shell", "echo", serial=serial)
        self.assertNotEqual(0, status)
        self.assertIn("unauthorized", err)


class Faults(AdbCase):
    def start_with(self, *options):
        self.phones, port = self.start_phones(1, *options)
        return self.connect(port)

    def answers(self, serial, command):
        """What a command says; this adb comes back to a lost phone by itself, or when told."""
        self.adb("connect", serial)
        status, out, _ = self.adb("shell", command, serial=serial)
        return out if status == 0 else None

    def wait_for_shell(self, serial):
        rig.wait_until(lambda: self.answers(serial, "echo back") == "back\n", 30,
                       "the phone answers again", step=0.1)

    def is_rebooted(self, serial):
        return self.answers(serial, "echo back; getprop test.gone") == "back\n\n"

    def test_hang_takes_a_command_and_never_answers(self):
        self.start_with("--fault", "hang@dumpsys")
        hanging = self.start("/usr/bin/adb", "-P", str(self.server_port), "shell", "dumpsys battery",
                             env=self.env)
        for _ in range(5):
            self.assertEqual("other\n", self.adb("shell", "echo other")[1])
        self.assertTrue(hanging.is_running())
        self.assertEqual("", hanging.output())
        hanging.kill()

    def test_drop_disconnects_in_the_middle(self):
        serial = self.start_with("--fault", "drop@getprop", "--fault", "drop@sync:")
        out = self.adb("shell", "getprop")[1]  # this adb says 0 when the phone goes away
        self.assertNotIn("persist.sys.timezone", out)
        self.wait_for_shell(serial)
        path = self.write("content", b"x" * 300000)
        self.assertNotEqual(0, self.adb("push", path, "/sdcard/x")[0])

    def test_fail_says_so_with_status_1(self):
        self.start_with("--fault", "fail")
        status, out, err = self.adb("shell", "echo fine")
        self.assertEqual((1, "", "phonesim: failed on purpose\n"), (status, out, err))
        status, out, err = self.adb("push", self.write("content", "x"), "/sdcard/x")
        self.assertNotEqual(0, status)
        self.assertIn("failed on purpose", out + err)

    def test_slow_answers_late_but_right(self):
        self.start_with("--fault", "slow")
        began = time.monotonic()
        self.assertEqual((0, "late\n", ""), self.adb("shell", "echo late"))
        self.assertGreater(time.monotonic() - began, 0.9)

    def test_garbage_makes_the_client_give_up_this_connection(self):
        serial = self.start_with("--fault", "garbage@getprop")
        self.assertEqual("", self.adb("shell", "getprop ro.serialno")[1])
        self.wait_for_shell(serial)

    def test_rate_hits_some_commands_and_the_seed_repeats_them(self):
        def pattern():
            serial = self.start_with("--fault", "fail:0.5@echo", "--seed", "7")
            found = [self.adb("shell", "echo", serial=serial)[0] for _ in range(12)]
            self.adb("disconnect", serial)
            self.phones.stop()
            return found
        first = pattern()
        self.assertEqual({0, 1}, set(first))
        self.assertEqual(first, pattern())

    def test_reboot_leaves_and_comes_back_with_its_files(self):
        serial = self.start_with("--reboot-ms", "500")
        self.adb("push", self.write("content", "kept"), "/sdcard/kept")
        self.adb("shell", "setprop test.gone 1; setprop persist.test.kept 1")
        self.adb("reboot", serial=serial)
        rig.wait_until(lambda: self.is_rebooted(serial), 30, "the phone is back", step=0.1)
        self.assertEqual("1\n", self.adb("shell", "getprop persist.test.kept")[1])
        self.assertEqual("kept", self.adb("shell", "cat /sdcard/kept")[1])


class Options(rig.Case):
    def refused(self, *arguments):
        status, out, err = self.run_program("phonesim", *arguments)
        self.assertEqual(2, status)
        self.assertEqual(b"", out)
        return err.decode()

    def test_a_wrong_option_is_refused_with_what_was_expected(self):
        self.assertIn("a number from 1 to 256", self.refused("--count", "0"))
        self.assertIn("HOST:PORT", self.refused("--adb-tcp", "example.org:1"))
        self.assertIn("hang, drop, fail, slow or garbage", self.refused("--fault", "explode"))
        self.assertIn("a rate from 0 to 1", self.refused("--fault", "hang:2"))
        self.assertIn("--help", self.refused("--unknown", "1"))
        self.assertIn("a value", self.refused("--serial"))
        self.assertIn("ports", self.refused("--adb-tcp", "127.0.0.1:65535", "--count", "2"))

    def test_help_and_version_end_with_status_0(self):
        self.assertEqual(0, self.run_program("phonesim", "--version")[0])
        status, out, _ = self.run_program("phonesim", "--help")
        self.assertEqual(0, status)
        for name in (b"--count", b"--adb-tcp", b"--serial", b"--fault", b"--auth", b"--seed"):
            self.assertIn(name, out)

    def test_a_port_in_use_is_said(self):
        _, port = self.start_phones(1)
        status, _, err = self.run_program("phonesim", "--adb-tcp", "127.0.0.1:%d" % port)
        self.assertEqual(1, status)
        self.assertIn(b"Address already in use", err)


if __name__ == "__main__":
    unittest.main()
