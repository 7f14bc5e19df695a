"""Debian's adb against hubd and against its own server, side by side: the same phone (a twin with the
same serial, files and seed), the same commands in the same order, the same answers."""

import hashlib
import os
import random
import re
import subprocess
import unittest

import adb_rig
import rig

PNG = b"\x89PNG\r\n\x1a\n"


class Side:
    """One server and the phone behind it. `run` gives what a user of adb sees."""

    def __init__(self, case, name, env, serial, options=()):
        self.case, self.name, self.env, self.serial = case, name, env, serial
        self.options = list(options)
        self.ports = {"@PORT1": str(rig.free_ports()), "@PORT2": str(rig.free_ports())}
        self.folder = os.path.join(case.scratch, name)
        os.mkdir(self.folder)
        self.env = dict(env, ANDROID_PRODUCT_OUT=self.folder)  # of adb sync

    def run(self, arguments, input_bytes=None):
        arguments = [one.replace("@SERIAL", self.serial).replace("@DIR", self.folder)
                     for one in arguments]
        for name, port in self.ports.items():
            arguments = [one.replace(name, port) for one in arguments]
        status, out, err = self.case.run_program(adb_rig.ADB, *self.options, *arguments,
                                                 env=self.env, input_bytes=input_bytes)
        if arguments == ["features"]:  # a set: adb prints it in any order
            out = b"\n".join(sorted(out.split()))
        if arguments == ["raw", "host:features"]:
            out = b",".join(sorted(out[4:].split(b",")))
        return status, self.plain(out), self.plain(err)

    def plain(self, output):
        """Without what differs by nature: the serial, ids and ports, folders, speeds and times."""
        text = output.decode("utf-8", "backslashreplace").replace(self.serial, "SERIAL")
        text = text.replace(self.folder, "DIR")
        for name, port in self.ports.items():
            text = text.replace(port, name)
        text = re.sub(r"[0-9a-f]{4}SERIAL\t", "SIZE SERIAL\t", text)
        text = re.sub(r"SERIAL +device product", "SERIAL device product", text)
        text = re.sub(r"transport_id:\d+", "transport_id:N", text)
        text = re.sub(r"\d+\.\d MB/s", "SPEED", text)
        text = re.sub(r"\(\d+ bytes in \d+\.\d{3}s\)", "(N bytes in TIME)", text)
        return re.sub(r"\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", "TIME", text)


