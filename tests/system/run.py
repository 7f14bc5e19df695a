#!/usr/bin/env python3
"""Runs the system tests (tests/system/*_test.py); arguments keep those whose name contains one.

Most tests wait for programs more than they compute, so several files run at once (HUB_JOBS=n; 1
runs all of them here): each in a process of its own, whose lines appear when it has ended.

Every test has a time limit, stretched as rig.SLOW says: `limit_seconds` of its method or class, 120
otherwise. A test that does not end is one failure. The last line counts: `N passed, N failed`.
"""
import faulthandler
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import unittest

import rig

DEFAULT_LIMIT_SECONDS = 120
REPEAT_SECONDS = 15
GRACE_SECONDS = 60  # for tearDown after the limit; then the whole run is given up


class OutOfTime(Exception):
    """Raised again every few seconds, so that a test that swallows exceptions ends as well."""


def out_of_time(_signal, _frame):
    raise OutOfTime()


def start_clock(limit):
    limit *= rig.SLOW
    signal.setitimer(signal.ITIMER_REAL, limit, REPEAT_SECONDS)
    faulthandler.dump_traceback_later(limit + GRACE_SECONDS, exit=True)


def name_of(test):
    module, _, rest = test.id().partition("_test.")
    return f"system/{module}.{rest}"


def limit_of(test):
    method = getattr(test, getattr(test, "_testMethodName", ""), None)
    fallback = getattr(test, "limit_seconds", DEFAULT_LIMIT_SECONDS)
    return getattr(method, "limit_seconds", fallback)


class Lines(unittest.TestResult):
    """Prints one line for each test and counts."""

    def __init__(self):
        super().__init__()
        self.passed = self.failed = self.skips = 0
        self.bad = False

    def startTest(self, test):
        super().startTest(test)
        self.bad = False
        start_clock(limit_of(test))

    def stopTest(self, test):
        self.bad = False
        start_clock(DEFAULT_LIMIT_SECONDS)  # for what a class or module sets up or tears down
        super().stopTest(test)

    def fail(self, test, error):
        if not self.bad:
            self.failed += 1
            print(f"FAILED  {name_of(test)}", flush=True)
        self.bad = True
        if isinstance(error[1], OutOfTime):
            print(f"    not finished after {limit_of(test) * rig.SLOW:.0f} s")
        for line in "".join(traceback.format_exception(*error)).splitlines():
            print("    " + line, flush=True)

    def addError(self, test, err):
        self.fail(test, err)

    def addFailure(self, test, err):
        self.fail(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            print(f"    in {subtest.id()}")
            self.fail(test, err)

    def addUnexpectedSuccess(self, test):
        self.failed += 1
        print(f"FAILED  {name_of(test)}: expected to fail, and passed", flush=True)

    def addSkip(self, test, reason):
        if not reason:
            self.failed += 1
            print(f"FAILED  {name_of(test)}: skipped without a reason", flush=True)
            return
        self.skips += 1
        print(f"skipped {name_of(test)} cannot run here: {reason}", flush=True)

    def addSuccess(self, test):
        if not self.bad:
            self.passed += 1
            print(f"ok      {name_of(test)}", flush=True)


def each(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each(test)
        else:
            yield test


def find_tests(words):
    folder = os.path.dirname(os.path.abspath(__file__))
    os.chdir(os.path.dirname(os.path.dirname(folder)))
    sys.path.insert(0, folder)
    found = unittest.defaultTestLoader.discover(folder, pattern="*_test.py")
    return [t for t in each(found) if not words or any(word in name_of(t) for word in words)]


def totals(passed, failed, skips):
    if skips:
        print(f"{skips} skipped")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def run_here(tests):
    signal.signal(signal.SIGALRM, out_of_time)
    result = Lines()
    start_clock(DEFAULT_LIMIT_SECONDS)
    unittest.TestSuite(tests).run(result)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return totals(result.passed, result.failed, result.skips)


class Job:
    """One test file in a process of its own."""

    def __init__(self, name, words, place, places):
        self.name, self.place = name, place
        self.output = tempfile.TemporaryFile("w+")
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), *words], stdout=self.output,
            stderr=subprocess.STDOUT, env={**os.environ, "HUB_JOBS": "1", "HUB_FILE": name,
                                           "HUB_PORTS": self.ports(places)})

    def ports(self, places):
        width = (32768 - 10000) // places
        return f"{10000 + width * self.place}-{10000 + width * (self.place + 1)}"

    def end(self):
        """Shows what it printed, but its totals; returns them."""
        self.output.seek(0)
        lines = self.output.read().splitlines()
        counts = [0, 0, 0]
        patterns = (r"(\d+) passed, \d+ failed", r"\d+ passed, (\d+) failed", r"(\d+) skipped")
        for line in lines[-2:]:
            for i, pattern in enumerate(patterns):
                match = re.fullmatch(pattern, line)
                counts[i] += int(match[1]) if match else 0
        shown = [x for x in lines if not re.fullmatch(r"\d+ passed, \d+ failed|\d+ skipped", x)]
        if shown:
            print("\n".join(shown))
        if self.process.returncode != 0 and counts[1] == 0:
            counts[1] = 1
            print(f"FAILED  system/{self.name}: died (status {self.process.returncode})")
        print(f"        {self.name}: {time.monotonic() - self.started:.0f} s", flush=True)
        return counts


def run_apart(tests, words, jobs):
    """The files that may take longest, by the limits of their tests, are begun first."""
    sizes = {}
    for test in tests:
        name = test.id().partition("_test.")[0]
        sizes[name] = sizes.get(name, 0) + limit_of(test)
    waiting = sorted(sizes, key=sizes.get)
    running, sums = [], [0, 0, 0]
    while waiting or running:
        while waiting and len(running) < jobs:
            place = min(set(range(jobs)) - {job.place for job in running})
            running.append(Job(waiting.pop(), words, place, jobs))
        ended = [job for job in running if job.process.poll() is not None]
        running = [job for job in running if job not in ended]
        for job in ended:
            sums = [a + b for a, b in zip(sums, job.end())]
        time.sleep(0.05)
    return totals(*sums)


def main():
    # Whoever starts this in the background has SIGINT ignored, or SIGHUP, and so would every program
    # here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    words = sys.argv[1:]
    only = os.environ.get("HUB_FILE")
    tests = find_tests(words)
    if only:
        tests = [t for t in tests if t.id().partition("_test.")[0] == only]
    jobs = int(os.environ.get("HUB_JOBS", 2 * (os.cpu_count() or 1)))
    return run_here(tests) if only or jobs == 1 else run_apart(tests, words, jobs)


if __name__ == "__main__":
    sys.exit(main())
