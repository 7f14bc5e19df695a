"""One hub through its HTTP API: SPEC.md section 3 row by row, requests, events, faults of phones."""

import time
import unittest

import hub_rig
import rig

CREATED = ("created_at", "accepted_at", "queued_at", "executing_at", "updated_at")


class Rows(hub_rig.HubCase):
    """The statuses a process can have today, with their four names and their timestamps."""

    limit_seconds = 60

    def start(self, *arguments, **more):  # a shorter name than the base's where it is not needed
        return super().start(*arguments, **more)

    def with_phones(self, count, *options):
        _, first = self.start_phones(count, *options)
        self.start_hub(range(first, first + count))
        self.wait_phones(*["SIM%03d" % (number + 1) for number in range(count)])

    def test_planned_then_done(self):
        self.start_hub()
        identity = self.submit("maintenance")
        process = self.process(identity)
        self.assert_names(process, "queued", "PLANNED", "pending", "queued")
        self.assert_times(process, *CREATED)

    def test_done(self):
        self.with_phones(1)
        identity = self.submit("maintenance", phone="SIM001")
        process = self.wait_end(identity)
        self.assert_names(process, "completed", "DONE", "completed", "completed")
        self.assert_times(process, *CREATED, "started_at", "first_device_at", "finished_at")
        self.assertEqual(process["result"]["verdict"]["health"], "ok")
        self.assertEqual(process["progress_percent"], 100)
        self.assertEqual(process["attempts"], 1)
        self.assertIsNone(process["error"])
        item = process["items"][0]
        self.assertEqual((item["state"], item["job_status"]), ("completed", "completed"))
        self.assertEqual(process["linked_ids"]["queue_item_ids"], [identity + ".1"])
        self.assertEqual(process["linked_ids"]["completed_queue_item_ids"], [identity + ".1"])
        self.assertEqual(int(item["lease_token"]) >> 40, 1)

    def test_a_page_that_would_be_too_long_ends_early(self):
        self.start_hub()
        sent = [self.submit("maintenance", request_id="%04d" % number + 1000 * "\u0001")
                for number in range(60)]
        listed, cursor = [], ""
        while cursor is not None:
            page = self.client.get("/processes?limit=200&sort=oldest" + cursor).body
            self.assertGreater(len(page["processes"]), 0)
            listed += [row["process_id"] for row in page["processes"]]
            cursor = page["next_cursor"] and "&cursor=" + page["next_cursor"]
        self.assertEqual(listed, sent)
        self.assertLess(len(page["processes"]), len(sent))  # the last of several

    def test_pages_phones(self):
        self.with_phones(3)
        whole = self.client.get("/phones").body
        self.assertIsNone(whole["next_cursor"])
        names = [phone["phone_id"] for phone in whole["phones"]]
        self.assertEqual(names, sorted(names))
        first = self.client.get("/phones?limit=1").body
        self.assertEqual([first["next_cursor"]], names[:1])
        rest = self.client.get("/phones?cursor=" + first["next_cursor"]).body
        self.assertEqual(first["phones"] + rest["phones"], whole["phones"])

    def test_executing_then_cancelled_while_running(self):
        self.with_phones(1)
        identity = self.nap(30)
        process = self.wait_status(identity, "executing")
        self.assert_names(process, "executing", "EXECUTING", "running", "running")
        self.assert_times(process, *CREATED, "started_at", "first_device_at")
        answer = self.client.post("/processes/%s/cancel" % identity)
        self.assertIn(answer.status, (200, 202))
        process = self.wait_end(identity)
        self.assert_names(process, "cancelled", "CANCELLED", "cancelled", "cancelled")
        self.assert_times(process, *CREATED, "started_at", "first_device_at",
                          "cancel_requested_at", "finished_at")
        again = self.client.post("/processes/%s/cancel" % identity)
        self.assertEqual((again.status, again.body["error"]["code"]), (409, "already_terminal"))
        self.wait_phones("SIM001")  # the phone is free for the next

    def test_retries_to_dead_letter(self):
        self.with_phones(1, "--fault", "fail@id")
        identity = self.submit("brittle")
        process = self.wait_status(identity, "retrying")
        self.assertRegex(process["timestamps"]["retrying_at"], hub_rig.TIME)
        self.assert_names(process, "retrying", "RETRYABLE", "running", "queued")
        process = self.wait_end(identity)
        self.assert_names(process, "failed_terminal", "DEAD_LETTER", "failed", "failed")
        self.assert_times(process, *CREATED, "started_at", "first_device_at", "retrying_at",
                          "finished_at")
        self.assertEqual(process["attempts"], 3)
        self.assertEqual(process["error"]["category"], "exit_code")
        self.assertEqual(process["error"]["action"], "id")
        self.assertEqual([error["attempt"] for error in process["errors"]], [1, 2, 3])
        # Each attempt went on behind the last action that was done.
        steps = [event["step"] for event in self.events(identity) if event["type"] == "step"]
        self.assertEqual(steps, ["first"])

    def test_a_permanent_failure_is_not_retried(self):
        self.with_phones(1)
        process = self.wait_end(self.submit("final"))
        self.assertEqual((process["status"], process["attempts"]), ("failed_terminal", 1))
        self.assertEqual(process["error"]["code"], "exit_7")

    def test_cancelled_while_it_waits(self):
        self.with_phones(1)
        long = self.nap(30, phone="SIM001")
        self.wait_status(long, "executing")
        waiting = self.nap(1, phone="SIM001")
        patient = self.submit("patient", phone="SIM001")
        self.assert_names(self.process(waiting), "queued", "PLANNED", "pending", "queued")
        for identity in (waiting, patient):
            self.assertEqual(self.client.post("/processes/%s/cancel" % identity).status, 200)
            self.assertEqual(self.process(identity)["status"], "cancelled")
        self.client.post("/processes/%s/cancel" % long)
        self.wait_end(long)

    def test_cancelled_in_retry_wait(self):
        self.with_phones(1)
        identity = self.submit("patient")
        self.wait_status(identity, "retrying")
        self.assertEqual(self.client.post("/processes/%s/cancel" % identity).status, 200)
        self.assert_names(self.process(identity), "cancelled", "CANCELLED", "cancelled",
                          "cancelled")

    def test_partial(self):
        _, good = self.start_phones(1, serial="GOOD1")
        _, bad = self.start_phones(1, "--fault", "fail@id", serial="BAD1")
        self.start_hub([good, bad])
        self.wait_phones("GOOD1", "BAD1")
        identity = self.submit("brittle", phones=["GOOD1", "BAD1"])
        process = self.wait_end(identity)
        self.assert_names(process, "failed_terminal", "PARTIAL", "failed", "failed")
        self.assertEqual(process["partial_progress"]["completed"], 1)
        self.assertEqual(process["partial_progress"]["failed"], 1)
        self.assertEqual(len(process["linked_ids"]["queue_item_ids"]), 2)
        self.assertEqual(len(process["linked_ids"]["completed_queue_item_ids"]), 1)

    def test_deadlines_and_start_times(self):
        self.with_phones(1)
        late = self.submit("maintenance", deadline=hub_rig.now_text(-5))
        process = self.process(late)
        self.assert_names(process, "failed_terminal", "DEAD_LETTER", "failed", "failed")
        self.assertEqual(process["error"]["category"], "deadline")
        soon = self.nap(30, deadline=hub_rig.now_text(0.7))
        process = self.wait_end(soon)
        self.assertEqual((process["status"], process["error"]["category"]),
                         ("failed_terminal", "deadline"))
        start = time.time()
        later = self.submit("maintenance", not_before=hub_rig.now_text(0.8))
        self.assertEqual(self.process(later)["items"][0]["state"], "scheduled")
        self.assertEqual(self.wait_end(later)["status"], "completed")
        self.assertGreaterEqual(time.time() - start, 0.75)

    def test_priority_goes_before_age(self):
        self.with_phones(1)
        first = self.nap(0.4, phone="SIM001")
        self.wait_status(first, "executing")
        low = self.nap(0, phone="SIM001", priority=1)
        high = self.nap(0, phone="SIM001", priority=9)
        self.wait_end(low)
        tokens = [int(self.process(identity)["items"][0]["lease_token"])
                  for identity in (high, low)]
        self.assertLess(tokens[0], tokens[1])