# What is run on both sides, in this order. A pair (arguments, input) gives it bytes to read.
COMMANDS = [
    ["version"],
    ["start-server"],
    ["devices"],
    ["devices", "-l"],
    ["get-state"],
    ["get-serialno"],
    ["get-devpath"],
    ["features"],
    ["-s", "@SERIAL", "get-state"],
    ["-s", "nobody", "get-state"],
    ["-s", "usb:1-2", "get-state"],
    ["-s", "model:Pixel_6", "get-state"],
    ["-s", "product:oriole", "shell", "echo by product"],
    ["-s", "device:oriole", "shell", "echo by device"],
    ["-s", "model:Nothing", "shell", "echo"],
    ["-t", "987654", "get-state"],
    ["-t", "987654", "shell", "echo"],
    ["-d", "get-state"],
    ["-d", "shell", "echo"],
    ["-e", "get-state"],
    ["-e", "shell", "echo local"],
    ["wait-for-device"],
    ["wait-for-any-device"],
    ["wait-for-local-device"],
    ["wait-for-device", "shell", "echo waited"],
    ["shell", "getprop ro.product.model"],
    ["shell", "echo out; foo"],
    ["shell", "exit 7"],
    ["shell", "-n", "echo no input"],
    ["shell", "-T", "echo no terminal"],
    ["shell", "-t", "-t", "echo a terminal"],
    ["shell", "-x", "echo old protocol; exit 3"],
    (["shell"], b"echo one\necho two\nexit 5\n"),
    (["shell", "cat"], b"through and back\n"),
    (["shell", "cat > /sdcard/typed; echo kept"], b"typed text\n"),
    ["shell", "cat", "/sdcard/typed"],
    ["exec-out", "echo raw"],
    ["exec-out", "screencap", "-p"],
    (["exec-in", "cat > /sdcard/in"], b"0123456789" * 5000),
    ["shell", "sha256sum /sdcard/in"],
    ["push", "@DIR/file", "/sdcard/pushed"],
    ["push", "@DIR/file", "@DIR/empty", "/sdcard/"],
    ["push", "@DIR/tree", "/sdcard/tree"],
    ["push", "@DIR/none", "/sdcard/none"],
    ["push", "--sync", "@DIR/file", "/sdcard/pushed"],
    ["ls", "/sdcard/none"],
    ["shell", "ls -l /sdcard/pushed"],
    ["shell", "sha256sum /sdcard/pushed"],
    ["pull", "/sdcard/pushed", "@DIR/back"],
    ["pull", "/sdcard/tree", "@DIR/back-tree"],
    ["pull", "-a", "/sdcard/pushed", "@DIR/back-a"],
    ["pull", "/sdcard/none", "@DIR/nothing"],
    ["install", "@DIR/app.apk"],
    ["install", "-r", "-g", "@DIR/app.apk"],
    ["install", "--no-streaming", "@DIR/app.apk"],
    ["install", "@DIR/none.apk"],
    ["shell", "pm", "list", "packages"],
    ["uninstall", "com.example.installed"],
    ["uninstall", "com.example.installed"],
    ["shell", "am", "instrument", "-w", "com.nobody/.Runner"],
    ["logcat", "-c"],
    ["bugreport", "@DIR/report.zip"],
    ["jdwp"],
    ["forward", "--list"],
    ["forward", "tcp:@PORT1", "localabstract:echo"],
    ["forward", "--list"],
    ["forward", "--no-rebind", "tcp:@PORT1", "tcp:7"],
    ["forward", "tcp:@PORT1", "tcp:7"],
    ["forward", "--remove", "tcp:@PORT1"],
    ["forward", "--remove", "tcp:@PORT1"],
    ["forward", "nonsense"],
    ["forward", "--remove-all"],
    ["reverse", "--list"],
    ["reverse", "tcp:6100", "tcp:@PORT2"],
    ["reverse", "--no-rebind", "tcp:6100", "tcp:@PORT2"],
    ["reverse", "tcp:0", "tcp:@PORT2"],
    ["reverse", "--list"],
    ["reverse", "--remove", "tcp:6100"],
    ["reverse", "--remove", "tcp:6100"],
    ["reverse", "--remove-all"],
    ["root"],
    ["unroot"],
    ["remount"],
    ["disable-verity"],
    ["enable-verity"],
    ["usb"],
    ["tcpip", "5555"],
    ["raw", "host:version"],
    ["raw", "host:nonsense"],
    ["raw", "host:transport:nobody"],
    ["raw", "host-serial:nobody:features"],
    ["raw", "host:wait-for-nonsense"],
    ["raw", "shell:echo raw service"],
    ["raw", "nonsense:"],
    ["raw", "exec:echo with exec"],
    ["raw", "abb_exec:package\x00list\x00packages".replace("\x00", " ")],
    ["reconnect", "offline"],
    ["ppp"],
    ["emu", "kill"],
    ["nonsense"],
    ["shell", "echo " + "x" * 1500],
    ["wait-for-local-any"],
    ["wait-for-any"],
    ["wait-for-nonsense"],
    ["-s", "@SERIAL", "wait-for-device", "get-state"],
    ["help"],
    ["logcat", "-d", "-b", "nonsense"],
    ["shell", "logcat", "-d", "-t", "1"],
    ["install-multiple", "@DIR/app.apk", "@DIR/app.apk"],
    ["install-multiple", "@DIR/none.apk"],
    ["install", "--abb"],
    ["push", "--nonsense", "@DIR/file", "/sdcard/"],
    ["push", "--sync", "@DIR/tree", "/sdcard/tree"],
    ["push", "@DIR/tree/.", "/sdcard/flat"],
    ["push"],
    ["pull"],
    ["pull", "-a", "/sdcard/tree", "@DIR/back-tree-a"],
    ["pull", "/sdcard/pushed", "/sdcard/typed", "@DIR"],
    ["sync", "nonsense"],
    ["sync", "-l", "data"],
    ["sync", "data"],
    ["sync", "data"],
    ["shell", "sha256sum /data/synced"],
    ["ls", "/sdcard/flat"],
    ["ls"],
    ["shell", "-e", "none", "echo no escape"],
    ["shell", "-Tn", "echo both"],
    ["shell", "-z"],
    ["exec-out"],
    ["emu"],
    ["forward"],
    ["forward", "--remove"],
    ["reverse"],
    ["reverse", "--remove"],
    ["reverse", "nonsense"],
    ["-t", "x", "get-state"],
    ["-s"],
    ["-P", "0", "get-state"],
    ["-H"],
    ["root", "nonsense"],
    ["raw", "host:features"],
    ["raw", "track-jdwp:nonsense"],
    ["raw", "exec:exit 3"],
    ["raw", "host:transport-any"],
    ["raw", "host:tport:usb"],
    ["raw", "host:tport:nonsense"],
    ["raw", "host-usb:get-state"],
    ["raw", "host-local:get-state"],
    ["raw", "host:killforward:tcp:1"],
    ["raw", "host:forward:tcp:1"],
]

