"""A hub on an emulated USB bus: tests/usb/usb_bus.c, and hubd with libusb on it."""

import os
import shutil
import subprocess
import unittest

import hub_rig
import rig



class Bus(rig.Program):
    """The bus; its commands are lines on standard input."""

    def __init__(self):
        self.arguments = [shutil.which("umockdev-wrapper"), rig.program("usb_bus")]
        super().__init__(self.arguments)
        self.root = self.wait_for("bus ").split()[1]

    def open_input(self):
        return subprocess.PIPE

    def say(self, *words):
        self.process.stdin.write((" ".join(str(word) for word in words) + "\n").encode())
        self.process.stdin.flush()

    def attach(self, port, serial, *options):
        self.say("attach", port, serial, *options)

    def detach(self, port):
        self.say("detach", port)

    def fault(self, port, kind):
        self.say("fault", port, kind)

    def settle(self):
        """Until all commands before are done."""
        self.say("wait")
        self.wait_for("ok", 20)

    def counts(self, port):
        """Transfers, claims and resets of a port, ever."""
        self.say("count", port)
        return [int(word) for word in self.wait_for("count %d " % port).split()[2:]]


def environment(bus):
    """For a program that is to see the bus."""
    preload = rig.program("usb_shim.so") + ":libumockdev-preload.so.0"
    return dict(os.environ, UMOCKDEV_DIR=bus.root, LD_PRELOAD=preload)


def slot(port):
    return "usb:0000:00:14.0-%d.%d" % ((port - 1) // 10 + 1, (port - 1) % 10 + 1)


@unittest.skipUnless(shutil.which("umockdev-wrapper"), "umockdev is not installed")
class UsbCase(hub_rig.HubCase):
    """A test with a bus; phones are attached by their port's number."""

    def setUp(self):
        super().setUp()
        self.bus = Bus()
        self.addCleanup(self.bus.stop)

    def config_text(self, phones=(), **changes):
        text = super().config_text(phones, **changes)
        if "[phones]" not in text:
            text += "[phones]\n"
        text += "usb = on\n"
        if changes.get("endpoints"):
            text += "endpoints_per_controller = %d\n" % changes["endpoints"]
        if changes.get("away_seconds"):
            text += "away_seconds = %d\n" % changes["away_seconds"]
        if changes.get("keys"):
            text += "adb_keys = %s\n" % changes["keys"]
        return text

    def restart_hub(self):
        self.hub = self.start("hubd", "--config", self.config, env=environment(self.bus))
        self.hub.wait_for("listening", 30)
        self.client = self.new_client()
        rig.wait_until(lambda: self.client.get("/readyz").status == 200, 10, "hubd is ready")
        return self.hub

    def run_on(self, serial, capability="maintenance", seconds=30):
        process = self.submit(capability, phone=serial)
        self.assertEqual("completed", self.wait_end(process, seconds)["status"])
        return process