class Requests(hub_rig.HubCase):
    """Idempotency, modes, lists, events and streams."""

    limit_seconds = 60

    def setUp(self):
        super().setUp()
        _, first = self.start_phones(1)
        self.start_hub([first])
        self.wait_phones("SIM001")

    def test_a_key_finds_its_process_also_after_a_restart(self):
        body = hub_rig.order("maintenance", "key-1")
        first = self.client.post("/capability-requests/enqueue", body)
        self.assertEqual((first.status, first.body["status"]), (202, "accepted"))
        self.wait_end(first.body["process_id"])
        for _ in range(2):
            again = self.client.post("/capability-requests/enqueue", body)
            self.assertEqual((again.status, again.body["duplicate"]), (200, True))
            self.assertEqual(again.body["process_id"], first.body["process_id"])
            self.assertEqual(again.body["process_status"], "completed")
            self.assertNotIn("duplicate_differs", again.body)
            changed = dict(body, priority=9)
            other = self.client.post("/capability-requests/enqueue", changed)
            self.assertEqual((other.status, other.body["duplicate_differs"]), (200, True))
            self.assertEqual(self.hub.stop(), 0)
            self.restart_hub()
        anonymous = hub_rig.order("maintenance")
        ids = {self.client.post("/capability-requests/enqueue", anonymous).body["process_id"]
               for _ in range(3)}
        self.assertEqual(len(ids), 3)

    def test_unattended_needs_a_verified_capability(self):
        for name, status in (("nap", 202), ("patient", 422), ("final", 422)):
            body = hub_rig.order(name, inputs={"seconds": 0}, mode="unattended")
            answer = self.client.post("/capability-requests/enqueue", body)
            self.assertEqual(answer.status, status, answer)
            if status == 422:
                self.assertEqual(answer.body["error"]["code"],
                                 "capability_not_live_verified:" + name)

    def test_a_maintenance_request_names_steps(self):
        body = {"request_id": "m1", "target": {"phone_id": "SIM001"},
                "inputs": {"steps": [{"action": "battery", "params": {}}]},
                "requested_by": {"system": "tests"}}
        answer = self.client.post("/maintenance/requests", body)
        self.assertEqual((answer.status, answer.body["process_type"]), (202, "maintenance"))
        process = self.wait_end(answer.body["process_id"])
        self.assertEqual(sorted(process["result"]), ["battery", "verdict"])

    def test_events_are_dense_and_paged(self):
        identity = self.submit("maintenance")
        self.wait_end(identity)
        events = self.events(identity)
        self.assertEqual([event["id"] for event in events], list(range(1, len(events) + 1)))
        self.assertEqual(events[0]["type"], "accepted")
        self.assertEqual(events[-1]["type"], "finished")
        for event in events:
            self.assertRegex(event["created_at"], hub_rig.TIME)
        page = self.client.get("/processes/%s/events?after=2&limit=3" % identity).body
        self.assertEqual([event["id"] for event in page["events"]], [3, 4, 5])
        self.assertTrue(page["more"])

    def test_a_stream_replays_follows_and_ends(self):
        identity = self.nap(0.5)
        stream = hub_rig.Stream(self.port, identity)
        self.addCleanup(stream.close)
        received = stream.rest()
        self.assertEqual([one[0] for one in received], list(range(1, len(received) + 1)))
        self.assertEqual(received[-1][1]["type"], "finished")
        half = hub_rig.Stream(self.port, identity, last_id=3)
        self.addCleanup(half.close)
        self.assertEqual(half.rest(), received[3:])
        done = hub_rig.Stream(self.port, identity, last_id=received[-1][0])
        self.addCleanup(done.close)
        self.assertEqual(done.status, 204)

    def test_lists_filter_and_page(self):
        good = [self.submit("maintenance") for _ in range(3)]
        bad = self.submit("final")
        for identity in good + [bad]:
            self.wait_end(identity)
        rows = self.client.get("/processes").body["processes"]
        self.assertEqual([row["process_id"] for row in rows], [bad] + good[::-1])
        failed = self.client.get("/processes?failed=1").body["processes"]
        self.assertEqual([row["process_id"] for row in failed], [bad])
        by_type = self.client.get("/processes?type=final").body["processes"]
        self.assertEqual([row["process_id"] for row in by_type], [bad])
        page = self.client.get("/processes?status=completed&limit=2").body
        self.assertEqual([row["process_id"] for row in page["processes"]], good[:0:-1])
        rest = self.client.get("/processes?status=completed&limit=2&cursor=" +
                               page["next_cursor"]).body
        self.assertEqual([row["process_id"] for row in rest["processes"]], good[:1])
        self.assertIsNone(rest["next_cursor"])

    def test_shows_where_an_item_ran_after_its_end(self):
        identity = self.submit("maintenance")
        self.wait_end(identity)
        ran_on = self.client.get("/processes/" + identity).body["items"][0]["phone_id"]
        self.assertIn(ran_on, ["SIM001", "SIM002"])
        self.assertEqual(self.hub.stop(20), 0)
        self.restart_hub()
        after = self.client.get("/processes/" + identity).body["items"][0]["phone_id"]
        self.assertEqual(after, ran_on)
        rows = self.client.get("/processes?phone=" + ran_on).body["processes"]
        self.assertEqual([row["process_id"] for row in rows], [identity])

    def test_reloads_tokens_and_capabilities(self):
        self.write("capabilities/extra.ini",
                   "[capability]\nname = extra\n[action.a]\ncommand = true\n")
        self.write("tokens", hub_rig.TOKENS + "late read late-secret\n")
        self.hub.signal(1)
        self.hub.wait_for("reloaded", 10)
        names = [one["name"] for one in self.client.get("/capabilities").body["capabilities"]]
        self.assertIn("extra", names)
        self.assertEqual(self.new_client("late-secret").get("/phones").status, 200)
        self.write("tokens", "nonsense\n")
        self.hub.signal(1)
        self.hub.wait_for("tokens_not_reloaded", 10)
        self.assertEqual(self.client.get("/phones").status, 200)

    def test_stops_in_order_and_goes_on_later(self):
        identity = self.nap(30)
        self.wait_status(identity, "executing")
        self.assertEqual(self.hub.stop(20), 0)
        self.restart_hub()
        process = self.wait_status(identity, "executing")
        self.assertEqual(process["attempts"], 2)
        self.assertEqual(process["items"][0]["attempts_counted"], 0)  # a shutdown is not counted


