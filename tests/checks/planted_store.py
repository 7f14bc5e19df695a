"""planted_store.py [TEXT|--write] - breaks the record store in one place at a time and shows who sees
it.

Each bug of planted_store.txt is an edit of one source file, in a copy; that file alone is built anew
and linked in front of what is built already. First the unit tests of the store run, then those of the
hub above it, each until one fails; what they let through, the campaign must see, which stops at its
first failure. One that does not end in time has seen nothing. Prints a line a bug; the last line
counts. --write: all of them, and the table into tests/campaign/planted.md.
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
import threading

from planted import plant, read_bugs, run

OUT = "build/gcc"
CUTS, SECONDS = "150000", "120"
TESTS, TESTS_SECONDS = ("firmware/store", "firmware/"), 300
TABLE = "tests/campaign/planted.md"
HEAD = """# Planted bugs of the record store
Each is one edit of the store, and must be seen by a unit test or by the campaign (`make planted-store
T=--write` makes this table anew; another text plants those whose title holds it).

| what is broken | where | seen by |
| --- | --- | --- |
"""
RIG = [f"{OUT}/tests/firmware/store_{name}.o" for name in
       ("cuts", "damage", "workloads", "rig", "rig_image")]
CAMPAIGN = [f"{OUT}/tests/campaign/store_campaign.o"] + RIG


def campaign(broken, folder):
    """What the campaign says, and after how many cases; None when it sees nothing."""
    program = os.path.join(folder, "store_campaign")
    code, log = run(["gcc", "-o", program, broken] + CAMPAIGN + [f"{OUT}/libhub.a"], 60)
    if code != 0:
        return "the campaign cannot be linked: " + log, 0
    code, log = run([program, "--jobs", "1", "--stop", "1", "--cuts", CUTS, "--seconds", SECONDS],
                    3 * int(SECONDS))
    failure = re.search(r"^FAILED  (.*)$", log, re.M)
    cases = re.search(r"^(\d+) cases", log, re.M)
    if failure:
        return failure[1], int(cases[1]) if cases else 0
    has_ended = code == 0 or "distinct power cuts" in log  # perhaps too early, on a busy machine
    return None if has_ended else (log.strip().splitlines() or ["died"])[-1], 0


def unit_tests(broken, folder, link):
    program = os.path.join(folder, "unit")
    code, log = run(link[:1] + [broken] + link[1:] + ["-o", program], 120)
    if code != 0:
        return "the unit tests cannot be linked: " + log
    for tests in TESTS:
        failure = first_failure([program, tests])
        if failure is not None:
            return failure
    return None


def first_failure(command):
    """The test that fails first: the ones behind it are not waited for."""
    patient = dict(os.environ, TEST_SECONDS="120")  # one that is slow has seen nothing
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace",
                          env=patient) as tests:
        timer = threading.Timer(TESTS_SECONDS, tests.kill)
        timer.start()
        try:
            for line in tests.stdout:
                if line.startswith("FAILED  "):
                    return line[len("FAILED  "):].strip()
        finally:
            timer.cancel()
            tests.kill()
    return None


def nothing_is_seen_without_a_bug():
    """What the campaign and the tests say of the tree as it is would be no sign of a bug."""
    code, log = run([f"{OUT}/bin/store_campaign", "--stop", "1", "--cuts", CUTS], 600)
    failures = re.findall(r"^FAILED  (.*)$", log, re.M)
    if code == 0:
        code, log = run(["build/bin/unit", TESTS[-1]], 600)
        failures = re.findall(r"^FAILED  (.*)$", log, re.M)
    for failure in failures:
        print(f"FAILED  without any bug: {failure}")
    return code == 0


def judge(bug, link):
    with tempfile.TemporaryDirectory() as folder:
        broken, why = plant(bug, folder)
        if broken is None:
            return False, why
        seen = unit_tests(broken, folder, link)
        if seen is not None:
            return "cannot be linked" not in seen, seen
        seen, cases = campaign(broken, folder)
        is_seen = seen is not None and not re.match("not finished|the campaign cannot", seen)
        return is_seen, f"{seen} (after {cases} cases)" if seen else "nobody"


def link_of_unit():
    """How make links the unit tests, without the output's name."""
    for line in subprocess.run(["make", "-n", "-W", "tests/main.c", "build/bin/unit"], text=True,
                               stdout=subprocess.PIPE, check=True).stdout.splitlines():
        if " -o build/bin/unit" in line:
            return line.replace("-o build/bin/unit", "").split()
    raise SystemExit("make does not say how it links build/bin/unit")


def main():
    writes = sys.argv[1:] == ["--write"]
    only = sys.argv[1] if len(sys.argv) > 1 and not writes else ""
    bugs = [bug for bug in read_bugs("tests/checks/planted_store.txt") if only in bug[0]]
    link = link_of_unit()
    if not nothing_is_seen_without_a_bug():
        print("0 passed, 1 failed")
        return 1
    passed, rows = 0, []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for bug, (is_seen, by) in zip(bugs, pool.map(lambda bug: judge(bug, link), bugs)):
            passed += is_seen
            print(f"{'caught' if is_seen else 'MISSED'}  {bug[0]:50} by {by}", flush=True)
            rows.append(f"| {bug[0]} | {bug[1]} | {by} |\n")
    if writes:
        with open(TABLE, "w", encoding="utf-8") as table:
            table.write(HEAD + "".join(rows))
    print(f"{passed} passed, {len(bugs) - passed} failed")
    return passed != len(bugs)


if __name__ == "__main__":
    sys.exit(main())
