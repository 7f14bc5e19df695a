"""A host without a wall clock: what it does meanwhile, and what its times become once it is known."""

import unittest

import cert_rig
import clock_rig
import hub_rig
import rig
import sync_rig


@unittest.skipUnless(clock_rig.IS_POSSIBLE, "a sanitizer must be loaded first")
class Clock(hub_rig.HubCase):
    def start_without_clock(self, phones):
        self.clocks = clock_rig.Clocks(self.scratch)
        self.clocks.set_known(False)
        self.config = self.write("hub.ini", self.config_text(phones))
        self.hub = self.start("hubd", "--config", self.config, env=self.clocks.environment)
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
        self.clocks.set_known(True)
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
        self.clocks.set_known(True)
        rig.wait_until(lambda: self.process(done)["timestamps"]["finished_at"], 10, "known")
        before = self.process(done)["timestamps"]
        self.hub.kill()
        self.restart_hub()
        self.assertEqual(self.process(done)["timestamps"], before)


@unittest.skipUnless(clock_rig.IS_POSSIBLE, "a sanitizer must be loaded first")
class ClockOfUpstream(sync_rig.SyncCase):
    """Certificates are valid since yesterday; to a host whose clock shows 1970 none would be."""

    limit_seconds = 180

    def start_without_clock(self, phones=()):
        self.clocks = clock_rig.Clocks(self.scratch)
        self.clocks.set_known(False)
        self.config = self.write("hub.ini", self.config_text(phones))
        self.start_again()

    def start_again(self):
        self.hub = self.start("hubd", "--config", self.config, env=self.clocks.environment)
        self.hub.wait_for("listening", 30)
        self.client = self.new_client()

    def test_the_time_is_fetched_from_upstream_before_anything_else(self):
        _, port = self.start_phones(1)
        self.start_without_clock([port])
        self.wait_phones("SIM001")
        done = self.submit("maintenance")
        self.wait_end(done)
        self.assertEqual({None}, set(self.process(done)["timestamps"].values()))
        self.start_upstream()
        self.hub.wait_for("event=clock_told", 60)
        times = rig.wait_until(lambda: self.process(done)["timestamps"]["finished_at"] and
                               self.process(done)["timestamps"], 20, "the times are known")
        self.assertRegex(times["finished_at"], hub_rig.TIME)
        self.assertGreater(times["finished_at"], hub_rig.now_text(-600))
        self.assertLess(times["finished_at"], hub_rig.now_text(5))
        self.wait_caught_up()
        self.wait_same_history()
        # What was told is durable: another start begins where this one ended, still without a clock.
        self.hub.kill()
        self.start_again()
        self.hub.wait_for("event=clock_told", 60)
        self.wait_caught_up()
        self.wait_same_history()

    def test_nothing_but_the_time_is_taken_while_it_is_not_known(self):
        self.start_without_clock()
        self.start_upstream()
        first = self.hub.wait_for("event=upstream_connected", 60)
        self.assertIn("host=127.0.0.1", first)
        self.hub.wait_for("event=clock_told", 30)
        self.hub.wait_for("event=upstream_connected", 30)
        self.wait_caught_up()
        self.assertEqual(2, self.metric("hub_sync_connects_total"))

    def test_a_certificate_that_ended_before_the_floor_is_refused(self):
        ca = cert_rig.Authority(self.path("old"), self.certs + "/ca.crt", self.certs + "/ca.key")
        cert, key = ca.issue("server", "/CN=localhost", (
            *cert_rig.GOOD, cert_rig.SERVER, cert_rig.NAMES), (-2000, -1800))
        with open(self.upstream_config, encoding="utf-8") as file:
            text = file.read()
        text = text.replace("cert = %s/server.crt" % self.certs, "cert = " + cert)
        self.write("upstream.ini", text.replace("key = %s/server.key" % self.certs, "key = " + key))
        self.start_upstream()
        self.start_without_clock()
        for _ in range(2):
            line = self.hub.wait_for("event=upstream_failed", 60)
            self.assertIn("expired", line)
        self.assertNotIn("clock_told", self.hub.output())
        self.assertEqual(200, self.client.get("/readyz").status)


if __name__ == "__main__":
    unittest.main()
