"""upstreamd as an owner of processes: requests of the fleet, spread over hubs, and their control."""

import fleet_rig
import hub_rig
import rig


class Requests(fleet_rig.FleetCase):
    def test_direct_runs_on_the_hub_that_has_the_phone(self):
        self.start_fleet(1, 1)
        first = self.submit("quick", phone="HUB-2-001")
        process = self.wait_end(first)
        self.assertEqual(process["status"], "completed", process)
        self.assertRegex(first, r"^up-1-\d+$")
        self.assertEqual(process["items"][0]["phone_id"], "HUB-2-001")
        self.assertEqual(process["attempts"], 1)

    def test_queue_takes_any_hub_with_an_idle_phone(self):
        self.start_fleet(1, 1)
        ids = [self.submit("short", inputs={"seconds": 2}) for _ in range(2)]
        ended = [self.wait_end(identity, 30) for identity in ids]
        self.assertEqual([process["status"] for process in ended], ["completed"] * 2, ended)
        self.assertEqual(sorted(self.ran_on(process)[0] for process in ended),
                         ["hub-1", "hub-2"])

    def test_group_is_spread_and_its_status_is_derived(self):
        self.start_fleet(2, 2)
        phones = ["HUB-1-001", "HUB-1-002", "HUB-2-001", "HUB-2-002"]
        identity = self.submit("quick", phones=phones)
        process = self.wait_end(identity, 30)
        self.assertEqual(process["status"], "completed", process)
        self.assertEqual(process["partial_progress"]["completed"], 4)
        self.assertEqual([item["phone_id"] for item in process["items"]], phones)
        self.assertEqual(len(process["linked_ids"]["queue_item_ids"]), 4)
        self.assert_times(process, "created_at", "accepted_at", "queued_at", "executing_at",
                          "started_at", "first_device_at", "finished_at", "updated_at")
        self.assertFalse(process["stale"])
        self.assertIsNotNone(process["status_as_of"])
        events = self.events(identity)
        self.assertEqual([event["id"] for event in events], list(range(1, len(events) + 1)))
        self.assertEqual(events[0]["type"], "accepted")
        self.assertEqual(events[-1]["type"], "finished")

    def test_accounts_run_one_at_a_time_and_pairs_on_their_phone(self):
        self.start_fleet(1, 1)
        target = {"routing": "group", "phone_ids": ["HUB-1-001", "HUB-2-001"],
                  "account_ids": ["ann", "bob"]}
        process = self.wait_end(self.submit("quick", target=target), 30)
        self.assertEqual(process["status"], "completed", process)
        target = {"routing": "group", "account_ids": ["cleo", "cleo"]}
        body = hub_rig.order("short", inputs={"seconds": 1}, target=target)
        identity = self.client.post("/capability-requests/enqueue", body).body["process_id"]
        overlap = []

        def has_ended():
            now = self.process(identity)
            overlap.append(now["partial_progress"]["running"] + now["partial_progress"]["leased"])
            return now["status"] in hub_rig.TERMINAL
        rig.wait_until(has_ended, 40, "both ran")
        self.assertEqual(self.process(identity)["status"], "completed")
        self.assertLessEqual(max(overlap), 1)

    def test_a_key_holds_over_hubs(self):
        self.start_fleet(1, 1)
        ids = [self.submit("keyed") for _ in range(4)]
        most = [0]

        def have_ended():
            states = [self.process(identity)["job_status"] for identity in ids]
            most[0] = max(most[0], states.count("running") + states.count("claimed"))
            return all(state == "completed" for state in states)
        rig.wait_until(have_ended, 40, "all four ran")
        self.assertEqual(most[0], 1)

    def test_labels_choose_the_hub(self):
        hubs = self.start_fleet(1, 1)
        answer = hubs[1].client.post("/phones/HUB-2-001/label", {"labels": ["lab"]})
        self.assertEqual(answer.status, 200, answer)
        rig.wait_until(lambda: self.rows("SELECT labels FROM fleet_phones WHERE id = ?",
                                         "HUB-2-001") == [("lab",)], 10, "upstream knows the label")
        self.assertEqual(["lab"], self.client.get("/phones/HUB-2-001").body["labels"])
        self.assertEqual([], self.client.get("/phones/HUB-1-001").body["labels"])
        ended = [self.wait_end(self.submit("quick", labels=["lab"]), 30) for _ in range(3)]
        self.assertEqual({self.ran_on(process)[0] for process in ended}, {"hub-2"})

    def test_idempotency_is_the_fleets(self):
        self.start_fleet(1)
        body = hub_rig.order("quick", "same")
        first = self.client.post("/capability-requests/enqueue", body)
        self.assertEqual(first.status, 202, first)
        again = self.client.post("/capability-requests/enqueue", body)
        self.assertEqual((again.status, again.body["process_id"], again.body["duplicate"]),
                         (200, first.body["process_id"], True))
        self.assertNotIn("duplicate_differs", again.body)
        body["priority"] = 7
        other = self.client.post("/capability-requests/enqueue", body)
        self.assertTrue(other.body["duplicate_differs"])
        self.wait_end(first.body["process_id"])
        done = self.client.post("/capability-requests/enqueue", body)
        self.assertEqual(done.body["process_status"], "completed")
        self.upstream.kill()
        self.start_upstream()
        kept = self.client.post("/capability-requests/enqueue", body)
        self.assertEqual((kept.status, kept.body["process_id"]), (200, first.body["process_id"]))

    def test_refusals_are_a_hubs(self):
        hubs = self.start_fleet(1)
        bodies = [
            hub_rig.order("quick", phone="NOWHERE"),
            hub_rig.order("nothing"),
            hub_rig.order("quick", mode="unattended"),
            hub_rig.order("quick", target={"routing": "group", "phone_ids": ["HUB-1-001"],
                                           "account_ids": ["a", "b"]}),
            hub_rig.order("quick", priority=10),
            hub_rig.order("quick", labels=["not a label"]),
            hub_rig.order("quick", inputs=[]),
            {"capability": "quick"},
        ]
        for body in bodies:
            ours = self.client.post("/capability-requests/enqueue", body)
            theirs = hubs[0].client.post("/capability-requests/enqueue", body)
            self.assertEqual(ours.status, theirs.status, body)
            for name in ("code", "pointer"):
                self.assertEqual(ours.body["error"].get(name), theirs.body["error"].get(name))
        self.assertEqual(self.rows("SELECT count(*) FROM fleet_processes"), [(0,)])

    def test_maintenance_and_ingest_take_the_documented_bodies(self):
        self.write("capabilities/post.ini", fleet_rig.FLEET["quick"].replace("quick", "post_video"))
        self.start_fleet(1)
        answer = self.client.post("/maintenance/requests", {
            "request_id": "m-1", "target": {"phone_id": "HUB-1-001"},
            "inputs": {"steps": [{"action": "battery"}]}, "requested_by": {"system": "tests"}})
        self.assertEqual(answer.status, 202, answer)
        process = self.wait_end(answer.body["process_id"], 30)
        self.assertEqual(process["status"], "completed", process)
        self.assertIn("battery", process["result"])
        body = {"content_id": "c-1", "account_id": "ann", "video_path": "http://x/v.mp4",
                "caption": "hello"}
        first = self.client.post("/ingest", body)
        self.assertEqual((first.status, first.body["queue_status"]), (202, "QUEUED"), first)
        self.assertEqual(self.wait_end(first.body["process_id"])["status"], "completed")
        again = self.client.post("/ingest", body)
        self.assertEqual((again.status, again.body["status"], again.body["queue_status"]),
                         (200, "duplicate", "DONE"), again)


