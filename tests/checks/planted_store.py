"""planted_store.py [TEXT] - breaks the record store in one place at a time and shows who sees it.

Each bug of planted_store.txt is an edit of one source file, in a copy; that file alone is built anew
and linked in front of what is built already. First the campaign runs and stops at its first failure;
what it lets through, the unit tests of the store must see. Prints a table; the last line counts.
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile

OUT = "build/gcc"
CUTS, SECONDS = "150000", "60"
RIG = [f"{OUT}/tests/firmware/store_{name}.o" for name in ("cuts", "damage", "workloads", "rig")]
CAMPAIGN = [f"{OUT}/tests/campaign/store_campaign.o"] + RIG


def read_bugs(path):
    """Paragraphs: a title and a file, `-` lines that stand in it, `+` lines that replace them."""
    bugs = []
    with open(path, encoding="utf-8") as text:
        for paragraph in text.read().split("\n\n"):
            lines = [line for line in paragraph.splitlines() if line and line[0] != "#"]
            if lines:
                title, file = lines[0].rsplit(" | ", 1)
                old = "".join(line[1:] + "\n" for line in lines if line[0] == "-")
                new = "".join(line[1:] + "\n" for line in lines if line[0] == "+")
                bugs.append((title, file, old, new))
    return bugs


def run(command, seconds):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=seconds, check=False)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired:
        return 124, f"not finished after {seconds} s\n"


def plant(bug, folder):
    """The object of the broken file; None, and why, when that cannot be made."""
    title, file, old, new = bug
    with open(file, encoding="utf-8") as source:
        text = source.read()
    if text.count(old) != 1:
        return None, f"the place was found {text.count(old)} times in {file}"
    copy = os.path.join(folder, file)
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    with open(copy, "w", encoding="utf-8") as target:
        target.write(text.replace(old, new))
    code, log = run(["gcc", "-std=c11", "-O2", "-g", "-D_GNU_SOURCE", "-I.", "-c", copy, "-o",
                     copy[:-2] + ".o"], 60)
    return (copy[:-2] + ".o", "") if code == 0 else (None, log)


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
    code, log = run([program, "firmware/store"], 300)
    failure = re.search(r"^FAILED  (.*)$", log, re.M)
    return failure[1] if code != 0 and failure else None


def nothing_is_seen_without_a_bug():
    """What the campaign and the tests say of the tree as it is would be no sign of a bug."""
    code, log = run([f"{OUT}/bin/store_campaign", "--stop", "1", "--cuts", CUTS], 600)
    failures = re.findall(r"^FAILED  (.*)$", log, re.M)
    if code == 0:
        code, log = run(["build/bin/unit", "firmware/store"], 300)
        failures = re.findall(r"^FAILED  (.*)$", log, re.M)
    for failure in failures:
        print(f"FAILED  without any bug: {failure}")
    return code == 0


def judge(bug, link):
    with tempfile.TemporaryDirectory() as folder:
        broken, why = plant(bug, folder)
        if broken is None:
            return False, why
        seen, cases = campaign(broken, folder)
        if seen is not None:
            return "cannot be linked" not in seen, f"{seen} (after {cases} cases)"
        seen = unit_tests(broken, folder, link)
        return seen is not None, seen or "nobody"


def link_of_unit():
    """How make links the unit tests, without the output's name."""
    for line in subprocess.run(["make", "-n", "-W", "tests/main.c", "build/bin/unit"], text=True,
                               stdout=subprocess.PIPE, check=True).stdout.splitlines():
        if " -o build/bin/unit" in line:
            return line.replace("-o build/bin/unit", "").split()
    raise SystemExit("make does not say how it links build/bin/unit")


def main():
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    bugs = [bug for bug in read_bugs("tests/checks/planted_store.txt") if only in bug[0]]
    link = link_of_unit()
    if not nothing_is_seen_without_a_bug():
        print("0 passed, 1 failed")
        return 1
    passed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for bug, (is_seen, by) in zip(bugs, pool.map(lambda bug: judge(bug, link), bugs)):
            passed += is_seen
            print(f"{'caught' if is_seen else 'MISSED'}  {bug[0]:50} by {by}", flush=True)
    print(f"{passed} passed, {len(bugs) - passed} failed")
    return passed != len(bugs)


if __name__ == "__main__":
    sys.exit(main())