# Programs that go on until they are ended: what they say first.
WATCHERS = [
    (["track-devices"], b"device\n"),
    (["track-jdwp"], b"5678\n"),
    (["logcat"], b"\n"),
    (["shell", "echo begun; sleep 600"], b"begun\n"),
    (["shell", "-T", "logcat"], b"\n"),
]


class SideBySide(adb_rig.LeaseCase):
    def start_sides(self):
        self.start_farm()
        _, socket = self.lease("SIM001")
        ours = Side(self, "ours", self.env(socket), "SIM001")
        _, port = self.start_phones(1, serial="SIM001")
        env = {name: value for name, value in self.env("").items() if name != "ADB_SERVER_SOCKET"}
        env["ADB_MDNS_AUTO_CONNECT"] = ""
        theirs = Side(self, "theirs", env, "127.0.0.1:%d" % port,
                      ["-P", str(rig.free_ports())])
        theirs.run(["start-server"])
        self.addCleanup(theirs.run, ["kill-server"])
        self.assertIn("connected to", theirs.run(["connect", "@SERIAL"])[1])
        return ours, theirs

    def watch(self, side, arguments, until):
        """What such a program says up to there; it must still run then."""
        program = subprocess.Popen([adb_rig.ADB, *side.options, *arguments], env=side.env,
                                   cwd=self.scratch, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = b""
        try:
            while not said.endswith(until):
                part = os.read(program.stdout.fileno(), 1)
                if not part:
                    return "ended: " + side.plain(said)
                said += part
            return side.plain(said)
        finally:
            program.kill()
            program.wait()
            program.stdout.close()

    def test_goes_on_saying_the_same(self):
        ours, theirs = self.start_sides()
        for side in (ours, theirs):
            side.run(["shell", "logcat -c"])
        for arguments, until in WATCHERS:
            expected = self.watch(theirs, arguments, until)
            self.assertEqual(expected, self.watch(ours, arguments, until), arguments)
            self.assertFalse(expected.startswith("ended"), (arguments, expected))

    def test_every_way_to_name_the_server_leads_to_it(self):
        ours, _ = self.start_sides()
        path = ours.env["ADB_SERVER_SOCKET"]
        bare = {name: value for name, value in ours.env.items() if name != "ADB_SERVER_SOCKET"}
        self.assertEqual((0, b"SIM001\n"), self.run_program(
            adb_rig.ADB, "-L", path, "get-serialno", env=bare)[:2])
        self.assertEqual((0, b"one\n"), self.run_program(
            adb_rig.ADB, "-L", path, "-s", "SIM001", "shell", "echo one", env=bare)[:2])

    def fill(self, side):
        """The files that commands push."""
        content = random.Random(7).randbytes(300 * 1000)
        for name, data in (("file", content), ("empty", b""), ("app.apk", content[:70000]),
                           ("data/synced", content[:5000]), ("tree/a", b"a" * 5), ("tree/deep/b", b"b" * 66000)):
            path = os.path.join(side.folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
            os.utime(path, (1700000000, 1700000000))

    def digest(self, side, name):
        with open(os.path.join(side.folder, name), "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def test_says_and_gives_the_same_for_every_command(self):
        ours, theirs = self.start_sides()
        for side in (ours, theirs):
            self.fill(side)
        distinct = {str(command) for command in COMMANDS}
        self.assertGreaterEqual(len(distinct), 60)
        wrong = []
        for command in COMMANDS:
            arguments, data = command if isinstance(command, tuple) else (command, None)
            expected = theirs.run(arguments, data)
            got = ours.run(arguments, data)
            if got != expected:
                wrong.append("adb %s\n  ours   %r\n  theirs %r" % (" ".join(arguments), got,
                                                                    expected))
        self.assertEqual([], wrong, "\n".join(wrong))
        print("adb_same: %d commands" % len(COMMANDS))
        for name in ("back", "back-tree/deep/b", "back-a", "report.zip"):
            self.assertEqual(self.digest(theirs, name), self.digest(ours, name), name)


if __name__ == "__main__":
    unittest.main()
