"""Row P12, adb over the network: Debian's adb as client of hubd's lease endpoints and of its own
server, each before emulated phones of the same kind, in turn within one run."""

import concurrent.futures
import os
import sys
import time

from rows import row, spread

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
import adb_rig  # noqa: E402
import rig  # noqa: E402

MIB = 64
MANY, MANY_MIB = 32, 8  # phones at once, and the file for each
ROUNDS = 5
SHELLS = 40
STREAMS = 32  # open when a lease ends


class Farm(adb_rig.LeaseCase):
    """Phones behind a hub and, as many, behind adb's own server."""

    def runTest(self):
        pass

    def __enter__(self):
        self.setUp()
        return self

    def __exit__(self, *_):
        self.doCleanups()

    def sides(self, count):
        self.start_farm(count)
        ours = []
        for index in range(count):
            serial = "SIM%03d" % (index + 1)
            ours.append((self.env(self.lease(serial)[1]), [], serial))
        _, port = self.start_phones(count, serial="SIM001")
        env = {name: value for name, value in self.env("").items() if name != "ADB_SERVER_SOCKET"}
        server = ["-P", str(rig.free_ports())]
        self.run_program(adb_rig.ADB, *server, "start-server", env=env)
        self.addCleanup(self.run_program, adb_rig.ADB, *server, "kill-server", env=env)
        theirs = []
        for index in range(count):
            serial = "127.0.0.1:%d" % (port + index)
            self.run_program(adb_rig.ADB, *server, "connect", serial, env=env)
            theirs.append((env, [*server, "-s", serial], serial))
        return ours, theirs

    def adb(self, phone, *arguments):
        env, options, _ = phone
        status, out, err = self.run_program(adb_rig.ADB, *options, *arguments, env=env, seconds=300)
        if status != 0:
            raise RuntimeError("adb %s: %s %s" % (arguments, out, err))

    def at_once(self, phones, *arguments):
        """Seconds until every phone is done; {N} is the number of the phone."""
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(len(phones)) as pool:
            list(pool.map(lambda one: self.adb(one[1], *[word.replace("{N}", str(one[0]))
                                                         for word in arguments]),
                          enumerate(phones)))
        return time.monotonic() - started


def measure(count, mib):
    """what -> (ours, theirs), lists of one figure a round."""
    got = {"push": ([], []), "pull": ([], []), "shell": ([], [])}
    with Farm() as farm:
        path = farm.path("pushed")
        with open(path, "wb") as file:
            for _ in range(mib):
                file.write(os.urandom(1 << 20))
        both = farm.sides(count)
        for _ in range(ROUNDS):
            for which, phones in enumerate(both):
                seconds = farm.at_once(phones, "push", path, "/data/local/tmp/bench")
                got["push"][which].append(count * mib / seconds)
                seconds = farm.at_once(phones, "pull", "/data/local/tmp/bench",
                                       farm.path("pulled{N}"))
                got["pull"][which].append(count * mib / seconds)
            for which, phones in enumerate(both):
                started = time.monotonic()
                for _ in range(SHELLS if count == 1 else 2):
                    farm.at_once(phones, "shell", "true")
                turns = SHELLS if count == 1 else 2
                got["shell"][which].append(1000 * (time.monotonic() - started) / turns)
    return got


def measure_end():
    """ms from the end of a lease, by its expiry and by a cancel, until the last of its streams is
    dead. The hub says when a lease expires as a time that is left; asking took what it took."""
    got = {"expiry": [], "cancel": []}
    with Farm() as farm:
        farm.allow_workers(lease_seconds=2)
        farm.start_farm(1)
        for _ in range(ROUNDS):
            lease = farm.claim("SIM001")
            wires = [adb_rig.Wire(lease.socket).service("SIM001", "localabstract:echo")
                     for _ in range(STREAMS)]
            asked = time.monotonic()
            due = asked + lease.beat() / 1000
            got["expiry"].append(1000 * (adb_rig.until_dead(wires) - due))
            farm.wait_phones("SIM001")
            process, path = farm.lease("SIM001")
            wires = [adb_rig.Wire(path).service("SIM001", "localabstract:echo")
                     for _ in range(STREAMS)]
            started = time.monotonic()
            farm.client.post("/processes/%s/cancel" % process, {})
            got["cancel"].append(1000 * (adb_rig.until_dead(wires) - started))
            farm.wait_end(process)
    return got


def p12():
    rows = []
    for count, mib in ((1, MIB), (MANY, MANY_MIB)):
        got = measure(count, mib)
        where = "1 phone" if count == 1 else "%d phones at once" % count
        for name in ("push", "pull"):
            ours, theirs = (spread(values) for values in got[name])
            rows.append(row("P12", "adb %s of %d MiB through a lease, %s" % (name, mib, where), ours,
                            "MiB/s", theirs[0], ROUNDS, "adb 29's own server", theirs[0],
                            at_least=True))
        ours, theirs = (spread(values) for values in got["shell"])
        rows.append(row("P12", "adb shell true, the whole command, %s" % where, ours, "ms", None,
                        ROUNDS, "adb 29's own server", theirs[0]))
    for name, values in measure_end().items():
        rows.append(row("P12", "end of a lease by %s, until the last of %d streams is dead" % (
            name, STREAMS), spread(values), "ms", 100, ROUNDS))
    return rows
