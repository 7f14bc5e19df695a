"""A host without a wall clock: what it does meanwhile, and what its times become once it is known."""

import os
import subprocess
import unittest

import hub_rig
import rig

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
/* The wall clock begins at 1970, as without a clock chip, until the file exists. */
int clock_gettime(clockid_t id, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) =
        (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, now);
    if (id == CLOCK_REALTIME && access(getenv("CLOCK_FILE"), F_OK) != 0) {
        now->tv_sec = 1000;
    }
    return result;
}
"""


@unittest.skipIf("address" in rig.BIN, "a sanitizer must be loaded first")
class Clock(hub_rig.HubCase):
    def start_without_clock(self, phones):
        source, library = self.write("clock.c", SHIM), self.path("clock.so")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        self.config = self.write("hub.ini", self.config_text(phones))
        env = dict(os.environ, LD_PRELOAD=library, CLOCK_FILE=self.path("clock-is-set"))
        self.hub = self.start("hubd", "--config", self.config, env=env)
        self.hub.wait_for("listening", 30)
        self.client = self.new_client()
        self.wait_phones("SIM001")

    def test_times_become_wall_time_once_it_is_known(self):
        _, port = self.start_phones(1)
        self.start_without_clock([port])
        done = self.submit("maintenance")
        self.assertEqual(self.wait_end(done)["status"], "completed")
        self.assertEqual({v for v in self.process(done)["timestamps"].values()}, {None})
        self.assertEqual({e["created_at"] for e in self.events(done)}, {None})
        waiting = self.submit("maintenance", not_before=hub_rig.now_text(-10))
        self.assertEqual(self.process(waiting)["status_detail"], "clock_unknown")
        self.write("clock-is-set", "")
        times = rig.wait_until(lambda: self.process(done)["timestamps"]["finished_at"] and
                               self.process(done)["timestamps"], 10, "the times are known")
        for name in ("created_at", "queued_at", "started_at", "first_device_at", "finished_at"):
            self.assertRegex(times[name], hub_rig.TIME)
        self.assertLessEqual(times["created_at"], times["started_at"])
        self.assertLessEqual(times["started_at"], times["finished_at"])
        for event in self.events(done):
            self.assertRegex(event["created_at"], hub_rig.TIME)
        self.assertEqual(self.wait_end(waiting)["status"], "completed")

    def test_they_stay_known_after_a_restart(self):
        _, port = self.start_phones(1)
        self.start_without_clock([port])
        done = self.submit("maintenance")
        self.wait_end(done)
        self.write("clock-is-set", "")
        rig.wait_until(lambda: self.process(done)["timestamps"]["finished_at"], 10, "known")
        before = self.process(done)["timestamps"]
        self.hub.kill()
        self.restart_hub()
        self.assertEqual(self.process(done)["timestamps"], before)
