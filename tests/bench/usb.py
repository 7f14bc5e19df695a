"""Row P12, the phones on USB: hubd and Debian's adb on the same emulated bus (tests/usb)."""

import os
import subprocess
import sys
import time

from rows import RUNS, row, several

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
import rig  # noqa: E402
import usb_rig  # noqa: E402

PHONES = 100
STEP_S = 0.001


class Farm(usb_rig.UsbCase):
    """A hub on a bus, outside of a test."""

    def runTest(self):
        pass

    def __enter__(self):
        self.setUp()
        return self

    def __exit__(self, *_):
        self.doCleanups()


def attach_to_leased(_number):
    """Work waits for a phone that is plugged in: from the plug to the running attempt."""
    with Farm() as farm:
        farm.start_hub()
        farm.bus.attach(1, "USB001")
        farm.wait_phones("USB001")
        farm.bus.detach(1)
        farm.wait_phones("USB001", state="absent")
        process = farm.nap(1, phone="USB001")
        started = time.monotonic()
        farm.bus.attach(1, "USB001")
        rig.wait_until(lambda: farm.process(process)["status"] == "executing", 10, "leased",
                       STEP_S)
        return {"ms": 1000 * (time.monotonic() - started)}


def all_at_once(_number):
    with Farm() as farm:
        farm.start_hub(size="64MiB")
        started = time.monotonic()
        for number in range(1, PHONES + 1):
            farm.bus.attach(number, "USB%03d" % number)
        rig.wait_until(lambda: farm.metric('hub_phones{state="ready"}') == PHONES, 60,
                       "all are ready", STEP_S)
        return {"s": time.monotonic() - started}


def adb_sees(_number):
    """Debian's adb, its server running and a client waiting before the phone is plugged in."""
    with Farm() as farm:
        env = dict(usb_rig.environment(farm.bus), HOME=farm.scratch, ADB_LIBUSB="1",
                   ANDROID_ADB_SERVER_PORT=str(rig.free_ports(1)))
        quiet = {"env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["adb", "start-server"], check=True, timeout=30, **quiet)
        try:
            waiting = subprocess.Popen(["adb", "wait-for-usb-device"], **quiet)
            time.sleep(0.3)  # it is connected to its server by then
            started = time.monotonic()
            farm.bus.attach(1, "USB001")
            waiting.wait(30)
            return {"ms": 1000 * (time.monotonic() - started)}
        finally:
            subprocess.run(["adb", "kill-server"], check=False, timeout=30, **quiet)


def p12():
    leased = several(RUNS, attach_to_leased)["ms"]
    peer = several(RUNS, adb_sees)["ms"]
    return [row("P12", "USB phone plugged in to attempt running (adb: to `device`)", leased, "ms",
                250, RUNS, "adb 29", peer[0]),
            row("P12", "100 USB phones plugged in at once, all ready",
                several(RUNS, all_at_once)["s"], "s", 3, RUNS)]
