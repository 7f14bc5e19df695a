#!/usr/bin/env python3
"""Runs the system tests (tests/system/*_test.py); arguments keep those whose name contains one.

Every test has a time limit: `limit_seconds` of its method or class, 120 otherwise. A test that
does not end is one failure. The last line counts: `N passed, N failed`.
"""
import faulthandler
import os
import signal
import sys
import traceback
import unittest

DEFAULT_LIMIT_SECONDS = 120
REPEAT_SECONDS = 15
GRACE_SECONDS = 60  # for tearDown after the limit; then the whole run is given up


class OutOfTime(Exception):
    """Raised again every few seconds, so that a test that swallows exceptions ends as well."""


def out_of_time(_signal, _frame):
    raise OutOfTime()


def start_clock(limit):
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
            print(f"    not finished after {limit_of(test)} s")
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


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    os.chdir(os.path.dirname(os.path.dirname(folder)))
    sys.path.insert(0, folder)
    signal.signal(signal.SIGALRM, out_of_time)
    found = unittest.defaultTestLoader.discover(folder, pattern="*_test.py")
    wanted = [t for t in each(found)
              if not sys.argv[1:] or any(text in name_of(t) for text in sys.argv[1:])]
    result = Lines()
    start_clock(DEFAULT_LIMIT_SECONDS)
    unittest.TestSuite(wanted).run(result)
    signal.setitimer(signal.ITIMER_REAL, 0)
    if result.skips:
        print(f"{result.skips} skipped")
    print(f"{result.passed} passed, {result.failed} failed", flush=True)
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