class Control(fleet_rig.FleetCase):
    def test_cancel_before_any_hub_has_it(self):
        self.start_upstream()
        identity = self.submit("quick")
        answer = self.client.post("/processes/%s/cancel" % identity)
        self.assertEqual((answer.status, answer.body["status"]), (200, "cancelled"), answer)
        self.assertEqual(self.client.post("/processes/%s/cancel" % identity).status, 409)

    def test_cancel_of_what_runs_on_a_hub(self):
        self.start_fleet(1)
        identity = self.submit("short", inputs={"seconds": 50})
        self.wait_status(identity, "executing")
        answer = self.client.post("/processes/%s/cancel" % identity)
        self.assertEqual(answer.status, 202, answer)
        self.assertTrue(answer.body["cancel_requested"])
        process = self.wait_end(identity)
        self.assertEqual(process["status"], "cancelled", process)

    def test_suspend_holds_and_resume_goes_on(self):
        self.start_fleet(1)
        identity = self.submit("short", inputs={"seconds": 3})
        self.wait_status(identity, "executing")
        answer = self.client.post("/processes/%s/suspend" % identity)
        self.assertEqual((answer.status, answer.body["held"]), (202, True), answer)
        rig.wait_until(lambda: self.process(identity)["items"][0]["state"] == "suspended", 20,
                       "it is suspended")
        waiting = self.submit("quick", phone="HUB-1-001")
        self.wait_end(waiting)
        self.assertEqual(self.process(identity)["status"], "queued")
        self.client.post("/processes/%s/resume" % identity)
        process = self.wait_end(identity, 30)
        self.assertEqual((process["status"], process["attempts"]), ("completed", 2), process)

    def test_review_is_settled_through_upstream(self):
        self.start_fleet(1)
        for outcome, status in (("done", "completed"), ("failed", "failed_terminal")):
            identity = self.submit("review")
            rig.wait_until(lambda identity=identity: self.process(identity)["state"] ==
                           "waiting_review", 20, "it waits for a review")
            answer = self.client.post("/processes/%s/settle" % identity, {"outcome": outcome})
            self.assertEqual(answer.status, 202, answer)
            self.assertEqual(self.wait_end(identity)["status"], status)

    def test_retry_supersedes_what_failed(self):
        self.start_fleet(1, 1)
        identity = self.submit("final", phones=["HUB-1-001", "HUB-2-001"])
        process = self.wait_end(identity)
        self.assertEqual(process["internal_status"], "DEAD_LETTER", process)
        self.assertEqual(process["error"]["category"], "exit_code", process)
        answer = self.client.post("/processes/%s/retry" % identity)
        self.assertEqual((answer.status, answer.body["generation"]), (202, 2), answer)
        process = self.wait_end(identity)
        self.assertEqual(process["status"], "failed_terminal")
        self.assertEqual([item["superseded"] for item in process["items"]],
                         [True, True, False, False])
        self.assertEqual([item["phone_id"] for item in process["items"]],
                         ["HUB-1-001", "HUB-2-001"] * 2)
        done = self.wait_end(self.submit("quick"))["process_id"]
        self.assertEqual(self.client.post("/processes/%s/retry" % done).body["error"]["code"],
                         "not_retryable")

    def test_orders_for_a_hubs_own_process_are_forwarded(self):
        hubs = self.start_fleet(1)
        answer = hubs[0].client.post("/capability-requests/enqueue", hub_rig.order(
            "nap", inputs={"seconds": 50}))
        identity = answer.body["process_id"]
        rig.wait_until(lambda: self.client.get("/processes/" + identity).status == 200 and
                       self.process(identity)["status"] == "executing", 20, "upstream sees it run")
        answer = self.client.post("/processes/%s/cancel" % identity)
        self.assertEqual((answer.status, answer.body["forwarded"], answer.body["hub_id"]),
                         (202, True, "hub-1"), answer)
        self.assertEqual(self.wait_end(identity)["status"], "cancelled")
        self.assertEqual(self.client.post("/processes/%s/cancel" % identity).status, 409)
        listed = self.client.get("/processes").body["processes"]
        self.assertEqual([row["process_id"] for row in listed], [identity])

    def test_legacy_cancel_names_a_queue_item(self):
        self.write("capabilities/post.ini", fleet_rig.FLEET["quick"].replace("quick", "post_video"))
        self.start_upstream()
        body = {"content_id": "c-2", "account_id": "ann", "video_path": "http://x/v.mp4",
                "caption": "hello"}
        first = self.client.post("/ingest", body).body
        answer = self.client.post("/cancel", {"queue_item_id": first["queue_item_id"]})
        self.assertEqual((answer.status, answer.body["queue_status"]), (200, "CANCELLED"), answer)
        answer = self.client.post("/cancel", {"account_id": "ann", "content_id": "c-2"})
        self.assertEqual(answer.body["error"]["code"], "already_terminal")
        self.assertEqual(self.client.post("/cancel", {"account_id": "a", "content_id": "b"}).status,
                         404)

    def test_deadline_and_start_time_are_kept_without_any_hub(self):
        self.start_upstream()
        late = self.submit("quick", deadline=hub_rig.now_text(1))
        later = self.submit("quick", not_before=hub_rig.now_text(2))
        self.assertEqual(self.process(later)["items"][0]["state"], "scheduled")
        process = self.wait_end(late)
        self.assertEqual((process["status"], process["error"]["category"]),
                         ("failed_terminal", "deadline"), process)
        rig.wait_until(lambda: self.process(later)["items"][0]["state"] == "ready", 20, "it is due")
