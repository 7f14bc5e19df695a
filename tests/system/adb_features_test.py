"""What hub, phone and client agree on between them: delayed_ack, and the second file protocol."""

import concurrent.futures
import hashlib
import os
import struct
import unittest

import adb_rig
import rig
from adb_rig import Wire

BOTH = [(hub, phone) for hub in ("on", "off") for phone in ("on", "off")]
PACKED = ("sendrecv_v2_brotli", "sendrecv_v2_lz4", "sendrecv_v2_zstd", "sendrecv_v2_dry_run_send")


class DelayedAck(adb_rig.LeaseCase):
    """With and without it on either side: nothing stalls, nothing is lost or held without bound."""

    def begin(self, hub, phone):
        options = [] if phone == "on" else ["--without", "delayed_ack"]
        self.start_farm(1, *options, delayed_ack=hub)
        return self.lease("SIM001")[1]

    def end(self):
        self.hub.stop()
        self.phones.stop()
        for name in os.listdir(self.scratch):
            if name.startswith("hub.store"):
                os.unlink(self.path(name))

    def test_carries_files_whoever_knows_it(self):
        content = os.urandom(5 << 20)
        for hub, phone in BOTH:
            with self.subTest(hub=hub, phone=phone):
                path = self.begin(hub, phone)
                self.assert_adb(path, "push", self.write("content", content), "/sdcard/content")
                self.assertIn(hashlib.sha256(content).hexdigest(),
                              self.assert_adb(path, "shell", "sha256sum /sdcard/content"))
                self.assert_adb(path, "pull", "/sdcard/content", self.path("back"))
                with open(self.path("back"), "rb") as file:
                    self.assertEqual(content, file.read())
                self.end()

    def test_slow_readers_stop_nobody_whoever_knows_it(self):
        content = os.urandom(3 << 20)
        for hub, phone in BOTH:
            with self.subTest(hub=hub, phone=phone):
                path = self.begin(hub, phone)
                self.assert_adb(path, "push", self.write("content", content), "/sdcard/content")
                slow = [Wire(path).service("SIM001", "exec:cat /sdcard/content") for _ in range(8)]
                self.assertEqual("alive\n", self.assert_adb(path, "shell", "echo alive"))
                before = self.resident_kib()
                for _ in range(20):
                    self.assertEqual("alive\n", self.assert_adb(path, "shell", "echo alive"))
                self.assertLess(self.resident_kib() - before, 8 * 512 * rig.SLOW)
                self.assertEqual([content] * 8, self.read_all(slow))
                self.end()

    def resident_kib(self):
        with open("/proc/%d/status" % self.hub.pid, encoding="ascii") as status:
            return int(next(line for line in status if line.startswith("VmRSS")).split()[1])

    def read_all(self, wires):
        with concurrent.futures.ThreadPoolExecutor(len(wires)) as pool:
            answers = list(pool.map(lambda wire: wire.rest(), wires))
        for wire in wires:
            wire.close()
        return answers

    def test_echoes_at_once_whoever_knows_it(self):
        for hub, phone in BOTH:
            with self.subTest(hub=hub, phone=phone):
                path = self.begin(hub, phone)
                with Wire(path).service("SIM001", "localabstract:echo") as wire:
                    for turn in range(2000):
                        wire.socket.sendall(b"turn %04d" % turn)
                        self.assertEqual(b"turn %04d" % turn, wire.take(9))
                self.end()