class Phones(hub_rig.HubCase):
    """What faulty phones do to work, and that they come back."""

    limit_seconds = 90

    def run_on(self, fault, capability="brittle"):
        _, first = self.start_phones(1, "--fault", fault)
        self.start_hub([first])
        self.wait_phones("SIM001")
        return self.wait_end(self.submit(capability), 60)

    def test_one_that_hangs_times_out(self):
        process = self.run_on("hang@id")
        self.assertEqual(process["status"], "failed_terminal")
        self.assertEqual([error["category"] for error in process["errors"]], ["timeout"] * 3)
        self.wait_phones("SIM001")

    def test_one_that_drops_is_lost_and_comes_back(self):
        process = self.run_on("drop@id")
        self.assertEqual([error["category"] for error in process["errors"]], ["phone_lost"] * 3)
        self.wait_phones("SIM001")

    def test_one_that_talks_garbage_disturbs_nobody(self):
        _, good = self.start_phones(1, serial="GOOD1")
        _, bad = self.start_phones(1, "--fault", "garbage@id", serial="BAD1")
        self.start_hub([good, bad])
        self.wait_phones("GOOD1", "BAD1")
        spoiled = self.submit("brittle", phone="BAD1")
        for _ in range(5):
            process = self.wait_end(self.submit("maintenance", phone="GOOD1"))
            self.assertEqual((process["status"], process["attempts"]), ("completed", 1))
        self.assertEqual(self.wait_end(spoiled, 60)["status"], "failed_terminal")

    def test_a_phone_that_is_switched_off_and_on_is_found_again(self):
        phones, first = self.start_phones(1)
        self.start_hub([first])
        self.wait_phones("SIM001")
        phones.kill()
        self.wait_phones("SIM001", state="absent")
        waiting = self.submit("maintenance", phone="SIM001")
        self.start("phonesim", "--adb-tcp", "127.0.0.1:%d" % first, "--serial", "SIM001")
        self.assertEqual(self.wait_end(waiting)["status"], "completed")


if __name__ == "__main__":
    unittest.main()
