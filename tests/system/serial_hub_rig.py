"""A hub controller on a serial line: a pseudo-terminal that hubd takes for an adapter's tty."""

import os
import pty
import select
import threading
import tty


class Controller:
    """Cambrionix' command line (Universal). `wires` says which port of the bus each of its ports
    feeds; what it does wrong is an attribute."""

    def __init__(self, bus, name="ttyHUB0", wires=None):
        self.bus = bus
        self.name = name
        self.wires = wires or {}
        self.off = set()
        self.heard = []
        self.restarted = False    # the R flag
        self.silent = False
        self.fatal = False        # the next command is answered by a fatal error
        self.refuses = False
        self.noise = b""          # before every answer
        self.lock = threading.Lock()
        self.master = None
        self.plug()

    def plug(self):
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        os.makedirs(self.bus.root + "/sys/class/tty", exist_ok=True)
        self.links = [self.bus.root + "/dev/" + self.name,
                      self.bus.root + "/sys/class/tty/" + self.name]
        os.symlink(os.ttyname(slave), self.links[0])
        os.symlink("../../devices/platform/serial/tty/" + self.name, self.links[1])
        os.close(slave)
        self.ending = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def unplug(self):
        for link in self.links:
            os.unlink(link)
        self.stop()

    def stop(self):
        self.ending = True
        self.thread.join()

    def run(self):
        """Nobody has it open: the far end says an error; it is asked again."""
        typed = b""
        while not self.ending:
            if not select.select([self.master], [], [], 0.05)[0]:
                continue
            try:
                typed += os.read(self.master, 4096)
            except OSError:
                threading.Event().wait(0.02)
                continue
            while b"\n" in typed:
                line, typed = typed.split(b"\n", 1)
                self.obey(line.strip().decode(errors="replace"))
        os.close(self.master)

    def say(self, text):
        try:
            os.write(self.master, text)
        except OSError:
            pass

    def switch(self, port, is_on):
        if is_on == (port not in self.off):
            return
        self.off.discard(port) if is_on else self.off.add(port)
        if port in self.wires:
            self.bus.say("power", self.wires[port], "on" if is_on else "off")

    def obey(self, line):
        self.heard.append(line)
        if self.silent:
            return
        if self.fatal:
            self.fatal = False
            self.silent = True
            self.say(b"*FATAL ERROR E77: planted\r\n")
            return
        self.say(self.noise)
        words = line.split()
        if words[0] == "mode" and self.refuses:
            self.say(b"*E422: Mode change refused\r\n")
        elif words[0] == "mode":
            self.switch(int(words[2]), words[1] != "o")
        elif words[0] == "state":
            port = int(words[1])
            flags = "D O" if port in self.off else "A S"
            self.say(b"%d, 0000, %s%s, 0, 0, x, 0.00\r\n"
                     % (port, b"R " if self.restarted else b"", flags.encode()))
        elif words[0] == "crf":
            self.restarted = False
        self.say(b">> ")
