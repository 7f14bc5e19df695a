"""A board without an operating system, in QEMU: its flash in a file, its console and its line in
Unix sockets; and the carrier and upstream at the other end of the line, in Python."""

import hashlib
import os
import queue
import random
import re
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import hub_client
import rig
import store_reader

MACHINES = {"zynq": ["-M", "xilinx-zynq-a9", "-m", "128M"], "mps2": ["-M", "mps2-an386"]}
CHIP, STORE, SECTOR = 64 << 20, 32 * 131072, 131072
HELLO, PUSH, REPLY, READY, AWAY = range(1, 6)
MARK = 4  # bytes in front of a push, and of the reply to it
COMPLETED, CANCELED = 6, 8  # of an item
EPOCH, REPLY_BYTES = 1, 3400  # of upstream's commands


# ---- frames, written a second time ----

def stuff(data):
    """COBS."""
    out, block = bytearray(), bytearray()
    for byte in data:
        if byte == 0:
            out += bytes([len(block) + 1]) + block
            block = bytearray()
        else:
            block.append(byte)
            if len(block) == 254:
                out += b"\xff" + block
                block = bytearray()
    return bytes(out + bytes([len(block) + 1]) + block)


def unstuff(data):
    """None: not COBS."""
    out, at = bytearray(), 0
    while at < len(data):
        code = data[at]
        if at + code > len(data):
            return None
        out += data[at + 1:at + code]
        at += code
        if code < 255 and at < len(data):
            out.append(0)
    return bytes(out)


def frame(kind, payload=b""):
    body = bytes([kind]) + payload
    return b"\0" + stuff(body + store_reader.crc32c(0, body).to_bytes(4, "little")) + b"\0"


class Frames:
    """Takes bytes apart."""

    def __init__(self):
        self.rest = b""

    def feed(self, data):
        *whole, self.rest = (self.rest + data).split(b"\0")
        for one in filter(None, whole):
            body = unstuff(one)
            if body and len(body) >= 5 and store_reader.crc32c(0, body[:-4]) == int.from_bytes(
                    body[-4:], "little"):
                yield body[0], body[1:-4]


# ---- the other end ----

class Upstream:
    """What upstream keeps of one hub, and how it answers; every push is judged."""

    def __init__(self):
        self.store = None
        self.cursor, self.chain = 0, hub_client.ZERO_CHAIN
        self.records, self.hellos, self.pushes, self.repeated = [], 0, 0, 0
        self.problem = None
        self.commands = []  # as they are sent, in the order of their numbers

    def command(self, kind, *items):
        """Gives the hub something to do; its number."""
        self.commands.append([len(self.commands) + 1, kind, *items])
        return len(self.commands)

    def due(self, fields):
        """The commands that the hub has not applied, as many as its line takes at once."""
        seen = fields[8] if len(fields) > 13 and fields[13] == EPOCH else 0
        due, size = [], 0
        for command in self.commands[seen:seen + 16]:
            size += len(hub_client.encode(command))
            if size > REPLY_BYTES:
                break
            due.append(command)
        return due

    def expect(self, condition, text):
        if not condition and self.problem is None:
            self.problem = text

    def take(self, message):
        fields, end = hub_client.decode(message)
        self.expect(end == len(message) and fields[0] == hub_client.VERSION, "a whole push")
        store = (fields[2], fields[3])
        self.expect(self.store in (None, store), "the store is the same for ever")
        self.store = store
        self.pushes += 1
        self.hellos += fields[1]
        self.expect(fields[5][0] <= self.cursor, "the hub believes no more than was said")
        seq = fields[9] - 1
        for chain, records in fields[10]:
            last = seq + len(records)
            if last <= self.cursor:
                self.repeated += 1
            else:
                self.expect(seq == self.cursor, "groups follow each other, none is cut in two")
                self.chain = hashlib.sha256(self.chain + b"".join(records)).digest()[:8]
                self.expect(self.chain == chain, "the chain goes on")
                self.records += records
                self.cursor = last
            seq = last
        return hub_client.encode([1, 0, "", [self.cursor, self.chain], 1, 1 << 20, 0, self.due(fields),
                                  EPOCH, [], 0, None])


class Carrier(threading.Thread):
    """Answers the line while it is connected. `lose` drops that share of replies, `late` answers
    before it takes: never."""

    def __init__(self, path, upstream, lose=0.0, seed=1):
        super().__init__(daemon=True)
        self.path, self.upstream, self.lose = path, upstream, lose
        self.dice = random.Random(seed)
        self.names = set()
        self.socket = None
        self.stopping = False
        self.frames = Frames()
        self.is_mute = False

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    def take(self, kind, payload):
        if kind == HELLO:
            self.names.add(payload.decode())
            self.send(frame(READY))
        elif kind == PUSH:
            reply = self.upstream.take(payload[MARK:])
            if self.dice.random() >= self.lose:
                self.send(frame(REPLY, payload[:MARK] + reply))

    def run(self):
        while not self.stopping:
            try:
                data = self.socket.recv(65536)
            except OSError:
                return
            if not data:
                return
            if not self.is_mute:
                for kind, payload in self.frames.feed(data):
                    self.take(kind, payload)

    def open(self):
        self.socket = socket.socket(socket.AF_UNIX)
        rig.wait_until(self.try_connect, 10, "the board's line")
        self.start()

    def try_connect(self):
        try:
            self.socket.connect(self.path)
            return True
        except OSError:
            return False

    def close(self):
        self.stopping = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.join(10)
        self.socket.close()


