"""The adb endpoint of a lease: what it shows, what it refuses, and its end."""

import concurrent.futures
import hashlib
import os
import random
import socket
import stat
import time
import unittest

import adb_rig
import rig
from adb_rig import Wire

FULL = os.environ.get("ADB_FULL") == "1"  # 1 GiB instead of 64 MiB
ENDS_MS = 100  # of every open stream, once a lease is over


class OneLease(adb_rig.LeaseCase):
    def setUp(self):
        super().setUp()
        self.start_farm(1)
        self.process, self.socket = self.lease("SIM001")

    def wire(self, path=None):
        wire = Wire(path or self.socket)
        self.addCleanup(wire.close)
        return wire

    def test_lists_its_phone_in_every_form(self):
        self.assertEqual("SIM001\tdevice\n", self.list_of("devices"))
        self.assertRegex(self.list_of("devices-l"),
                         r"^SIM001 {17}device product:oriole model:Pixel_6 device:oriole "
                         r"transport_id:\d+\n$")
        for form in ("track-devices", "track-devices-l", "track-devices-proto-text",
                     "track-devices-proto-binary"):
            self.assertIn("SIM001", self.list_of(form), form)

    def list_of(self, form):
        wire = self.wire().ask("host:" + form)
        self.assertEqual(b"OKAY", wire.take(4))
        return wire.string()

    def test_a_tracker_is_told_of_each_change_and_ends_at_a_byte(self):
        tracker = self.wire().ask("host:track-devices")
        self.assertEqual(b"OKAY", tracker.take(4))
        self.assertEqual("SIM001\tdevice\n", tracker.string())
        self.adb(self.socket, "reboot")
        self.assertEqual("", tracker.string())
        self.assertEqual("SIM001\tdevice\n", tracker.string())
        tracker.socket.sendall(b"x")
        self.assertEqual(b"", self.until_end(tracker))

    def test_keeps_its_phone_over_a_reboot_it_asked_for(self):
        self.assert_adb(self.socket, "reboot")
        self.assert_adb(self.socket, "wait-for-disconnect", seconds=20)
        self.assertEqual("back\n", self.assert_adb(self.socket, "wait-for-device", "shell",
                                                   "echo back", seconds=30))
        self.assertEqual("executing", self.process_of()["status"])

    def process_of(self):
        return self.process_named(self.process)

    def process_named(self, identity):
        return self.client.get("/processes/" + identity).body

    def test_refuses_to_be_killed_or_replaced(self):
        self.assertEqual(("FAIL", "kill-server rejected by remote server"),
                         self.wire().answer("host:kill"))
        self.adb(self.socket, "kill-server")
        self.assertEqual(b"OKAY00040029", self.wire().ask("host:version").take(12))
        self.assertEqual("SIM001\tdevice\n", self.list_of("devices"))

    def test_refuses_what_belongs_to_the_farm(self):
        for service in ("connect:127.0.0.1:%d" % self.ports[0], "disconnect:", "reconnect",
                        "pair:1:2", "attach", "detach", "emulator:5555"):
            word, text = self.wire().answer("host:" + service)
            self.assertEqual("FAIL", word, service)
            self.assertIn("hub", text)

    def test_bytes_that_are_no_request_end_the_connection(self):
        for garbage in (b"zzzz", b"0000", b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n"):
            wire = self.wire()
            wire.socket.sendall(garbage)
            self.assertEqual(b"", self.until_end(wire))

    def until_end(self, wire):
        try:
            return wire.rest()
        except ConnectionResetError:
            return b""

    def test_takes_the_longest_request_there_is(self):
        word, text = self.wire().transport("SIM001").answer("shell:" + "x" * (0xffff - 6))
        self.assertEqual(("FAIL", "closed"), (word, text))  # it is this phone that refuses it

    def test_64_streams_at_once_and_a_full_table_is_said(self):
        open_ones = []
        for index in range(64):
            wire = self.wire().service("SIM001", "localabstract:echo")
            open_ones.append((index, wire))
        for index, wire in open_ones:
            wire.socket.sendall(b"stream %2d" % index)
        for index, wire in open_ones:
            self.assertEqual(b"stream %2d" % index, wire.take(9))
        word = "OKAY"
        while word == "OKAY":
            wire = self.wire().transport("SIM001")
            word, text = wire.answer("localabstract:echo")
        self.assertEqual("too many streams to this phone", text)
        for _, wire in open_ones:
            wire.close()
        rig.wait_until(lambda: self.wire().transport("SIM001").answer("shell:echo")[0] == "OKAY",
                       10, "there is room again")

    def test_a_client_that_does_not_read_stops_no_other(self):
        self.push_random("/sdcard/large", 8 << 20)
        stuck = self.wire().service("SIM001", "exec:cat /sdcard/large")
        for _ in range(20):
            self.assertEqual("alive\n", self.assert_adb(self.socket, "shell", "echo alive"))
        digest = hashlib.sha256(stuck.rest()).hexdigest()
        self.assertEqual(self.pushed, digest)

    def push_random(self, target, size):
        path = self.path("pushed")
        content = random.Random(size).randbytes(1 << 20)
        hashed = hashlib.sha256()
        with open(path, "wb") as file:
            for _ in range(size >> 20):
                file.write(content)
                hashed.update(content)
        self.pushed = hashed.hexdigest()
        self.assert_adb(self.socket, "push", path, target, seconds=300)

    def test_a_large_file_comes_back_unchanged(self):
        size = (1 << 30) if FULL else (64 << 20)
        self.push_random("/data/local/tmp/large", size)
        self.assertIn(self.pushed, self.assert_adb(self.socket, "shell",
                                                   "sha256sum /data/local/tmp/large", seconds=300))
        self.assert_adb(self.socket, "pull", "/data/local/tmp/large", self.path("back"),
                        seconds=300)
        hashed = hashlib.sha256()
        with open(self.path("back"), "rb") as file:
            while part := file.read(1 << 20):
                hashed.update(part)
        self.assertEqual(self.pushed, hashed.hexdigest())

    def test_many_clients_at_once_each_get_their_own(self):
        def one(index):
            path = self.write("in%d" % index, os.urandom(1000 + 7919 * index))
            back = self.path("out%d" % index)
            target = "/sdcard/many%d" % index
            self.assert_adb(self.socket, "push", path, target)
            said = self.assert_adb(self.socket, "shell", "echo %d" % index)
            self.assert_adb(self.socket, "pull", target, back)
            with open(path, "rb") as first, open(back, "rb") as second:
                return said == "%d\n" % index and first.read() == second.read()
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            self.assertEqual([True] * 24, list(pool.map(one, range(24))))

    def test_what_a_client_sent_before_it_left_arrives(self):
        wire = self.wire().service("SIM001", "exec:cat > /sdcard/sent")
        wire.socket.sendall(b"y" * 700000)
        wire.close()
        expected = hashlib.sha256(b"y" * 700000).hexdigest()
        rig.wait_until(lambda: expected in self.adb(self.socket, "shell",
                                                    "sha256sum /sdcard/sent")[1], 10, "it arrives")

    def test_forwards_a_port_of_this_machine(self):
        port = int(self.assert_adb(self.socket, "forward", "tcp:0", "localabstract:echo"))
        with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
            peer.sendall(b"there and back")
            self.assertEqual(b"there and back", peer.recv(100))
        for local in ("localabstract:x", "localfilesystem:/tmp/x", "jdwp:1"):
            status, _, err = self.adb(self.socket, "forward", local, "tcp:7")
            self.assertEqual((1, True), (status, "only tcp:PORT" in err), local)

    def test_a_phone_reaches_a_reversed_port_and_no_other(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(10)
            port = server.getsockname()[1]
            self.assert_adb(self.socket, "reverse", "tcp:6100", "tcp:%d" % port)
            dial = self.start(adb_rig.ADB, "shell", "dial 6100 hello", env=self.env(self.socket))
            peer, _ = server.accept()
            with peer:
                self.assertEqual(b"hello", peer.recv(100))
                peer.sendall(b"from the host\n")
            self.assertEqual(0, dial.wait())
            self.assertIn("from the host", dial.output())
            self.assert_adb(self.socket, "reverse", "--remove-all")
            status, _, err = self.adb(self.socket, "shell", "dial 6100 hello")
            self.assertEqual((1, True), (status, "refused" in err))

    def test_the_socket_is_for_its_owner_and_group(self):
        mode = os.stat(self.socket.removeprefix("localfilesystem:")).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(0o660, stat.S_IMODE(mode))
        self.assertEqual(0o600, stat.S_IMODE(os.stat(self.path("adb/.secret")).st_mode))

    def test_operators_see_every_phone_and_use_none(self):
        operators = self.path("operators")
        self.assertEqual("SIM001\tdevice\n", self.string_of(operators, "host:devices"))
        self.assertEqual("device", self.string_of(operators, "host:get-state"))
        for service in ("shell:id", "sync:", "reboot:", "tcp:7"):
            word, text = self.wire(operators).transport("SIM001").answer(service)
            self.assertEqual("FAIL", word)
            self.assertIn("lease one", text)
        word, text = self.wire(operators).answer("host:forward:tcp:0;tcp:7")
        self.assertEqual("FAIL", word)

    def string_of(self, path, service):
        wire = self.wire(path).ask(service)
        self.assertEqual(b"OKAY", wire.take(4))
        return wire.string()

    def test_the_path_is_that_of_the_lease(self):
        self.assertEqual(self.socket, self.open_endpoint("SIM001", self.open_token()))

    def open_token(self):
        return adb_rig.re.findall(r"token=(\d+)", self.hub.output())[-1]

    def test_a_wrong_token_opens_nothing(self):
        token = int(self.open_token())
        for wrong in (token - 1, token + 1, 0, 1 << 40):
            answer = self.client.post("/phones/SIM001/adb", {"lease_token": str(wrong)})
            self.assertEqual(409, answer.status)
        for body in ({}, {"lease_token": token}, {"lease_token": "x"}, {"lease_token": ""}):
            self.assertEqual(400, self.client.post("/phones/SIM001/adb", body).status)
        self.assertEqual(404, self.client.post("/phones/other/adb",
                                               {"lease_token": str(token)}).status)


class TheEnd(adb_rig.LeaseCase):
    """Whatever ends a lease, its streams end at once, nothing new begins, the phone is clean."""

    def prepare(self):
        self.start_farm(1)
        process, path = self.lease("SIM001")
        self.port = int(self.assert_adb(path, "forward", "tcp:0", "localabstract:echo"))
        self.assert_adb(path, "reverse", "tcp:6100", "tcp:%d" % self.port)
        wires = [Wire(path).service("SIM001", name) for name in
                 ("localabstract:echo", "shell:sleep 600", "sync:", "exec:cat > /sdcard/x",
                  "track-jdwp", "shell,v2,raw:")]
        wires[4].take(14)  # what it says at once
        wires.append(Wire(path).ask("host:track-devices"))
        wires[-1].take(4 + 4 + 14)
        wires.append(Wire(path))  # has not asked yet
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        plain.sendall(b"x")
        plain.recv(1)
        self.addCleanup(plain.close)
        for wire in wires:
            self.addCleanup(wire.close)
        return process, path, [wire.socket for wire in wires] + [plain]

    def assert_all_end(self, sockets, since):
        """Each is at its end; how long the last one took, in ms."""
        return (adb_rig.until_dead(sockets) - since) * 1000

    def assert_nothing_begins(self, path, port=None):
        for where in (path, port or self.port):
            with self.assertRaises(OSError, msg=self.hub.output()):
                Wire(where) if where is path else socket.create_connection(("127.0.0.1", where), 2)

    def assert_clean(self):
        _, path = self.lease("SIM001")
        self.assertEqual("", self.assert_adb(path, "reverse", "--list").strip())
        self.assertEqual("", self.assert_adb(path, "forward", "--list").strip())

    def test_a_cancel(self):
        process, path, sockets = self.prepare()
        self.client.post("/processes/%s/cancel" % process, {})
        since = time.monotonic()
        took_ms = self.assert_all_end(sockets, since)
        self.assertLess(took_ms, ENDS_MS * rig.SLOW)
        self.assert_nothing_begins(path)
        self.wait_end(process)
        self.assert_clean()

    def test_an_expiry(self):
        self.allow_workers(lease_seconds=2)
        self.start_farm(1)
        lease = self.claim("SIM001")
        port = int(self.assert_adb(lease.socket, "forward", "tcp:0", "localabstract:echo"))
        self.assert_adb(lease.socket, "reverse", "tcp:6100", "tcp:%d" % port)
        wires = [Wire(lease.socket).service("SIM001", "localabstract:echo") for _ in range(16)]
        due = time.monotonic() + lease.beat() / 1000
        took_ms = (adb_rig.until_dead(wires) - due) * 1000
        print("adb_lease: streams ended %.0f ms after the expiry" % took_ms)
        self.assert_nothing_begins(lease.socket, port)
        self.wait_phones("SIM001")
        again = self.claim("SIM001")
        self.assertEqual("", self.assert_adb(again.socket, "reverse", "--list").strip())
        self.assertEqual("", self.assert_adb(again.socket, "forward", "--list").strip())

    def test_a_fencing_by_a_newer_lease(self):
        self.allow_workers(lease_seconds=2)
        self.start_farm(1)
        first = self.claim("SIM001")
        wire = Wire(first.socket).service("SIM001", "localabstract:echo")
        second = self.claim("SIM001")  # when the first one, which nobody renews, is over
        adb_rig.until_dead([wire])
        self.assertGreater(int(second.token), int(first.token))
        with self.assertRaises(OSError):
            Wire(first.socket)
        answer = self.client.post("/phones/SIM001/adb", {"worker": first.worker,
                                                         "lease_token": first.token})
        self.assertEqual(409, answer.status)
        self.assertEqual("mine\n", self.assert_adb(second.socket, "shell", "echo mine"))

    def test_a_time_limit(self):
        self.write("capabilities/short.ini", adb_rig.SHORT)
        self.start_farm(1)
        process = self.submit("short", phone="SIM001")
        self.wait_status(process, "executing")
        path = self.open_endpoint("SIM001", adb_rig.last_token(self.hub, "SIM001"))
        wire = Wire(path).service("SIM001", "localabstract:echo")
        self.addCleanup(wire.close)
        self.assertEqual(b"", wire.rest())
        with self.assertRaises(OSError):
            Wire(path)
        error = self.wait_end(process)["error"]
        self.assertEqual("timeout", error["category"])

    def test_the_hub_stops(self):
        _, path, sockets = self.prepare()
        self.hub.signal(15)
        self.assert_all_end(sockets, time.monotonic())
        self.assertEqual(0, self.hub.wait())
        self.assertFalse(os.path.exists(path.removeprefix("localfilesystem:")))

    def test_the_phone_leaves(self):
        _, path, sockets = self.prepare()
        self.phones.stop()
        self.assert_all_end(sockets[:6], time.monotonic())


class TwoLeases(adb_rig.LeaseCase):
    """Neither sees or reaches the other's phone."""

    def setUp(self):
        super().setUp()
        self.start_farm(2)
        _, self.first = self.lease("SIM001")
        _, self.second = self.lease("SIM002")
        self.other_id = self.id_of(self.second)

    def id_of(self, path):
        return self.assert_adb(path, "devices", "-l").split("transport_id:")[1].split()[0]

    def test_no_list_shows_the_other(self):
        for form in ("devices", "devices-l", "track-devices", "track-devices-l",
                     "track-devices-proto-text", "track-devices-proto-binary"):
            with Wire(self.first) as wire:
                wire.ask("host:" + form).take(4)
                text = wire.string()
            self.assertIn("SIM001", text)
            self.assertNotIn("SIM002", text)
        self.assertNotIn("SIM002", self.assert_adb(self.first, "forward", "--list"))

    def test_no_name_reaches_the_other(self):
        names = [["-s", "SIM002"], ["-t", self.other_id], ["-s", "usb:1-1"], ["-s", "usb:"],
                 ["-s", "127.0.0.1:%d" % self.ports[1]], ["-s", "tcp:127.0.0.1:%d" % self.ports[1]],
                 ["-s", "SIM00"], ["-s", "sim002"], ["-s", "SIM001;SIM002"]]
        names += [["-t", str(guess)] for guess in range(1, 12)
                  if str(guess) != self.id_of(self.first)]
        for name in names:
            for command in (["get-state"], ["shell", "getprop ro.serialno"]):
                status, out, _ = self.adb(self.first, *name, *command)
                self.assertNotEqual(0, status, (name, command))
                self.assertEqual("", out, (name, command))
        self.assertEqual("SIM001\n", self.assert_adb(self.first, "shell", "getprop ro.serialno"))

    def test_no_request_on_the_wire_reaches_the_other(self):
        requests = ["host:transport:SIM002", "host:tport:serial:SIM002",
                    "host:transport-id:" + self.other_id, "host-serial:SIM002:features",
                    "host-transport-id:%s:features" % self.other_id,
                    "host-serial:SIM002:get-state", "host-serial:SIM002:forward:tcp:0;tcp:7",
                    "host-serial:SIM002:list-forward", "host-serial:SIM002:killforward-all",
                    "host:transport-usb", "host:connect:127.0.0.1:%d" % self.ports[1],
                    "host:disconnect:SIM002", "host:transport:SIM002\x00SIM001"]
        for request in requests:
            with Wire(self.first) as wire:
                word, text = wire.answer(request)
                self.assertEqual("FAIL", word, request)
                self.assertNotIn("SIM002\t", text)

    def test_a_wait_for_the_other_never_ends(self):
        with Wire(self.first, 1) as wire:
            wire.ask("host-serial:SIM002:wait-for-any-device")
            self.assertEqual(b"OKAY", wire.take(4))
            with self.assertRaises(TimeoutError):
                wire.take(4)

    def test_forwards_are_not_shared(self):
        port = self.assert_adb(self.second, "forward", "tcp:0", "localabstract:echo").strip()
        self.assertEqual("", self.assert_adb(self.first, "forward", "--list").strip())
        status, _, err = self.adb(self.first, "forward", "--remove", "tcp:" + port)
        self.assertEqual((1, True), (status, "not found" in err))
        status, _, err = self.adb(self.first, "forward", "tcp:" + port, "tcp:7")
        self.assertEqual((1, True), (status, "in use" in err))
        self.assert_adb(self.first, "forward", "--remove-all")
        self.assertIn(port, self.assert_adb(self.second, "forward", "--list"))
        self.assert_adb(self.first, "reverse", "tcp:6100", "tcp:" + port)
        status, _, err = self.adb(self.first, "shell", "dial 6100 hello")
        self.assertEqual((1, True), (status, "refused by the host" in err))

    def test_a_reverse_of_one_lets_no_other_phone_in(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            self.assert_adb(self.first, "reverse", "tcp:6100", "tcp:%d" % port)
            status, _, _ = self.adb(self.second, "shell", "dial 6100 hello")
            self.assertEqual(1, status)
            server.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                server.accept()

    def test_the_folder_tells_no_names(self):
        self.assertEqual(0o711, stat.S_IMODE(os.stat(self.path("adb")).st_mode))
        names = [os.path.basename(path) for path in (self.first, self.second)]
        for name in names:
            self.assertRegex(name, r"^[0-9a-f]{24}$")
        self.assertNotEqual(*names)

    def test_the_end_of_one_is_no_end_of_the_other(self):
        with Wire(self.second).service("SIM002", "localabstract:echo") as wire:
            for process in self.client.get("/processes?phone=SIM001").body["processes"]:
                self.client.post("/processes/%s/cancel" % process["process_id"], {})
            rig.wait_until(lambda: not os.path.exists(
                self.first.removeprefix("localfilesystem:")), 10, "the first is over")
            wire.socket.sendall(b"still here")
            self.assertEqual(b"still here", wire.take(10))


if __name__ == "__main__":
    unittest.main()
