"""What becomes of the fleet's work when hubs and upstream die, come back, and forget."""

import json
import os
import time

import callback_test
import fleet_rig
import hub_rig
import rig


class Killed(fleet_rig.FleetCase):
    limit_seconds = 240

    def test_hubs_and_upstream_killed_in_turn_under_load(self):
        hubs = self.start_fleet(2, 2)
        load = fleet_rig.Load(self)
        ids = load.ids
        for victim in (hubs[0], self.upstream, hubs[1], self.upstream, hubs[0]):
            count = len(ids)
            rig.wait_until(lambda count=count: len(ids) > count + 4, 60, "work comes in")
            if victim in hubs:
                victim.kill()
                victim.start()
            else:
                self.upstream.kill()
                self.start_upstream()
        load.stop()
        self.assert_all_ran_once_per_attempt(ids, hubs)

    def test_a_hub_that_dies_for_good_is_drained(self):
        hubs = self.start_fleet(1, 1)
        identity = self.submit("short", phone=None, inputs={"seconds": 3})
        process = self.wait_status(identity, "executing")
        dead = self.hubs[self.ran_on(process)[0]]
        dead.kill()
        process = self.wait_end(identity, 60)
        self.assertEqual(process["status"], "completed", process)
        self.assertNotEqual(self.ran_on(process)[0], dead.name)
        self.assertEqual(process["attempts"], 2)
        self.assertEqual([error["code"] for error in process["errors"]], ["grant_ended"], process)
        # It comes back, and is told to forget it.
        dead.start()
        rig.wait_until(lambda: self.rows("SELECT count(*) FROM fleet_commands") == [(0,)], 60,
                       "it has answered")
        rig.wait_until(lambda: all(row["status"] in hub_rig.TERMINAL for row in dead.parts()), 30,
                       "it has nothing of it any more")
        self.assertEqual(self.process(identity)["attempts"], 2)
        self.assert_never_twice_at_once(hubs)

    def test_what_may_have_run_once_stays_until_an_operator_forces_it(self):
        self.start_fleet(1, 1)
        identity = self.submit("once", inputs={"seconds": 3})
        dead = self.hubs[self.ran_on(self.wait_status(identity, "executing"))[0]]
        dead.kill()
        self.wait_stale(12)
        process = self.process(identity)
        self.assertEqual((process["status"], self.ran_on(process)[0]), ("executing", dead.name))
        answer = self.client.post("/processes/%s/retry" % identity)
        self.assertEqual(answer.body["error"]["code"], "not_terminal", answer)
        answer = self.client.post("/processes/%s/retry?force=1" % identity)
        self.assertEqual(answer.status, 202, answer)
        process = self.wait_end(identity, 60)
        self.assertEqual(process["status"], "completed", process)
        self.assertNotEqual(self.ran_on(process)[0], dead.name)

    def wait_stale(self, seconds):
        """Longer than a short grant and its margins."""
        start = time.monotonic()
        rig.wait_until(lambda: time.monotonic() > start + seconds, seconds + 30, "time passes")

    def test_an_old_success_wins_before_the_newer_one_began(self):
        hub = self.start_fleet(1)[0]
        identity = self.submit("short", inputs={"seconds": 1})
        self.wait_status(identity, "executing")
        self.upstream.kill()
        rig.wait_until(lambda: all(row["status"] == "completed" for row in hub.parts()) and
                       hub.parts(), 30, "it ran while upstream was away")
        hub.kill()
        self.start_upstream()
        rig.wait_until(lambda: self.rows("SELECT phase FROM fleet_items") == [(1,)], 60,
                       "it was taken from the silent hub")
        self.assertEqual(self.process(identity)["status"], "queued")
        hub.start()
        process = self.wait_end(identity, 30)
        self.assertEqual((process["status"], process["attempts"]), ("completed", 1), process)
        self.assertEqual(self.assert_never_twice_at_once([hub]), {(1, 1): 1})