class Sync(Wire):
    """The file service, as clients newer than Debian's speak it."""

    def request(self, word, path):
        data = path.encode()
        self.socket.sendall(word + struct.pack("<I", len(data)) + data)

    def send_v2(self, path, mode, flags, content):
        self.request(b"SND2", path)
        self.socket.sendall(b"SND2" + struct.pack("<II", mode, flags))
        for at in range(0, len(content), 65536):
            part = content[at:at + 65536]
            self.socket.sendall(b"DATA" + struct.pack("<I", len(part)) + part)
        self.socket.sendall(b"DONE" + struct.pack("<I", 1700000000))
        return self.outcome()

    def outcome(self):
        word, size = struct.unpack("<4sI", self.take(8))
        return word, self.take(size) if word == b"FAIL" else b""

    def receive_v2(self, path, flags=0):
        self.request(b"RCV2", path)
        self.socket.sendall(b"RCV2" + struct.pack("<I", flags))
        content = b""
        while True:
            word, size = struct.unpack("<4sI", self.take(8))
            if word != b"DATA":
                return word, self.take(size) if word == b"FAIL" else content
            content += self.take(size)

    def list_v2(self, path):
        """name -> (mode, size, mtime)"""
        self.request(b"LIS2", path)
        found = {}
        while True:
            fields = struct.unpack("<4sIQQIIIIQqqqI", self.take(76))
            if fields[0] == b"DONE":
                return found
            found[self.take(fields[12]).decode()] = (fields[4], fields[8], fields[10])

    def stat_v2(self, path):
        self.request(b"STA2", path)
        fields = struct.unpack("<4sIQQIIIIQqqq", self.take(72))
        return fields[1], fields[4], fields[8]


class SecondFileProtocol(adb_rig.LeaseCase):
    def setUp(self):
        super().setUp()
        self.start_farm(1)
        self.socket = self.lease("SIM001")[1]

    def sync(self):
        wire = Sync(self.socket).service("SIM001", "sync:")
        self.addCleanup(wire.close)
        return wire

    def test_is_named_and_packing_is_not(self):
        with Wire(self.socket).ask("host:features") as wire:  # Debian's adb knows the older ones
            self.assertEqual(b"OKAY", wire.take(4))
            features = wire.string().split(",")
        for name in ("sendrecv_v2", "ls_v2", "stat_v2", "delayed_ack"):
            self.assertIn(name, features)
        for name in PACKED:
            self.assertNotIn(name, features)

    def test_carries_files_of_every_size(self):
        wire = self.sync()
        for size in (0, 1, 65535, 65536, 65537, 3 << 20):
            content = os.urandom(size)
            self.assertEqual((b"OKAY", b""), wire.send_v2("/sdcard/v2/f%d" % size, 0o100600, 0,
                                                          content))
            self.assertEqual((b"DONE", content), wire.receive_v2("/sdcard/v2/f%d" % size))
            self.assertEqual((0, 0o100600, size), wire.stat_v2("/sdcard/v2/f%d" % size))
        found = wire.list_v2("/sdcard/v2")
        self.assertEqual((0o100600, 65537, 1700000000), found["f65537"])
        self.assertEqual(6, len([name for name in found if name.startswith("f")]))

    def test_gives_the_same_file_as_the_first_protocol_and_as_the_shell(self):
        content = os.urandom(200000)
        self.sync().send_v2("/sdcard/same", 0o100644, 0, content)
        self.assert_adb(self.socket, "pull", "/sdcard/same", self.path("back"))
        with open(self.path("back"), "rb") as file:
            self.assertEqual(content, file.read())
        self.assertIn(hashlib.sha256(content).hexdigest(),
                      self.assert_adb(self.socket, "shell", "sha256sum /sdcard/same"))

    def test_flags_that_were_not_agreed_and_files_that_are_not_there_are_refused(self):
        wire = self.sync()
        for flags in (1, 2, 4, 0x80000000):
            word, text = wire.send_v2("/sdcard/x", 0o100644, flags, b"abc")
            self.assertEqual((b"FAIL", b"unsupported flags"), (word, text))
            self.assertEqual((b"FAIL", b"unsupported flags"), wire.receive_v2("/sdcard/x", flags))
        word, text = wire.receive_v2("/sdcard/none")
        self.assertEqual(b"FAIL", word)
        self.assertIn(b"No such file", text)
        self.assertEqual((b"OKAY", b""), wire.send_v2("/sdcard/x", 0o100644, 0, b"still usable"))


if __name__ == "__main__":
    unittest.main()
