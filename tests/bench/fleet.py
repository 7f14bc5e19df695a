"""Rows P10 and P11: upstreamd under a fleet of simulated hubs (fleet_bench.c), over mutual TLS on
loopback, with SQLite and with PostgreSQL.

HUBS=1000 in the environment measures a smaller fleet; the goals are those of ten thousand."""

import os
import subprocess
import sys

from rows import OUT, row, spread
from servers import Bench, Upstreamd
import postgres_rig  # servers.py knows the way to it

HUBS = [int(one) for one in os.environ.get("HUBS", "100,1000,10000").split(",")]
WINDOW = 64            # handshakes at once
PUSHERS = 64           # hubs that push at once
PUSH_BYTES = 262144    # of one push, at most: as a real hub's
SECONDS = 5            # of a measurement of transitions
PUSH_RUNS = 3
EVERYTHING = 1 << 20  # groups a push: as many as fit
PINGS = 1000
JOBS = 60000           # that each hub has to tell
BATCH = 32
IDLE_SECONDS = 25      # longer than a poll is held
FULL_SECONDS = 0.1     # a full handshake, at most, on a machine that does other work too


class Hubs:
    """fleet_bench, and what it answers."""

    def __init__(self, upstream, count, jobs=BATCH, batch=BATCH):
        certs = upstream.folder + "/certs/"
        self.process = subprocess.Popen(
            [os.path.abspath(os.path.join(OUT, "fleet_bench")),
             "127.0.0.1:%d" % upstream.sync_port, certs + "ca.crt", certs + "ca.key",
             certs + "hubs.key", str(count), str(jobs), str(batch)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = {}
        for line in self.process.stdout:
            if line == "end\n":
                return answer
            name, value = line.split()
            answer[name] = float(value)
        raise RuntimeError("fleet_bench ended with %s" % self.process.wait(10))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.terminate()
        self.process.wait(60)


class Postgres:
    """A server of its own for upstreamd, durable."""

    def __enter__(self):
        self.server = postgres_rig.Postgres("synchronous_commit=on").start()
        return self.server.place

    def __exit__(self, *_):
        self.server.remove()


# ---- P10 ----

def one_hub(jobs, batch, measure):
    """`measure` gets a hub that is connected to an upstreamd of its own."""
    with Bench() as bench:
        upstream = bench.add(Upstreamd).start()
        with Hubs(upstream, 1, jobs, batch) as hub:
            hub.ask("connect", 1, 30)
            return measure(hub)


def p10():
    rows = []
    for batch, goal in ((BATCH, 110), (1, None)):
        got = one_hub(4096, batch, lambda hub: hub.ask("push", 1, EVERYTHING, PUSH_BYTES, 1))
        each = got["wire_bytes"] / got["transitions"]
        rows.append(row("P10", "TCP's payload per transition, both ways; groups of %d job%s" % (
            batch, "s"[:batch - 1]), (each,) * 3, "B", goal, 1))
    times = one_hub(PUSH_RUNS * PINGS, 1,
                    lambda hub: [hub.ask("ping", PINGS) for _ in range(PUSH_RUNS)])
    for name, goal in (("p99_ms", 25), ("p50_ms", None)):
        rows.append(row("P10", "a group behind the poll, pushed until stored; SQLite, %s of %d" % (
            name[:3], PINGS), spread(one[name] for one in times), "ms", goal, PUSH_RUNS))
    return rows


# ---- P11: transitions ----

def transitions(place=None):
    """(transitions/s, upstreamd's CPU microseconds a transition) of each run."""
    with Bench() as bench:
        upstream = bench.add(Upstreamd, place).start()
        with Hubs(upstream, PUSHERS, JOBS, BATCH) as hubs:
            hubs.ask("connect", WINDOW, 60)
            got = []
            hubs.ask("push", PUSHERS, EVERYTHING, PUSH_BYTES, 1)
            hubs.ask("hold", 1)
            for _ in range(PUSH_RUNS):
                before = upstream.usage()[0]
                one = hubs.ask("push", PUSHERS, EVERYTHING, PUSH_BYTES, SECONDS)
                cpu = (upstream.usage()[0] - before) / 1e3
                got.append((one["transitions"] / one["seconds"], cpu / one["transitions"]))
            return got


def stored():
    rows = []
    with Postgres() as place:
        for name, goal, where in (("SQLite", 50000, None), ("PostgreSQL", 20000, place)):
            got = transitions(where)
            rows.append(row("P11", "transitions stored, %s, %d hubs" % (name, PUSHERS),
                            spread(one[0] for one in got), "/s", goal, PUSH_RUNS, at_least=True))
            rows.append(row("P11", "the same: upstreamd's CPU time a transition",
                            spread(one[1] for one in got), "us", None, PUSH_RUNS))
    return rows


# ---- P11: hubs ----

def connected(count):
    """name -> value, of one upstreamd with so many hubs."""
    limit = count * FULL_SECONDS + 60
    with Bench() as bench:
        upstream = bench.add(Upstreamd).start()
        empty = upstream.status("VmRSS")
        with Hubs(upstream, count) as hubs:
            full = hubs.ask("connect", WINDOW, limit)
            first = upstream.status("VmRSS")
            upstream.kill()
            hubs.ask("lost", 60)
            upstream.start()
            back = hubs.ask("connect", WINDOW, limit)
            # Once more, so that the memory of earlier connections is in use again.
            hubs.ask("leave")
            hubs.ask("connect", WINDOW, limit)
            hubs.ask("hold", IDLE_SECONDS)
            before = upstream.usage()[0]
            idle = hubs.ask("hold", IDLE_SECONDS)
            cpu = upstream.usage()[0] - before
            if idle["lost"] or idle["online"] != count:
                raise RuntimeError("%d hubs were lost while idle" % idle["lost"])
            memory = upstream.status("VmRSS")
            return {"full": full["full"] / full["seconds"],
                    "back": count / back["seconds"],
                    "resumed": back["resumed"] / (back["resumed"] + back["full"]),
                    "memory": max(first, memory) / 1024,
                    "each": (max(first, memory) - empty) / count,
                    "idle": cpu / 1e7 / idle["seconds"],
                    "polls": idle["polls"] / idle["seconds"]}


def hubs():
    rows = []
    for count in HUBS:
        print("bench: P11: %d hubs" % count, file=sys.stderr, flush=True)
        got = connected(count)
        is_whole = count >= 10000
        for name, what, unit, goal, at_least in (
                ("memory", "RSS of upstreamd", "MiB", 512 if is_whole else None, False),
                ("each", "the same, per hub, without what an idle upstreamd has", "KiB", None,
                 False),
                ("back", "hubs back after kill -9, by their tickets", "/s",
                 1000 if is_whole else None, True),
                ("resumed", "of them by short handshakes", "ratio", 0.99, True),
                ("full", "hubs connected by full handshakes", "/s", None, False),
                ("idle", "CPU of upstreamd while all poll", "%", None, False)):
            rows.append(row("P11", "%d hubs: %s" % (count, what), (got[name],) * 3, unit, goal, 1,
                            at_least=at_least))
    return rows


ROWS = {"P10": p10, "P11": lambda: stored() + hubs()}