class Elsewhere(fleet_rig.FleetCase):
    def test_a_refused_offer_goes_to_another_hub(self):
        bare = self.path("bare")
        os.makedirs(bare)
        self.start_upstream()
        for name, more in (("hub-1", bare), ("hub-2", None)):
            self.hubs[name] = fleet_rig.Hub(self, name, 2).start(more)
            self.wait_phones(*self.hubs[name].phones, seconds=40)
        ended = [self.wait_end(self.submit("quick"), 40) for _ in range(3)]
        self.assertEqual({self.ran_on(process)[0] for process in ended}, {"hub-2"})
        self.assertIn("refused_capability", self.upstream.output())

    def test_a_phone_that_appears_on_another_hub_takes_its_work_along(self):
        hubs = self.start_fleet(1, 0)
        hubs[0].simulator.kill()
        self.wait_phones("HUB-1-001", state="absent", seconds=60)
        identity = self.submit("quick", phone="HUB-1-001")
        self.assertEqual(self.process(identity)["status"], "queued")
        hubs[1].kill()
        phones, port = self.start_phones(1, serial="HUB-1-001")
        hubs[1].ports = [port]
        hubs[1].start()
        process = self.wait_end(identity, 90)
        self.assertEqual(process["status"], "completed", process)
        self.assertEqual(self.rows("SELECT hub FROM fleet_items"), [("hub-2",)])
        self.assertTrue(phones.is_running())

    def test_work_that_has_begun_follows_its_phone_too(self):
        hubs = self.start_fleet(1, 0)
        identity = self.submit("short", phone="HUB-1-001", inputs={"seconds": 8})
        self.wait_status(identity, "executing")
        hubs[0].simulator.kill()
        self.wait_phones("HUB-1-001", state="absent", seconds=60)
        hubs[1].kill()
        hubs[1].ports = [self.start_phones(1, serial="HUB-1-001")[1]]
        hubs[1].start()
        process = self.wait_end(identity, 90)
        self.assertEqual((process["status"], process["attempts"]), ("completed", 2), process)
        self.assertEqual(self.rows("SELECT hub FROM fleet_items"), [("hub-2",)])
        self.assertEqual(process["errors"][0]["category"], "phone_lost")


class Told(fleet_rig.FleetCase):
    def test_a_stream_replays_and_follows_to_the_end(self):
        self.start_fleet(1)
        identity = self.submit("short", inputs={"seconds": 2})
        stream = hub_rig.Stream(self.port, identity)
        self.addCleanup(stream.close)
        events = stream.rest()
        self.assertEqual([event[0] for event in events], list(range(1, len(events) + 1)))
        self.assertEqual(events[-1][1]["status"], "completed")
        self.assertIn("started", [event[1]["type"] for event in events])
        again = hub_rig.Stream(self.port, identity, last_id=len(events))
        self.addCleanup(again.close)
        self.assertEqual(again.status, 204)

    def test_callbacks_are_signed_in_order_and_retried(self):
        receiver = callback_test.Receiver()
        self.addCleanup(receiver.close)
        receiver.answers = [500]
        secret = self.write("secret", callback_test.SECRET + "\n")
        self.start_fleet(1, more="[callbacks]\nallow = 127.0.0.1:%d\nsecret_file = %s\n" % (
            receiver.port, secret))
        url = "http://127.0.0.1:%d/hook" % receiver.port
        identity = self.submit("quick", callback={"url": url})
        other = self.client.post("/capability-requests/enqueue", hub_rig.order(
            "quick", callback={"url": "http://127.0.0.9:1/"}))
        self.assertEqual(other.body["callback_status"], "host_not_allowed")
        rig.wait_until(lambda: "completed" in receiver.milestones(), 40, "the end is told")
        milestones = receiver.milestones()
        self.assertEqual(milestones[:2], ["accepted", "accepted"])  # the first was refused
        self.assertEqual(milestones[-1], "completed")
        ids = [json.loads(body)["event_id"] for _, _, body in receiver.calls]
        self.assertEqual(ids, sorted(ids))
        for _, headers, body in receiver.calls:
            self.assertEqual(json.loads(body)["process"]["process_id"], identity)
            expected = callback_test.hmac.new(
                callback_test.SECRET.encode(), headers["X-PhoneFarm-Timestamp"].encode() + b"." +
                body, callback_test.hashlib.sha256).hexdigest()
            self.assertEqual(headers["X-PhoneFarm-Signature"], expected)
