"""Rows P1 to P6: hubd beside Redis, beanstalkd, PostgreSQL and SQLite, all started here on loopback
with scratch directories on one disk, driven by the same clients, in rounds that alternate; and what
the disk itself can do, measured in the same rounds."""

import os
import re
import statistics
import subprocess
import tempfile
import time

from rows import RUNS, row, run, spread
from servers import PEERS, Bench, FilledBeanstalkd, Hubd, Upstreamd

CLIENTS = 32
STEPS = 4            # durable answers of one job
PHONES = 40          # one lease each: more than there are clients
ITEMS = 100000
SECONDS_MANY = "1.2s"
SECONDS_ONE = "0.6s"
SLICES = 6           # of what is compared with the machine's own limits
IDLE_SECONDS = 60
GROUP_BYTES = 4096   # 32 records of 128 bytes


def first_numbers():
    """Job numbers that were never used, a million at a time."""
    number = 0
    while True:
        yield number
        number += 1000000


# ---- P1, P2 ----

def of_the_limit(bench, hub, numbers):
    """hubd's jobs/s by what disk and server allow, with one client and with many: medians of short
    slices. What a ratio is made of is measured within a second, so that a busy machine, or a disk
    that changes its mind, is the same for all of it."""
    ones, manys, limits = [], [], []
    for _ in range(SLICES):
        disk = run("load_bench", "disk", bench.folder + "/disk", GROUP_BYTES, 0.1)
        empty = run("load_bench", "empty", "http", hub.port, 1, "0.1s", 0)
        one = run("load_bench", "jobs", "http", hub.port, 1, "0.25s", next(numbers))
        many = run("load_bench", "jobs", "http", hub.port, CLIENTS, "0.25s", next(numbers))
        again = run("load_bench", "disk", bench.folder + "/disk", GROUP_BYTES, 0.1)
        sync_us = (disk["mean_us"] + again["mean_us"]) / 2
        groups = (disk["syncs_per_second"] + again["syncs_per_second"]) / 2
        limits.append(1e6 / (STEPS * (sync_us + 1e6 / empty["per_second"])))
        ones.append(one["per_second"] / limits[-1])
        manys.append(STEPS * many["per_second"] / (32 * groups))
    return {"of_limit": statistics.median(ones), "limit": statistics.median(limits),
            "of_disk": statistics.median(manys)}


def measure_round(bench, servers, numbers):
    """name -> value, of one round: the disk, then each server with many clients and with one."""
    disk = run("load_bench", "disk", bench.folder + "/disk", GROUP_BYTES, 0.4)
    got = {"sync_us": disk["p50_us"], "group_records": 32 * disk["syncs_per_second"]}
    for server in servers:
        for clients, amount in ((CLIENTS, SECONDS_MANY), (1, SECONDS_ONE)):
            answer = run("load_bench", "jobs", server.protocol, server.port, clients, amount,
                         next(numbers))
            got[server.name, clients] = answer["per_second"]
            got[server.name, clients, "p99"] = answer["p99_us"]
    hub = servers[[server.name for server in servers].index("hubd")]
    got.update(of_the_limit(bench, hub, numbers))
    many = run("load_bench", "empty", "http", hub.port, CLIENTS, "0.3s", 0)
    got["empty_many"] = many["per_second"]
    sqlite = run("sqlite_bench", "jobs", CLIENTS, 0.7, cwd=bench.folder)
    got["sqlite"] = sqlite["per_second"]
    return got


_speed = []


def speed_rounds():
    """The rounds of P1 and P2, measured once for both."""
    if not _speed:
        with Bench() as bench:
            hub = bench.add(Hubd, board="large", size="1GiB", phone_count=PHONES).start()
            hub.wait_for_phones(PHONES)
            servers = [hub] + [bench.add(kind).start() for kind in PEERS]
            numbers = first_numbers()
            for number in range(RUNS):
                turn = number % len(servers)
                _speed.append(measure_round(bench, servers[turn:] + servers[:turn], numbers))
    return _speed


def regime(rounds):
    """(what it says, the factor over Redis that is asked for)"""
    sync_us = spread(one["sync_us"] for one in rounds)[0]
    name = "fast" if sync_us <= 200 else "slow" if sync_us >= 1000 else "between"
    return "%s disk (%.0f us)" % (name, sync_us), 2.5 if name == "fast" else 1.0


def p1():
    rounds = speed_rounds()
    disk, factor = regime(rounds)
    ours = spread(one["hubd", CLIENTS] for one in rounds)
    rows = []
    for kind in PEERS:
        peer = spread(one[kind.name, CLIENTS] for one in rounds)[0]
        ratio = spread(one["hubd", CLIENTS] / one[kind.name, CLIENTS] for one in rounds)
        rows.append(row("P1", "jobs beside %s; %s" % (kind.what, disk), ours,
                        "/s", factor * peer if kind.name == "redis" else None, RUNS, kind.what,
                        peer, at_least=True))
        rows[-1]["ratio"] = round(ratio[0], 4)
    peer = spread(one["sqlite"] for one in rounds)[0]
    rows.append(row("P1", "jobs/s beside SQLite, in process, group of 32", ours, "/s", None, RUNS,
                    "SQLite, in process", peer))
    of_disk = spread(one["of_disk"] for one in rounds)
    records = spread(one["group_records"] for one in rounds)[0]
    rows.append(row("P1", "durable answers by records/s of the disk's group of 32", of_disk,
                    "ratio", 0.19, RUNS, "the disk's records/s", records, at_least=True))
    of_http = spread(STEPS * one["hubd", CLIENTS] / one["empty_many"] for one in rounds)
    empty = spread(one["empty_many"] for one in rounds)[0]
    rows.append(row("P1", "durable answers by empty keep-alive requests, 32 clients", of_http,
                    "ratio", None, RUNS, "empty requests/s", empty))
    return rows