class Console:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        rig.wait_until(lambda: self.try_connect(path), 10, "the board's console")
        self.lines = queue.Queue()
        self.text = b""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def try_connect(self, path):
        try:
            self.socket.connect(path)
            return True
        except OSError:
            return False

    def read(self):
        while True:
            try:
                data = self.socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                self.lines.put(None)
                return
            *whole, self.text = (self.text + data).split(b"\n")
            for line in whole:
                self.lines.put(line.decode("ascii", "replace"))

    def send(self, line):
        self.socket.sendall(line.encode("latin-1") + b"\n")

    def wait_for(self, *texts, seconds=20):
        """Lines up to the one that contains one of the texts; None when the board has gone."""
        deadline = time.monotonic() + seconds * rig.SLOW
        lines = []
        while True:
            try:
                line = self.lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError("the console did not say %r; it said %r" % (texts, lines)) from None
            if line is None:
                return None
            lines.append(line)
            if any(text in line for text in texts):
                return lines

    def ask(self, line, *until):
        self.send(line)
        return self.wait_for(*until)

    def close(self):
        self.socket.close()


class Board:
    """One chip of flash, and the emulators that run on it one after the other."""

    def __init__(self, folder, machine="zynq"):
        self.folder, self.machine = folder, machine
        self.flash = os.path.join(folder, "flash.img")
        self.process = self.console = None
        with open(self.flash, "wb") as file:
            for _ in range(CHIP >> 20):
                file.write(b"\xff" * (1 << 20))

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, is_pty=False):
        """The line is a Unix socket, or a serial device to which `line` is then a link."""
        for name in ("console", "line"):
            if os.path.lexists(self.path(name)):
                os.unlink(self.path(name))
        chip = ["-drive", "if=pflash,format=raw,file=" + self.flash] if self.machine == "zynq" else []
        line = "pty" if is_pty else "unix:%s,server=on,wait=off" % self.path("line")
        self.process = subprocess.Popen(
            ["qemu-system-arm", *MACHINES[self.machine], "-display", "none", "-monitor", "none", *chip,
             "-kernel", os.path.join(rig.ROOT, "build", self.machine, "hub.elf"),
             "-serial", "unix:%s,server=on,wait=on" % self.path("console"), "-serial", line],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.console = Console(self.path("console"))
        if is_pty:  # char device redirected to /dev/pts/3 (label serial1)
            while True:
                said = self.process.stdout.readline()
                found = re.search(r"(/dev/pts/\d+)", said)
                if found or not said:
                    break
            os.symlink(found.group(1), self.path("line"))

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None
            self.console.close()

    def format(self, name, is_pty=False):
        """Makes it a hub, and starts it again."""
        self.start()
        self.console.wait_for("no hub runs here")
        self.console.ask("format " + name, "made")
        self.kill()
        self.start(is_pty)
        self.console.wait_for("hub ready")

    def status(self):
        """Everything that the console's status says, by name."""
        found = {}
        for line in self.console.ask("status", "line="):
            found.update(fields(line))
        return found

    def store(self):
        """The store's part of the chip, as a file of its own."""
        path = self.path("store.img")
        with open(self.flash, "rb") as chip, open(path, "wb") as file:
            file.write(chip.read(STORE))
        return path


def fields(line):
    return dict(pair.split("=", 1) for pair in line.split() if "=" in pair)


class BoardCase(unittest.TestCase):
    limit_seconds = 240

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="hub-board-")
        self.board = Board(self.folder.name)
        self.upstream = Upstream()
        self.carrier = None

    def tearDown(self):
        self.cut()
        self.folder.cleanup()

    def connect(self, lose=0.0, seed=1):
        self.carrier = Carrier(self.board.path("line"), self.upstream, lose, seed)
        self.carrier.open()

    def cut(self):
        """The power goes."""
        self.board.kill()
        if self.carrier is not None:
            self.carrier.close()
            self.carrier = None

    def status(self):
        return self.board.status()

    def submit(self, what):
        """The process's number and the record that made it durable; None: the board is full."""
        line = self.board.console.ask("submit " + what, "accepted=", "refused")[-1]
        if "no free slot" in line:
            return None
        self.assertIn("accepted=", line)
        return int(fields(line)["accepted"]), int(fields(line)["record"])

    def wait_for_process(self, number, state, seconds=60):
        def look():
            lines = self.board.console.ask("ps", "processes=")
            return any(re.match(r"process=%d .* %s$" % (number, state), line) for line in lines)
        rig.wait_until(look, seconds, "process %d %s" % (number, state), step=0.1)

    def wait_for_upstream(self, seconds=60):
        """Everything that is durable has arrived, and nothing more comes."""
        def look():
            found = self.status()
            return (found["head"] == found["durable"] == found["acknowledged"]
                    and self.upstream.cursor == int(found["head"]))
        rig.wait_until(look, seconds, "everything acknowledged", step=0.1)
        self.assertIsNone(self.upstream.problem)

    def states(self):
        """The last state of each item, by process and number; a terminal one is entered once."""
        states = {}
        for raw in self.upstream.records:
            fields, _ = hub_client.decode(raw)
            if fields[0] == hub_client.ITEM:
                key = tuple(fields[1])
                self.assertFalse(COMPLETED <= states.get(key, 0) <= CANCELED,
                                 "a record behind the end of item %r" % (key,))
                states[key] = fields[6][0]
        return states
