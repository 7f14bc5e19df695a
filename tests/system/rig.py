"""What system tests share: scratch directories, free ports, programs that are started and stopped.

A test never sleeps for a fixed time: it waits for a condition with a deadline. Every program a
test starts is ended by the test, by its own process id.
"""

import os
import queue
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("HUB_BIN", os.path.join(ROOT, "build", "bin"))
# Stretches every deadline: told by sanitizers and emulation, else by how many wait for a processor.
SLOW = float(os.environ.get("HUB_SLOW", 1 + os.getloadavg()[0] / (os.cpu_count() or 1)))


def program(name):
    """The path of one of our programs; HUB_BIN chooses another build."""
    return os.path.join(BIN, name)


_given_ports = set()


def free_ports(count=1):
    """A port P such that P .. P+count-1 were all free on loopback a moment ago.

    They lie below the ports that the system gives to outgoing connections: a client that calls a
    program which is just being started again could otherwise take its port. Files that run at once
    have ports of their own (HUB_PORTS)."""
    first, end = (int(n) for n in os.environ.get("HUB_PORTS", "10000-32768").split("-"))
    for _ in range(200):
        base = random.SystemRandom().randrange(first, end - count)
        ports = range(base, base + count)
        held = []
        try:
            for port in ports:
                held.append(socket.socket())
                # As our programs do: what a closed connection has left does not count.
                held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                held[-1].bind(("127.0.0.1", port))
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
        if _given_ports.isdisjoint(ports):
            _given_ports.update(ports)
            return base
    raise RuntimeError("no %d free ports in a row" % count)


def wait_until(condition, seconds=10.0, what="condition", step=0.02):
    """Calls `condition` until it gives something true, and returns that."""
    deadline = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("not within %.1f s: %s" % (seconds * SLOW, what))
        time.sleep(step)


class Program:
    """A started program whose output lines are collected as they come."""

    def __init__(self, arguments, env=None, cwd=None):
        self.arguments = [str(argument) for argument in arguments]
        self.lines = []
        self._fresh = queue.Queue()
        self.process = subprocess.Popen(
            self.arguments, stdin=self.open_input(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env=env, cwd=cwd)
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def open_input(self):
        """What the program reads; a kind of program that takes commands overrides it."""
        return subprocess.DEVNULL

    def _collect(self):
        for raw in self.process.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            self.lines.append(line)
            self._fresh.put(line)
        self._fresh.put(None)

    def wait_for(self, text, seconds=10.0):
        """The next line, not yet waited for, that contains `text`."""
        deadline = time.monotonic() + seconds * SLOW
        while True:
            try:
                line = self._fresh.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError("%s did not say %r in %.1f s; it said:\n%s" % (
                    self.arguments[0], text, seconds * SLOW, self.output())) from None
            if line is None:
                self._fresh.put(None)
                raise AssertionError("%s ended (%s) before it said %r; it said:\n%s" % (
                    self.arguments[0], self.process.poll(), text, self.output()))
            if text in line:
                return line

    def output(self):
        return "\n".join(self.lines)

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process.poll() is None

    def signal(self, number):
        if self.is_running():
            self.process.send_signal(number)

    def wait(self, seconds=10.0):
        """The exit status (negative: minus the signal); its output is then complete."""
        status = self.process.wait(seconds * SLOW)
        self._reader.join(seconds * SLOW)
        return status

    def stop(self, seconds=10.0):
        """SIGTERM, then SIGKILL when that takes too long; gives the exit status."""
        self.signal(signal.SIGTERM)
        try:
            status = self.wait(seconds)
        except subprocess.TimeoutExpired:
            status = self.kill()
        self.process.stdout.close()
        return status

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()


class Case(unittest.TestCase):
    """A test with a scratch directory; whatever it starts is stopped after it, newest first."""

    maxDiff = None

    def setUp(self):
        self.scratch = tempfile.mkdtemp(prefix="hub-")
        self.addCleanup(shutil.rmtree, self.scratch, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.scratch, *parts)

    def write(self, name, content):
        """Makes a file in the scratch directory and gives its path."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as target:
            target.write(content if isinstance(content, bytes) else content.encode())
        return path

    def start(self, name, *arguments, env=None):
        """Starts one of our programs (or any path); stopped when the test ends."""
        path = name if os.sep in name else program(name)
        started = Program([path, *arguments], env=env, cwd=self.scratch)
        self.addCleanup(started.stop)
        return started

    def run_program(self, *arguments, env=None, seconds=30.0, input_bytes=None):
        """Runs a program to its end; gives (exit status, stdout, stderr) as bytes."""
        path = arguments[0] if os.sep in str(arguments[0]) else program(arguments[0])
        done = subprocess.run(
            [path, *map(str, arguments[1:])], env=env, cwd=self.scratch, input=input_bytes,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds * SLOW, check=False)
        return done.returncode, done.stdout, done.stderr

    def start_phones(self, count=1, *options, serial="SIM001"):
        """Starts phonesim and waits until every phone listens; gives (program, first port)."""
        port = free_ports(count)
        phones = self.start("phonesim", "--count", count, "--adb-tcp", "127.0.0.1:%d" % port,
                            "--serial", serial, *options)
        for _ in range(count):
            phones.wait_for(" on 127.0.0.1:")
        return phones, port
