"""planted_sim.py [--canary | --write | TEXT] - breaks the product in one place at a time and shows
after how many seeds, and by which rule, the farm simulator sees it.

Each bug of planted_sim.txt is an edit of one source file, in a copy; that file alone is built anew
and linked in front of what is built already. Verdicts are kept in build/planted-sim under a hash of
everything that was linked, so that a run that was interrupted goes on where it stopped.

  --canary  only the bugs whose title begins with `canary`, within a few seeds: a blind simulator
            must not pass
  --write   all, and the table into tests/sim/planted.md
"""

import concurrent.futures
import glob
import hashlib
import os
import re
import sys
import tempfile

from planted import plant, read_bugs, run

OUT = "build/gcc"
KEPT = "build/planted-sim"
TABLE = "tests/sim/planted.md"
SEEDS, CANARY_SEEDS, SECONDS = 2000, 100, 900
HEAD = f"""# Planted bugs
Each is one edit of the product, and must be seen within {SEEDS} seeds (`make planted-sim` makes this
table anew; `SIM_BUG=n` runs one). A seed is a farm of one to three hubs, on average 6.6 hub-hours.

| n | what is broken | where | seen in seed | by |
| --- | --- | --- | --- | --- |
"""


def objects():
    upstream = [f"{OUT}/host/upstreamd/fleet/{name}.o" for name in ("ledger", "assignment_judge")]
    return sorted(glob.glob(f"{OUT}/tests/sim/*.o")) + upstream


def digest(paths):
    whole = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            whole.update(file.read())
    return whole.hexdigest()[:24]


def live(program, seeds):
    """The seed in which a rule is broken, and which; None: in none of them."""
    code, log = run([program, "--seeds", str(seeds)], SECONDS)
    failure = re.search(r"^FAILED seed (\d+): (.*) \(after \d+ seeds\)$", log, re.M)
    if failure:
        return int(failure[1]), failure[2]
    if code == 124:
        return 0, f"a seed does not end in {SECONDS} s"
    return (0, "the simulator dies") if "FAILED" in log else (None, "nobody")


def judge(bug, seeds):
    with tempfile.TemporaryDirectory() as folder:
        broken, why = plant(bug, folder, "-O1")
        if broken is None:
            return None, why
        linked = [name for name in objects() if name != f"{OUT}/{bug[1][:-2]}.o"]
        kept = f"{KEPT}/{digest([broken, f'{OUT}/libhub.a'] + linked)}-{seeds}"
        if os.path.exists(kept):
            with open(kept, encoding="utf-8") as file:
                seed, why = file.read().split(" ", 1)
                return None if seed == "None" else int(seed), why
        program = os.path.join(folder, "sim")
        code, log = run(["gcc", "-o", program, broken] + linked + [f"{OUT}/libhub.a"], 60)
        if code != 0:
            return None, "cannot be linked: " + log
        seed, why = live(program, seeds)
        with open(kept, "w", encoding="utf-8") as file:
            file.write(f"{seed} {why}")
        return seed, why


def are_all_there(bugs):
    """Whether each bug's place still stands once in its file."""
    lost = [f"{n} {bug[0]}: {bug[1]}" for n, bug in bugs if not stands_once(bug)]
    for bug in lost:
        print(f"FAILED the place of planted bug {bug} has changed")
    return not lost


def stands_once(bug):
    with open(bug[1], encoding="utf-8") as source:
        return source.read().count(bug[2]) == 1


def choose(bugs, argument):
    if argument == "--canary":
        return [(n, bug) for n, bug in bugs if bug[0].startswith("canary")]
    if argument.isdigit():
        return [(n, bug) for n, bug in bugs if n == int(argument)]
    return [(n, bug) for n, bug in bugs if argument in ("", "--write") or argument in bug[0]]


def main():
    argument = sys.argv[1] if len(sys.argv) > 1 else ""
    bugs = list(enumerate(read_bugs("tests/checks/planted_sim.txt"), 1))
    if not are_all_there(bugs):
        print("0 passed, 1 failed")
        return 1
    bugs = choose(bugs, argument)
    seeds = CANARY_SEEDS if argument == "--canary" else SEEDS
    os.makedirs(KEPT, exist_ok=True)
    passed, rows = 0, []
    seed, by = (None, "") if argument.isdigit() else live("build/bin/sim", seeds)
    if seed is not None:
        print(f"FAILED without any bug: seed {seed}: {by}\n0 passed, 1 failed")
        return 1
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = pool.map(lambda bug: judge(bug[1], seeds), bugs)
        for (n, bug), (seed, by) in zip(bugs, verdicts):
            passed += seed is not None
            verdict = "MISSED" if seed is None else "caught"
            print(f"{verdict} {n:3} {bug[0]:55} seed {seed}: {by}", flush=True)
            by = re.sub(r"/tmp/\w+/", "", by)
            rows.append(f"| {n} | {bug[0]} | {bug[1]} | {seed} | {by} |\n")
    if argument == "--write":
        with open(TABLE, "w", encoding="utf-8") as table:
            table.write(HEAD + "".join(rows))
    print(f"note: {passed} of {len(bugs)} planted bugs seen within {seeds} seeds")
    print(f"{passed} passed, {len(bugs) - passed} failed")
    return passed != len(bugs) or not bugs


if __name__ == "__main__":
    sys.exit(main())
