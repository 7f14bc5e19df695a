#!/usr/bin/env python3
"""`make rig`: hubd on a real kernel with real USB: Debian's, in QEMU, with emulated phones as USB
devices on power-switched hubs (usb_redir.c), and a hub controller on a USB serial adapter.

    run.py FOLDER [STEP…]    FOLDER holds what image.sh made; the names of steps: only these

Every step says how long it took; the whole has a hard limit. Exit status 0: all was seen."""

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))

import fastboot_image  # noqa: E402
import rig  # noqa: E402

LIMIT_SECONDS = 900 if "HUB_SLOW" in os.environ else 420
SERIALS = ["RIG%02d" % number for number in range(1, 11)]
HUB_A, HUB_B = range(1, 8), range(8, 11)  # phones by number: 1.1 to 1.7, and 1.8.1 to 1.8.3
SECRET = "rig-secret"
CONTROLLER = "usb:0000:00:05.0-"


def slot(number):
    return CONTROLLER + ("1.%d" % number if number in HUB_A else "1.8.%d" % (number - 7))


class Controller:
    """A hub controller at the far end of the USB serial adapter: the dialect `line`. Its port 1
    feeds one phone, which it plugs out and in."""

    def __init__(self, path, switch):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.switch = switch
        self.is_on = True
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        line = self.listener.accept()[0]
        typed = b""
        while True:
            more = line.recv(4096)
            if not more:
                return
            typed += more
            while b"\n" in typed or b"\r" in typed:
                command, typed = re.split(rb"[\r\n]+", typed, maxsplit=1)
                if command:
                    line.sendall(self.answer(command.decode(errors="replace")).encode() + b"\r\n")

    def answer(self, command):
        words = command.split()
        if len(words) != 2 or words[1] != "1":
            return "error no such port"
        if words[0] in ("on", "off"):
            self.is_on = words[0] == "on"
            self.switch(self.is_on)
            return "ok"
        return "on" if self.is_on else "off"


class Phones(rig.Program):
    """usb_redir; commands are lines on its standard input."""

    def open_input(self):
        return subprocess.PIPE


class Machine:
    """QEMU; `run` runs a command inside."""

    def __init__(self, folder, kernel, initrd):
        self.log = os.path.join(folder, "qemu.log")
        self.serial = os.path.join(folder, "commands")
        arguments = [
            "qemu-system-x86_64", "-M", "pc", "-accel", "tcg,thread=multi", "-cpu", "max",
            "-m", "1024", "-smp", "1", "-nodefaults", "-no-user-config", "-display", "none",
            "-serial", "file:" + os.path.join(folder, "console"),
            "-chardev", "socket,id=commands,server=on,wait=off,path=" + self.serial,
            "-serial", "chardev:commands", "-no-reboot", "-kernel", kernel, "-initrd", initrd,
            "-append", "console=ttyS0 quiet panic=-1 no_timer_check nokaslr",
            "-trace", "enable=usb_hub_clear_port_feature", "-D", self.log,
            "-device", "qemu-xhci,id=x,addr=5,p2=8,p3=4",
            "-device", "usb-hub,bus=x.0,port=1,port-power=on,ports=8",
            "-device", "usb-hub,bus=x.0,port=1.8,port-power=on,ports=8",
            "-chardev", "socket,id=line,path=" + os.path.join(folder, "line"),
            "-device", "usb-serial,chardev=line,bus=x.0,port=3"]
        for number in range(1, len(SERIALS) + 1):
            port = "1.%d" % number if number in HUB_A else "1.8.%d" % (number - 7)
            arguments += ["-chardev", "socket,id=c%d,path=%s/phone%d" % (number, folder, number),
                          "-device", "usb-redir,chardev=c%d,bus=x.0,port=%s" % (number, port)]
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL)
        rig.wait_until(lambda: os.path.exists(self.serial), 20, "QEMU listens")
        self.line = socket.socket(socket.AF_UNIX)
        self.line.connect(self.serial)
        self.heard = b""

    def wait_for(self, pattern, seconds):
        """What came before the pattern, and the match."""
        deadline = time.monotonic() + seconds * rig.SLOW
        while True:
            found = re.search(pattern, self.heard)
            if found:
                before, self.heard = self.heard[:found.start()], self.heard[found.end():]
                return before.decode(errors="replace"), found
            self.line.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                more = self.line.recv(65536)
            except socket.timeout:
                more = b""
            if not more:
                raise AssertionError("no %r within %d s, but: %s" % (
                    pattern, seconds, self.heard[-2000:].decode(errors="replace")))
            self.heard += more

    def run(self, command, seconds=30, good=True):
        self.line.sendall(command.encode() + b"\n")
        output, end = self.wait_for(rb"RIG END (\d+)\r?\n", seconds)
        if good and end.group(1) != b"0":
            raise AssertionError("%s: status %s: %s" % (command, end.group(1).decode(), output))
        return output

    def power_cuts(self, already):
        """Ports that QEMU's hubs have cut the power of, behind the first `already` lines."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            lines = file.readlines()
        return [line for line in lines[already:] if "power" in line], len(lines)


class Rig:
    def __init__(self, prepared):
        self.folder = tempfile.mkdtemp(prefix="rig-", dir="/tmp")
        self.began = self.last = time.monotonic()
        self.boot_image, self.system, self.system_whole = None, None, None
        self.prepared = prepared
        self.phones = self.machine = None

    def say(self, what):
        now = time.monotonic()
        print("ok  %6.1f s  %s" % (now - self.last, what), flush=True)
        self.last = now

    # ---- starting ----

    def write(self, name, content):
        path = os.path.join(self.folder, "root", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def write_files(self):
        self.write("hub/hub.ini", """[hub]