def p2():
    rounds = speed_rounds()
    ours = spread(one["hubd", 1] for one in rounds)
    limit = [one["limit"] for one in rounds]
    of_limit = spread(one["of_limit"] for one in rounds)
    rows = [row("P2", "1 client: of 1 / (%d x (fdatasync + empty request))" % STEPS, of_limit,
                "ratio", 0.9, RUNS, "that limit, /s", spread(limit)[0], at_least=True)]
    for kind in PEERS:
        peer = spread(one[kind.name, 1] for one in rounds)[0]
        rows.append(row("P2", "jobs, 1 client, beside %s" % kind.what, ours, "/s", None,
                        RUNS, kind.what, peer))
    return rows


# ---- P3, P4: a full hub ----

def restart(server):
    server.kill()
    got = run("load_bench", "restart", server.protocol, server.port, "claim", *server.command(),
              cwd=server.folder)
    server.adopt(int(got["pid"]))
    return got["milliseconds"]


_full = []


def full_hub():
    """([ours, ms], [peer, ms], RSS in MiB of hubd, of beanstalkd), all with ITEMS waiting."""
    if not _full:
        with Bench() as bench:
            hub = bench.add(Hubd, board="large", size="1GiB", phone_count=RUNS + 1).start()
            peer = bench.add(FilledBeanstalkd).start()
            for server in (hub, peer):
                run("load_bench", "enqueue", server.protocol, server.port, CLIENTS, ITEMS, 0)
            memory = [server.status("VmRSS") / 1024 for server in (hub, peer)]
            times = [[], []]
            for _ in range(RUNS):
                times[0].append(restart(hub))
                times[1].append(restart(peer))
            _full.extend((*times, *memory))
    return _full


def p3():
    ours, theirs, _, _ = full_hub()
    what = "%d items waiting, kill -9: until the first claim is served" % ITEMS
    peer = spread(theirs)[0]
    return [row("P3", what, spread(ours), "ms", 100, RUNS, FilledBeanstalkd.what, peer),
            row("P3", "the same, by beanstalkd's time in the same round",
                spread(a / b for a, b in zip(ours, theirs)), "ratio", 0.5, RUNS)]


def idle_hub(measure):
    """`measure` gets a hub of board linux whose link to an upstream is up and quiet."""
    with Bench() as bench:
        upstream = bench.add(Upstreamd).start()
        hub = bench.add(Hubd, more=upstream.link("bench-hub")).start()
        upstream.wait_for_hub("bench-hub")
        return measure(hub)


def p4():
    _, _, full, peer = full_hub()

    def settled(hub):
        time.sleep(3)
        return hub.status("VmRSS") / 1024
    idle = idle_hub(settled)
    return [row("P4", "RSS idle, board linux, TLS link up", (idle, idle, idle), "MiB", 6, 1),
            row("P4", "RSS with %d items waiting, board large" % ITEMS, (full, full, full), "MiB",
                64, 1, FilledBeanstalkd.what, peer)]


def p5():
    def watch(hub):
        time.sleep(3)
        start = time.monotonic()
        before = hub.usage()
        time.sleep(IDLE_SECONDS)
        after = hub.usage()
        return [a - b for a, b in zip(after, before)], time.monotonic() - start
    (nanoseconds, switches), seconds = idle_hub(watch)
    percent = nanoseconds / 1e7 / seconds
    minute = switches * 60 / seconds
    return [row("P5", "idle CPU over %d s, board linux, TLS link up" % seconds,
                (percent, percent, percent), "%", 0.005, 1),
            row("P5", "the same: wake-ups a minute", (minute, minute, minute), "/min", None, 1)]


# ---- P6 ----

def instructions(items, jobs=3200):
    """Instructions a transition: applied and encoded; sealed and programmed."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", "--collect-atstart=no",
                   "--toggle-collect=bench_apply", "--toggle-collect=bench_commit",
                   "--callgrind-out-file=%s/out" % folder,
                   os.path.abspath("build/gcc/bin/hub_bench"), str(items), "32", str(jobs)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True,
                              timeout=600)
        values = dict(line.split() for line in done.stdout.decode().splitlines())
        with open(folder + "/out", encoding="ascii") as file:
            parts = sums(file.read())
    return {name: parts[name] / float(values["transitions"]) for name in parts}


def sums(text):
    """Inclusive instructions of the two functions, from what callgrind wrote: their own lines, and
    the calls that they make."""
    names = {}
    totals = {"bench_apply": 0, "bench_commit": 0}
    current = None
    for line in text.splitlines():
        found = re.match(r"c?fn=\((\d+)\)(?: (\S+))?", line)
        if found:
            if found.group(2):
                names[found.group(1)] = re.sub(r"'\d+$", "", found.group(2))
            if line.startswith("fn="):
                current = names[found.group(1)]
        elif re.match(r"[+*\-\d]", line) and current in totals:
            totals[current] += int(line.split()[-1])
    return totals


def p6():
    few, many = instructions(1000), instructions(ITEMS)
    rows = []
    for name, what, goal in (("bench_apply", "applied and encoded", 2500),
                             ("bench_commit", "sealed and programmed", None)):
        rows.append(row("P6", "instructions a transition, %s, %d items" % (what, ITEMS),
                        (many[name],) * 3, "Ir", goal, 1))
    growth = many["bench_apply"] / few["bench_apply"]
    rows.append(row("P6", "growth from 1,000 to 100,000 items", (growth,) * 3, "ratio", 1.2, 1))
    return rows


ROWS = {"P1": p1, "P2": p2, "P3": p3, "P4": p4, "P5": p5, "P6": p6}
