"""make bench: runs the rows that exist, prints a table, writes build/bench.json.

Each figure is the median of several runs; a peer that Debian ships runs beside ours where the row
has one. `met` compares with the goal, whatever it is.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile

import adb
import fleet
import speed
import usb
from rows import RUNS, row, run, several

UPDATES = 50000


def p7():
    rows = []
    shapes = [  # block, blocks, program unit, frame, group; goals: amplification, erases, pages
        ("append, 4 KiB blocks, 1 a sync", (4096, 256, 1, 2048, 1), 1.25, 34, None),
        ("append, 4 KiB blocks, 16 a sync", (4096, 256, 1, 2048, 16), 1.12, 34, None),
        ("append, 64 KiB blocks, 1 a sync", (65536, 16, 1, 32768, 1), 1.25, 2.2, None),
        ("append, 64 KiB blocks, 16 a sync", (65536, 16, 1, 32768, 16), 1.12, 2.2, None),
        ("page a commit, 4 KiB blocks", (4096, 256, 256, 2048, 1), None, 85, 1.25),
        ("page a commit, 64 KiB blocks", (65536, 16, 256, 32768, 1), None, 5, 1.25),
    ]
    for what, shape, amplification, erases, pages in shapes:
        got = several(RUNS, lambda number, s=shape: run("store_bench", "wear", *s, UPDATES,
                                                        number + 1))
        if amplification:
            with tempfile.TemporaryDirectory() as scratch:
                peer = run("sqlite_bench", "write", shape[4], UPDATES // 10, cwd=scratch)
            rows.append(row("P7", "bytes programmed per logical byte; " + what,
                            got["amplification"], "ratio", amplification, RUNS, "SQLite WAL",
                            peer.get("amplification")))
        if pages:
            rows.append(row("P7", "pages per update; " + what, got["pages"], "pages", pages, RUNS))
        rows.append(row("P7", "erases per 1,000 updates; " + what, got["erases"], "erases",
                        erases, RUNS))
        rows.append(row("P7", "wear, max by mean; " + what, got["wear"], "ratio", 1.10, RUNS))
    return rows


def p8():
    got = several(RUNS, lambda number: run("store_bench", "mount", 4096, 256, 1, 2048, 1,
                                           number + 1))
    with tempfile.TemporaryDirectory() as scratch:
        peer = run("sqlite_bench", "recover", UPDATES // 10, cwd=scratch)
    row_of_time = row("P8", "mount, CPU time per MiB in use", got["ms_per_mib"], "ms/MiB", 2, RUNS)
    row_of_time["peer"] = "SQLite WAL recovery, whole, ms"
    row_of_time["peer_value"] = round(peer["milliseconds"], 4) if "milliseconds" in peer else None
    return [row_of_time]


def size(paths, column):
    text = subprocess.run(["arm-none-eabi-size", *paths], check=True,
                          stdout=subprocess.PIPE).stdout.decode()
    return sum(int(line.split()[column]) for line in text.splitlines()[1:])


def p9():
    folder = "build/arm/firmware"
    store = [os.path.join(folder, name) for name in sorted(os.listdir(folder))
             if name.startswith("store") and name.endswith(".o")]
    text = size(store, 0)
    ram = size(["build/arm/tests/bench/ram.o"], 2)
    return [row("P9", "store code on Cortex-M4 (CRC-32C and SHA-256 not counted)",
                (text, text, text), "bytes", 6 * 1024, 1, "littlefs, measured before", 15172),
            row("P9", "RAM for 4,096 objects and 256 blocks", (ram, ram, ram), "bytes", 84 * 1024,
                1)]


ROWS = {**speed.ROWS, **fleet.ROWS, "P7": p7, "P8": p8, "P9": p9, "P12": lambda: usb.p12() + adb.p12()}


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped
    wanted = sys.argv[1:] or sorted(ROWS)
    unknown = [name for name in wanted if name not in ROWS]
    if unknown:
        sys.exit("bench: there is no row %s; there are %s" % (unknown[0], ", ".join(sorted(ROWS))))
    rows = [one for name in wanted for one in ROWS[name]()]
    print("%-4s %-66s %10s %-8s %-10s %-4s %10s %10s  %s" % (
        "row", "what", "ours", "unit", "goal", "met", "min", "max", "peer"))
    for one in rows:
        peer = "" if one["peer_value"] is None else "%s: %.5g" % (one["peer"], one["peer_value"])
        print("%-4s %-66s %10.5g %-8s %-10s %-4s %10.5g %10.5g  %s" % (
            one["row"], one["what"], one["ours"], one["unit"], one["goal"],
            "yes" if one["met"] else "no", one["min"], one["max"], peer))
    with open("build/bench.json", "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