id = rig
[store]
path = /tmp/hub.store
size = 16MiB
[api]
listen = tcp:127.0.0.1:7700
token_file = /hub/tokens
[capabilities]
dir = /hub/capabilities
[phones]
usb = on
[hub_serial.line]
port = /dev/ttyUSB0
dialect = line
slots = 1=%s
""" % slot(4))
        os.chmod(self.write("hub/tokens", "all submit,read,operate %s\n" % SECRET), 0o600)
        for name in ("maintenance", "flash", "shell"):
            with open(os.path.join(ROOT, "capabilities", name + ".ini"), encoding="utf-8") as file:
                self.write("hub/capabilities/%s.ini" % name,
                           file.read().replace("/var/lib/hubd/images", "/hub/images"))
        self.write("hub/capabilities/nap.ini", """[capability]
name = nap
attempts = 1
[action.nap]
type = shell
command = sleep 20
timeout_seconds = 60
""")
        self.boot_image = fastboot_image.plain(300001, 3)
        self.system, self.system_whole = fastboot_image.large_sparse(300)
        images = [("boot", "boot.img", self.boot_image, ""),
                  ("system", "system.simg", self.system, "")]
        for _, name, content, _ in images:
            self.write("hub/images/rig/" + name, content)
        self.write("hub/images/rig/manifest.ini",
                   fastboot_image.manifest(images, product="phonesim", set_active="b"))

    def start(self):
        self.write_files()
        more = subprocess.run("cd %s/root && find . | cpio -o -H newc --quiet" % self.folder,
                              shell=True, stdout=subprocess.PIPE, check=True).stdout
        initrd = os.path.join(self.folder, "initrd")
        with open(initrd, "wb") as file:
            with open(os.path.join(self.prepared, "base.cpio"), "rb") as base:
                shutil.copyfileobj(base, file)
            file.write(more)
        self.phones = Phones([rig.program("usb_redir"), self.folder] + SERIALS)
        self.phones.wait_for("ready")
        Controller(os.path.join(self.folder, "line"),
                   lambda is_on: self.tell("attach" if is_on else "detach", 4))
        self.say("the phones listen, the image is whole")
        self.machine = Machine(self.folder, os.path.join(self.prepared, "vmlinux"), initrd)
        _, ready = self.machine.wait_for(rb"RIG READY ([\d.]+)\r?\n", 120)
        print("note: the rig's kernel booted in %.1f s; by its own clock in %s s" % (
            time.monotonic() - self.last, ready.group(1).decode()))
        self.say("Debian's kernel has booted")

    def tell(self, *words):
        self.phones.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.phones.process.stdin.flush()

    def stop(self):
        if self.machine is not None:
            self.machine.process.kill()
            self.machine.process.wait()
        if self.phones is not None:
            self.phones.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- what a hub's operator does ----

    def ask(self, *words, seconds=30, good=True):
        return self.machine.run("hubctl --token-file /hub/tokens " + " ".join(words), seconds, good)

    def submit(self, *words):
        return json.loads(self.ask("--json", "run", *words, "--no-wait"))["process_id"]

    def show(self, process):
        return json.loads(self.ask("--json", "show", process))

    def complete(self, process, seconds):
        """Until it has ended, and well."""
        def ended():
            shown = self.show(process)
            return shown if shown["status"] in ("completed", "failed_terminal") else None
        shown = rig.wait_until(ended, seconds, "%s has ended" % process, step=0.5)
        assert shown["status"] == "completed", shown
        return shown

    def list_phones(self):
        answer = json.loads(self.ask("--json", "phones"))
        return {phone["phone_id"]: phone for phone in answer["phones"]}

    def wait_phones(self, serials, state, seconds):
        def are_there():
            phones = self.list_phones()
            return all(phones.get(serial, {}).get("state") == state for serial in serials)
        rig.wait_until(are_there, seconds, "%s are %s" % (serials, state), step=0.5)

    def hub_log(self):
        return self.machine.run("cat /tmp/hub.log")

    # ---- what is to be seen ----

    def discover(self):
        self.machine.run("hubd --config /hub/hub.ini >/tmp/hub.log 2>&1 &")
        rig.wait_until(lambda: "listening" in self.hub_log(), 30, "hubd listens", step=0.5)
        self.wait_phones(SERIALS, "ready", 60)
        phones = self.list_phones()
        for number, serial in enumerate(SERIALS, 1):
            assert phones[serial]["slot"] == slot(number), phones[serial]
        self.say("hubd has found %d phones, each in its slot" % len(phones))

    def maintain(self):
        self.complete(self.submit("maintenance", "--group", ",".join(SERIALS)), 60)
        self.say("a maintenance run on each of them")

    def flash(self):
        for serial in SERIALS[:2]:  # the second one's bootloader has no serial
            self.complete(self.submit("flash", "--phone", serial, "--input", "build=rig"), 60)
            for name, content in (("boot_a", self.boot_image), ("system_a", self.system_whole)):
                with open(os.path.join(self.folder, "%s.%s" % (serial, name)), "rb") as file:
                    found = file.read(len(content))
                assert hashlib.sha256(found).digest() == hashlib.sha256(content).digest(), name
        self.say("two phones flashed over fastboot, byte for byte; one without serial there")

    def recover(self):
        """Only the power of its port, which QEMU's hub has really cut, heals phone 3."""
        _, already = self.machine.power_cuts(0)
        self.tell("fault", 3, "silent")
        self.submit("shell", "--input", "command=id", "--phone", SERIALS[2])
        rig.wait_until(lambda: self.machine.power_cuts(already)[0], 150, "a port loses its power",
                       step=0.2)
        self.tell("fault", 3, "good")
        self.wait_phones([SERIALS[2]], "ready", 60)
        assert "power_cycled slot=%s\n" % slot(3) in self.hub_log().replace("\r", "")
        self.say("a phone that hung is back: its port's power was cut and given again")

    def switch_by_line(self):
        """The controller on the serial adapter switches the slot that it is configured for."""
        self.machine.run("wget -q -O - --header 'Authorization: Bearer %s' --post-data '' "
                         "http://127.0.0.1:7700/phones/%s/power" % (SECRET, SERIALS[3]))
        rig.wait_until(lambda: "power_cycled slot=%s" % slot(4) in self.hub_log(), 30,
                       "the controller has switched", step=0.5)
        self.wait_phones([SERIALS[3]], "ready", 30)
        self.say("a hub controller on a USB serial adapter switched a port")

    def fail_hub(self):
        """All phones of the inner hub go at once: one fault, no attempt is counted."""
        serials = [SERIALS[number - 1] for number in HUB_B]
        process = self.submit("nap", "--group", ",".join(serials))
        self.wait_phones(serials, "leased", 20)
        for number in HUB_B:
            self.tell("detach", number)
        self.wait_phones(serials, "absent", 20)
        for number in HUB_B:
            self.tell("attach", number)
        self.wait_phones(serials, "leased", 60)
        items = self.show(process)["items"]
        assert all(item["attempts_counted"] == 0 for item in items), items
        self.complete(process, 60)
        self.say("a hub fault was one: nothing was counted, and the work was done")

    def start_on_flash(self, number):
        self.machine.run("sed 's#^path = .*store$#path = /dev/mtd%d#' /hub/hub.ini >/tmp/mtd.ini; "
                         "hubd --config /tmp/mtd.ini >/tmp/hub.log 2>&1 &" % number)
        rig.wait_until(lambda: "listening" in self.hub_log(), 60, "hubd listens", step=0.5)
        self.wait_phones(SERIALS[4:6], "ready", 60)

    def kill(self):
        self.machine.run("kill -9 $(pidof hubd); while pidof hubd; do sleep 0.2; done", 20,
                         good=False)

    def keep_on_flash(self):
        """The store on raw flash of the kernel's: NOR (mtdram), then NAND with pages (nandsim)."""
        self.kill()
        self.machine.run("for module in /mtd/*; do case $module in "
                         "*mtdram*) insmod $module total_size=16384 erase_size=128 ;; "
                         "*nandsim*) insmod $module id_bytes=0x20,0xaa,0x00,0x15 ;; "
                         "*) insmod $module ;; esac || echo failed $module; done; cat /proc/mtd", 60)
        for number, kind in enumerate(("mtdram", "NAND simulator")):
            self.machine.run("grep -i '^mtd%d: .*%s' /proc/mtd" % (number, kind.split()[0]))
            self.start_on_flash(number)
            done = self.submit("maintenance", "--phone", SERIALS[4])
            self.complete(done, 60)
            begun = self.submit("maintenance", "--phone", SERIALS[5])
            self.kill()
            self.start_on_flash(number)
            assert self.show(done)["status"] == "completed", done
            self.complete(begun, 60)
            refused = self.machine.run("hubd --config /tmp/mtd.ini 2>&1", good=False)
            assert "/dev/mtd%d" % number in refused, refused
            self.say("hubd kept its store on %s, was killed, and went on" % kind)
            self.kill()
        self.machine.run("dd if=/dev/mtd0 of=/tmp/copy bs=128k 2>/dev/null; "
                         "hubctl store check /tmp/copy")
        self.machine.run("hubd --config /hub/hub.ini >/tmp/hub.log 2>&1 &")

    def check_by_others(self):
        """Debian's own tools, with their own USB code, take the same phones for real ones."""
        self.machine.run("kill $(pidof hubd); while pidof hubd; do sleep 0.2; done", 20)
        hubs = self.machine.run("uhubctl", 30)
        assert re.search(r"hub 1-1 .*8 ports, ppps", hubs), hubs
        self.machine.run("adb start-server", 60)
        rig.wait_until(lambda: self.machine.run("adb devices", 30).count("\tdevice") ==
                       len(SERIALS), 60, "adb lists every phone", step=0.5)
        assert "usb:1-1.8.3" in self.machine.run("adb devices -l", 30)
        assert "hello" in self.machine.run("adb -s RIG05 shell echo hello", 30)
        self.machine.run("dd if=/dev/urandom of=/tmp/pushed bs=512 count=999 2>/dev/null; "
                         "adb -s RIG05 push /tmp/pushed /data/local/tmp/pushed", 60)
        assert self.machine.run("sha256sum </tmp/pushed").split()[0] in self.machine.run(
            "adb -s RIG05 shell sha256sum /data/local/tmp/pushed", 30)
        self.machine.run("adb -s RIG05 reboot bootloader", 30)
        rig.wait_until(lambda: "RIG05" in self.machine.run("fastboot devices", 30), 30,
                       "fastboot lists the phone", step=0.5)
        self.machine.run("fastboot -s RIG05 flash system /hub/images/rig/system.simg", 60)
        with open(os.path.join(self.folder, "RIG05.system_a"), "rb") as file:
            assert file.read(len(self.system_whole)) == self.system_whole
        self.machine.run("fastboot -s RIG05 reboot", 30)
        rig.wait_until(lambda: "RIG05\tdevice" in self.machine.run("adb devices", 30), 30,
                       "adb has it again", step=0.5)
        self.say("Debian's adb, fastboot and uhubctl accept the same phones and hubs")

    def run(self, names):
        steps = (self.discover, self.maintain, self.flash, self.recover, self.switch_by_line,
                 self.fail_hub, self.keep_on_flash, self.check_by_others)
        self.start()
        for step in steps:
            if not names or step.__name__ in names:
                step()
        print("note: the rig passed in %.0f s" % (time.monotonic() - self.began))


def give_up(one):
    print("rig: not done within %d s" % LIMIT_SECONDS, flush=True)
    one.stop()
    os._exit(1)


def main():
    one = Rig(os.path.abspath(sys.argv[1]))
    limit = threading.Timer(LIMIT_SECONDS, give_up, [one])
    limit.daemon = True
    limit.start()
    try:
        one.run(sys.argv[2:])
    except Exception:
        if one.machine is not None and one.machine.process.poll() is None:
            try:
                print(one.machine.run("tail -60 /tmp/hub.log; dmesg | tail -20; ls /sys/bus/usb/devices", 20,
                                      good=False))
            except Exception as error:  # the first failure is the one to show
                print("rig: no log: %s" % error)
        console = os.path.join(one.folder, "console")
        if os.path.exists(console):
            with open(console, "rb") as file:
                print(file.read()[-2000:].decode(errors="replace"))
        raise
    finally:
        one.stop()


if __name__ == "__main__":
    main()
