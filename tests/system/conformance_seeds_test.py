"""What users were promised, row by row: the tables and lists of the five documents of the process
model, each shown over HTTP. Every row is printed with pass or FAIL."""

import http.server
import json
import subprocess
import sys
import threading
import time

import hub_rig
import rig
from conformance_rig import ConformanceCase, Worker

MAPPING = {  # internal -> (public status, data-model state, job status)
    "PLANNED": ("queued", "pending", "queued"), "CLAIMED": ("queued", "pending", "claimed"),
    "EXECUTING": ("executing", "running", "running"), "RETRYABLE": ("retrying", "running", "queued"),
    "DONE": ("completed", "completed", "completed"),
    "PARTIAL": ("failed_terminal", "failed", "failed"),
    "DEAD_LETTER": ("failed_terminal", "failed", "failed"),
    "CANCELLED": ("cancelled", "cancelled", "cancelled")}


class Seeds(ConformanceCase):
    limit_seconds = 100
    extra_config = "[callbacks]\nallow = 127.0.0.1:CALLBACK\n[artifacts]\ndir = FOLDER/artifacts\n"

    @classmethod
    def setUpClass(cls):
        cls.told = []
        told = cls.told

        class Receiver(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        cls.receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        threading.Thread(target=cls.receiver.serve_forever, daemon=True).start()
        cls.callback_port = cls.receiver.server_address[1]
        cls.extra_config = Seeds.extra_config.replace("CALLBACK", str(cls.callback_port))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.receiver.shutdown()
        cls.receiver.server_close()

    # ---- bringing a process into each status ----

    def end(self, job, how, **more):
        answer = self.worker.tell(job, how, **more)
        self.assertEqual(answer.status, 200, answer)
        return answer.body

    def in_status(self, internal):
        """A process in this internal status."""
        if internal == "PLANNED":
            return self.process(self.submit(not_before=hub_rig.now_text(86400)))
        if internal == "CLAIMED":
            return self.process(self.claimed()[0])
        if internal == "PARTIAL":
            return self.partial()
        identity, job = self.running()
        if internal == "RETRYABLE":
            self.end(job, "fail", error="again", retryable=True)
        elif internal == "DONE":
            self.end(job, "complete", exitCode=0)
        elif internal == "DEAD_LETTER":
            self.end(job, "fail", error="no", retryable=False)
        elif internal == "CANCELLED":
            self.post("/processes/%s/cancel" % identity, status=202)
            self.end(job, "fail", error="stopped")
        return self.process(identity)

    def partial(self):
        identity = self.submit("job", phones=["C001", "C002"])
        jobs = []
        rig.wait_until(lambda: jobs.extend(self.worker.claim("job", 2)) or len(jobs) == 2, 10,
                       "both jobs")
        for job in jobs:
            self.worker.start(job)
        self.end(jobs[0], "complete", exitCode=0)
        self.end(jobs[1], "fail", error="no", retryable=False)
        return self.process(identity)

    # ---- 000: process lifecycle ----

    def test_000_statuses_and_mapping(self):
        for internal, names in MAPPING.items():
            with self.row("000", "Internal to Public Mapping", "%s → %s" % (internal, names[0])):
                process = self.in_status(internal)
                self.assertEqual(process["internal_status"], internal)
                self.assertEqual((process["status"], process["state"], process["job_status"]), names)
            self.free_all()
        with self.row("000", "Internal to Public Mapping", "QUEUED → queued"):
            # A hub plans in the same commit group: QUEUED is seen in the first event only.
            event = self.events(self.submit())[0]
            self.assertEqual((event["type"], event["status"]), ("accepted", "queued"))
        for internal, status in (("PLANNED", "queued"), ("EXECUTING", "executing"),
                                 ("RETRYABLE", "retrying"), ("DONE", "completed"),
                                 ("PARTIAL", "failed_terminal"), ("CANCELLED", "cancelled")):
            with self.row("000", "Public Status Enum", status):
                self.assertEqual(self.in_status(internal)["status"], status)
            self.free_all()
        self.all_rows_hold()

    def test_000_idempotency(self):
        requests = {
            "POST /capability-requests/enqueue": hub_rig.order("echo", "same"),
            "POST /maintenance/requests": {"request_id": "same", "account_id": "a",
                                           "inputs": {"steps": []},
                                           "requested_by": {"system": "tests"}}}
        for name, body in requests.items():
            with self.row("000", "Idempotency · Process APIs", name):
                path = name.split()[1]
                first = self.post(path, body, 202).body
                again = self.post(path, body, 200).body
                self.assertEqual(again["process_id"], first["process_id"])
                self.assertTrue(again["duplicate"])
                for change in ({"requested_by": {"system": "other"}}, {"request_id": "other"}):
                    self.post(path, dict(body, **change), 202)
        with self.row("000", "Idempotency · Process APIs",
                      "key (process_type, requested_by.system, request_id)"):
            self.post("/capability-requests/enqueue", hub_rig.order("manual", "same"), 202)
        with self.row("000", "Idempotency · Legacy Queue APIs", "POST /ingest (account_id, content_id)"):
            body = {"content_id": "c", "account_id": "a", "video_path": "http://v/1.mp4",
                    "caption": "x"}
            first = self.post("/ingest", body, 202).body
            self.assertEqual(self.post("/ingest", body, 200).body["queue_item_id"],
                             first["queue_item_id"])
            self.post("/ingest", dict(body, account_id="b"), 202)
        self.all_rows_hold()

    def test_000_partial_progress(self):
        process = self.partial()
        with self.row("000", "Partial Progress", "public status becomes failed_terminal"):
            self.assertEqual(process["status"], "failed_terminal")
        with self.row("000", "Partial Progress", "partial_progress remains available"):
            counts = process["partial_progress"]
            self.assertEqual((counts["completed"], counts["failed"]), (1, 1))
        with self.row("000", "Partial Progress", "linked_ids shows queue-item relationships"):
            self.assertEqual(len(process["linked_ids"]["queue_item_ids"]), 2)
            self.assertEqual(len(process["linked_ids"]["completed_queue_item_ids"]), 1)
        with self.row("000", "Partial Progress", "status, error, partial_progress, linked_ids"):
            self.assertEqual(process["error"]["message"], "no")
        self.all_rows_hold()

    def test_000_timestamps(self):
        planned = self.in_status("PLANNED")["timestamps"]
        retried = self.in_status("RETRYABLE")["timestamps"]
        done = self.in_status("DONE")["timestamps"]
        cancelled = self.in_status("CANCELLED")["timestamps"]
        for name in ("created_at", "accepted_at", "queued_at", "executing_at"):
            with self.row("000", "Timestamp Semantics", name):
                for times in (planned, retried, done, cancelled):
                    self.assertRegex(times[name], hub_rig.TIME)
        for name, times in (("retrying_at", retried), ("cancel_requested_at", cancelled),
                            ("finished_at", done)):
            with self.row("000", "Timestamp Semantics", name):
                self.assertRegex(times[name], hub_rig.TIME)
                self.assertIsNone(planned[name])
        with self.row("000", "Timestamp Semantics", "executing_at is not first device interaction"):
            self.assertIsNone(planned["first_device_at"])
            self.assertRegex(done["first_device_at"], hub_rig.TIME)
        self.all_rows_hold()

    def test_000_terminal_behaviour(self):
        for internal, status in (("DONE", "completed"), ("DEAD_LETTER", "failed_terminal"),
                                 ("CANCELLED", "cancelled")):
            with self.row("000", "Terminal Behavior", status):
                process = self.in_status(internal)
                answer = self.post("/processes/%s/cancel" % process["process_id"])
                self.assertEqual(self.code(answer), (409, "already_terminal"))
        with self.row("000", "Terminal Behavior", "cancel_requested before settling"):
            identity, job = self.running()
            self.post("/processes/%s/cancel" % identity, status=202)
            process = self.process(identity)
            self.assertEqual(process["status"], "executing")
            self.assertRegex(process["timestamps"]["cancel_requested_at"], hub_rig.TIME)
            self.end(job, "fail", error="stopped")
            self.assertEqual(self.process(identity)["status"], "cancelled")
        self.all_rows_hold()

    # ---- 001: execution model ----

    def test_001_public_model_and_flow(self):
        url = "http://127.0.0.1:%d/hook" % self.callback_port
        with self.row("001", "Public Model", "1, 2 submit a request, receive an accepted response"):
            body = hub_rig.order("echo", callback={"url": url})
            answer = self.post("/capability-requests/enqueue", body, 202).body
            self.assertEqual(answer["status"], "accepted")
        identity = answer["process_id"]
        with self.row("001", "Public Model", "3 observe process.updated callbacks"):
            def milestones():
                return [t["milestone"] for t in self.told if t["process"]["process_id"] == identity]
            rig.wait_until(lambda: "completed" in milestones(), 15, "the callbacks")
            self.assertEqual(milestones(), ["accepted", "executing", "completed"])
            self.assertEqual({t["event_type"] for t in self.told}, {"process.updated"})
        with self.row("001", "Public Model", "4 poll the process record"):
            self.assertEqual(self.process(identity)["status"], "completed")
        with self.row("001", "Public Model", "5 cancel with a process-aware endpoint"):
            self.post("/processes/%s/cancel" % self.submit(), status=200)
        types = [event["type"] for event in self.events(identity)]
        for word, row in (("accepted", "capability request row"), ("planned", "planned actions"),
                          ("planned", "child queue items"), ("leased", "claimed work on a phone"),
                          ("started", "isolated run container"), ("step", "executor action(s)"),
                          ("finished", "process sync"), ("finished", "callback + pollable state")):
            with self.row("001", "Internal Flow", row):
                self.assertIn(word, types)
        for row, shown in (("Process", self.process(identity)["process_id"]),
                           ("Capability", self.process(identity)["process_type"]),
                           ("Queue item", self.process(identity)["items"][0]["id"]),
                           ("Run container", self.process(identity)["items"][0]["lease_token"]),
                           ("Callback", self.process(identity)["callback"]["url"])):
            with self.row("001", "Key Objects", row):
                self.assertTrue(shown)
        self.all_rows_hold()

    def test_001_entrypoints(self):
        with self.row("001", "Primary Public Entrypoints", "POST /capability-requests/enqueue"):
            identity = self.submit("echo")
        with self.row("001", "Primary Public Entrypoints", "POST /maintenance/requests"):
            self.post("/maintenance/requests", {"account_id": "a", "inputs": {"steps": []},
                                                "requested_by": {"system": "t"}}, 202)
        with self.row("001", "Primary Public Entrypoints", "GET /processes/{process_id}"):
            self.wait_status(identity, "completed")
        with self.row("001", "Primary Public Entrypoints", "POST /processes/{process_id}/cancel"):
            self.post("/processes/%s/cancel" % self.submit(), status=200)
        body = {"content_id": "e", "account_id": "e", "video_path": "http://v/1", "caption": "x",
                "scheduling_hint": hub_rig.now_text(86400)}
        with self.row("001", "Compatibility Entrypoints", "POST /ingest"):
            item = self.post("/ingest", body, 202).body["queue_item_id"]
        with self.row("001", "Compatibility Entrypoints", "POST /cancel"):
            self.post("/cancel", {"queue_item_id": item}, 200)
            _, job = self.running()
            self.assertEqual(self.code(self.post("/cancel", {"queue_item_id": job["id"]})),
                             (409, "item_in_use"))
        self.free_all()
        with self.row("001", "Compatibility Entrypoints", "POST /cancel: one of several items"):
            body = hub_rig.order("job", target={"routing": "group",
                                                "phone_ids": ["C001", "C002"]})
            identity = self.post("/capability-requests/enqueue", body, 202).body["process_id"]
            done = self.post("/cancel", {"queue_item_id": identity + ".2"}, 200).body
            self.assertEqual((done["queue_item_id"], done["queue_status"]),
                             (identity + ".2", "CANCELLED"))
            self.assertEqual(self.process(identity)["status"], "cancelled")
            identity = self.post("/capability-requests/enqueue", body, 202).body["process_id"]
            self.assertEqual(len(self.worker.claim("job", 1)), 1)
            self.assertEqual(self.code(self.post("/cancel", {"queue_item_id": identity + ".2"})),
                             (409, "item_in_use"))
        self.all_rows_hold()

    def target(self, capability="echo", **target):
        body = dict(hub_rig.order(capability), target=target)
        return self.client.post("/capability-requests/enqueue", body)

    def test_001_routing_modes(self):
        with self.row("001", "Routing Modes", "direct"):
            answer = self.target(routing="direct", phone_id="C003", account_id="a")
            process = self.wait_status(answer.body["process_id"], "completed")
            self.assertEqual((process["target"]["phone_id"], process["target"]["account_id"]),
                             ("C003", "a"))
        with self.row("001", "Routing Modes", "queue"):
            self.wait_status(self.target(routing="queue").body["process_id"], "completed")
        with self.row("001", "Routing Modes", "group: phone_ids"):
            answer = self.target(routing="group", phone_ids=["C001", "C002", "C003"])
            process = self.wait_status(answer.body["process_id"], "completed")
            self.assertEqual(process["partial_progress"]["completed"], 3)
        with self.row("001", "Routing Modes", "group: account_ids, one phone per account at a time"):
            answer = self.target("job", routing="group", account_ids=["x", "x", "y"])
            jobs = self.worker.claim("job", 3)
            self.assertEqual(len(jobs), 2)
            self.worker.start(jobs[0])
            self.end(jobs[0], "complete", exitCode=0)
            self.process(answer.body["process_id"])
        self.free_all()
        with self.row("001", "Routing Modes", "group: pairs of phone_ids and account_ids"):
            answer = self.target("job", routing="group", phone_ids=["C001", "C002"],
                                 account_ids=["p", "q"])
            jobs = self.worker.claim("job", 5)
            self.assertEqual(sorted(j["phone_id"] for j in jobs), ["C001", "C002"])
        with self.row("001", "Routing Modes", "not every capability supports every mode"):
            self.assertEqual(self.code(self.target("narrow", routing="queue")),
                             (422, "routing_not_allowed"))
        self.all_rows_hold()

    def test_001_run_modes(self):
        with self.row("001", "Run Modes", "manual: allowed for all"):
            for name in ("manual", "proven", "keyword_warmup", "fyp_warmup"):
                self.submit(name)
        with self.row("001", "Run Modes", "unattended: permitted and live verified only"):
            self.submit("proven", mode="unattended")
            self.submit("keyword_warmup", mode="unattended")
            self.submit("maintenance", mode="unattended")
        with self.row("001", "Run Modes", "fyp_warmup is blocked for unattended usage"):
            answer = self.client.post("/capability-requests/enqueue",
                                      hub_rig.order("fyp_warmup", mode="unattended"))
            self.assertEqual(self.code(answer), (422, "capability_not_live_verified:fyp_warmup"))
        self.all_rows_hold()

    def test_001_callbacks_versus_polling(self):
        body = hub_rig.order("echo", callback={"url": "http://127.0.0.1:%d/" % self.callback_port})
        with self.row("001", "Callbacks Versus Polling", "callback failure does not fail the request"):
            bad = dict(body, callback={"url": "http://127.0.0.1:1/"})
            identity = self.post("/capability-requests/enqueue", bad, 202).body["process_id"]
            self.wait_status(identity, "completed")
        with self.row("001", "Callbacks Versus Polling", "callbacks are best-effort"):
            self.assertEqual(self.process(identity)["status"], "completed")
        with self.row("001", "Callbacks Versus Polling", "polling is the authoritative view"):
            identity = self.post("/capability-requests/enqueue", body, 202).body["process_id"]
            process = self.wait_status(identity, "completed")
            rig.wait_until(lambda: [t for t in self.told
                                    if t["process"]["process_id"] == identity
                                    and t["process"]["status"] == process["status"]], 10, "told")
        self.all_rows_hold()

    # ---- 002: run states ----

    def state_of(self, identity):
        return self.process(identity)["items"][-1]["state"]

    def cancelled_from(self, identity, job=None):
        self.post("/processes/%s/cancel" % identity)
        if job:
            self.worker.tell(job, "fail", error="stopped")
        self.assertEqual(self.state_of(identity), "canceled")

    def test_002_scheduled_ready_leased(self):
        with self.row("002", "Scheduled", "→ Ready when scheduled_at has passed"):
            identity = self.submit(not_before=hub_rig.now_text(0.7))
            self.assertEqual(self.state_of(identity), "scheduled")
            self.wait_state(identity, "ready")
        with self.row("002", "Scheduled", "→ Canceled"):
            self.cancelled_from(self.submit(not_before=hub_rig.now_text(86400)))
        with self.row("002", "Ready", "→ Leased when leased"):
            job = self.worker.claim("job")[0]
            self.assertEqual(self.state_of(job["process_id"]), "leased")
        with self.row("002", "Leased", "→ Running when execution starts"):
            self.worker.start(job)
            self.assertEqual(self.state_of(job["process_id"]), "running")
        with self.row("002", "Ready", "→ Canceled"):
            self.cancelled_from(self.submit())
        with self.row("002", "Leased", "→ Canceled"):
            self.cancelled_from(self.claimed()[0])
        with self.row("002", "Leased", "→ Ready when the lease expired"):
            identity = self.submit("quick")
            self.assertEqual(len(self.worker.claim("quick")), 1)
            self.wait_state(identity, "ready")
        self.all_rows_hold()

    def test_002_running(self):
        with self.row("002", "Running", "→ RetryWait on failure, if retries remain"):
            identity, job = self.running()
            self.end(job, "fail", error="x", retryable=True)
            self.assertEqual(self.state_of(identity), "retry_wait")
        with self.row("002", "RetryWait", "→ Canceled"):
            self.cancelled_from(identity)
        with self.row("002", "Running", "→ Completed on success"):
            identity, job = self.running()
            self.end(job, "complete", exitCode=0)
            self.assertEqual(self.state_of(identity), "completed")
        with self.row("002", "Completed", "terminal, immutable"):
            self.assertEqual(self.code(self.worker.start(job)), (409, "stale_lease"))
        with self.row("002", "Running", "→ Failed on failure, no retries"):
            identity, job = self.running()
            self.end(job, "fail", error="x", retryable=False)
            self.assertEqual(self.state_of(identity), "failed")
        with self.row("002", "Failed", "terminal, immutable"):
            self.assertEqual(self.code(self.worker.tell(job, "complete")), (409, "stale_lease"))
        with self.row("002", "Running", "→ Canceled"):
            identity, job = self.running()
            self.cancelled_from(identity, job)
        with self.row("002", "Canceled", "terminal, immutable"):
            self.assertEqual(self.code(self.worker.tell(job, "complete")), (409, "stale_lease"))
        self.all_rows_hold()

    def test_002_retry_wait(self):
        with self.row("002", "RetryWait", "→ Ready when backoff completes"):
            identity = self.submit("quick")
            for _ in range(2):
                job = self.claim_one("quick")
                self.worker.start(job)
                self.end(job, "fail", error="x", exitCode=1)
            self.wait_state(identity, "ready")
        with self.row("002", "RetryWait", "→ Failed if no more retries remain"):
            job = self.claim_one("quick")
            self.worker.start(job)
            self.end(job, "fail", error="x", exitCode=1)
            process = self.process(identity)
            self.assertEqual((process["items"][0]["state"], process["attempts"]), ("failed", 3))
        self.all_rows_hold()

    def claim_one(self, name):
        jobs = []
        rig.wait_until(lambda: jobs.extend(self.worker.claim(name)) or jobs, 10, "a claim")
        return jobs[0]

    def test_002_suspended(self):
        with self.row("002", "Running", "→ Suspended (preempted)"):
            identity, job = self.running()
            self.post("/processes/%s/suspend" % identity, status=202)
            self.assertTrue(self.worker.tell(job, "heartbeat").body["suspend"])
            self.worker.tell(job, "fail", error="stopped")
            self.assertEqual(self.state_of(identity), "suspended")
        with self.row("002", "Suspended", "attempts do not count toward the cap"):
            self.assertEqual(self.process(identity)["items"][0]["attempts_counted"], 0)
        with self.row("002", "Suspended", "→ Ready on explicit resume"):
            self.post("/processes/%s/resume" % identity, status=202)
            self.assertEqual(self.state_of(identity), "ready")
        with self.row("002", "Suspended", "→ Canceled"):
            self.free_all()
            identity, job = self.running()
            self.post("/processes/%s/suspend" % identity, status=202)
            self.worker.tell(job, "fail", error="stopped")
            self.cancelled_from(identity)
        with self.row("002", "Suspended", "budget exhaustion keeps further work waiting"):
            self.submit("thrifty")
            self.submit("thrifty")
            job = self.claim_one("thrifty")
            self.worker.start(job)
            self.end(job, "complete", exitCode=0)
            self.assertEqual(self.worker.claim("thrifty"), [])
        self.all_rows_hold()

    # ---- 003: process data model ----

    def test_003_columns(self):
        body = hub_rig.order("job", "r", inputs={"a": 1}, related={"type": "batch", "id": 7},
                             workspace_id=3, queue="imports",
                             requested_by={"system": "t", "user": "u"})
        identity = self.post("/capability-requests/enqueue", body, 202).body["process_id"]
        job = self.claim_one("job")
        self.worker.start(job)
        self.worker.tell(job, "heartbeat", progress_percent=40)
        half = self.process(identity)
        self.end(job, "complete", exitCode=0, summary={"rows": 2}, metrics={})
        process = self.process(identity)
        times = process["timestamps"]
        failed = self.in_status("DEAD_LETTER")
        columns = {
            "id": process["process_id"] == identity, "workspace_id": process["workspace_id"] == 3,
            "user_id": process["requested_by"]["user"] == "u",
            "type": process["process_type"] == "job", "status": process["state"] == "completed",
            "progress_percent": (half["progress_percent"], process["progress_percent"]) == (40, 100),
            "current_step": "current_step" in process,
            "summary": process["summary"]["summary"] == {"rows": 2},
            "error_message": (process["error_message"], failed["error_message"]) == (None, "no"),
            "queue": process["queue"] == "imports", "attempts": process["attempts"] == 1,
            "related_type": process["related"]["type"] == "batch",
            "related_id": process["related"]["id"] == 7,
            "input_payload": process["inputs"] == {"a": 1}, "started_at": times["started_at"],
            "finished_at": times["finished_at"], "created_at": times["created_at"],
            "updated_at": times["updated_at"]}
        for name, holds in columns.items():
            with self.row("003", "Table: processes", name):
                self.assertTrue(holds)
        self.all_rows_hold()

    def test_003_current_step_and_review(self):
        with self.row("003", "Status state machine", "waiting_review"):
            identity = self.submit("reviewed")
            process = self.wait(identity, lambda p: p["state"] == "waiting_review", "the review")
            self.assertEqual(process["status"], "queued")
            self.post("/processes/%s/resume" % identity, status=202)
            self.wait_status(identity, "completed")
            steps = [e["step"] for e in self.events(identity) if e["type"] == "step"]
            self.assertEqual(steps, ["before", "look", "after"])
        with self.row("003", "Status state machine", "waiting_review, other steps left out"):
            identity = self.submit("chosen", inputs={"steps": [{"action": "look"},
                                                               {"action": "after"}]})
            self.wait(identity, lambda p: p["state"] == "waiting_review", "the review")
            self.post("/processes/%s/resume" % identity, status=202)
            self.wait_status(identity, "completed")
            steps = [e["step"] for e in self.events(identity) if e["type"] == "step"]
            self.assertEqual(steps, ["look", "after"])
        with self.row("003", "Table: processes", "current_step while it runs"):
            identity = self.submit("nap", inputs={"seconds": "20"})
            self.wait(identity, lambda p: p["current_step"] == "nap", "the step")
        for internal, state in (("PLANNED", "pending"), ("EXECUTING", "running"),
                                ("DONE", "completed"), ("DEAD_LETTER", "failed"),
                                ("CANCELLED", "cancelled")):
            with self.row("003", "Status state machine", state):
                self.assertEqual(self.in_status(internal)["state"], state)
        with self.row("003", "Status state machine", "POST /processes/{id}/retry: failed → pending"):
            process = self.in_status("DEAD_LETTER")
            self.post("/processes/%s/retry" % process["process_id"], status=202)
            process = self.process(process["process_id"])
            self.assertEqual((process["state"], process["generation"]), ("pending", 2))
            self.assertIsNone(process["timestamps"]["finished_at"])
        with self.row("003", "Status state machine", "POST /processes/{id}/cancel: → cancelled"):
            self.post("/processes/%s/cancel" % process["process_id"], status=200)
        for name in ("ai_location_import", "ai_location_improvement", "csv_import"):
            with self.row("003", "Job types", name):
                self.wait_status(self.submit(name), "completed")
        self.all_rows_hold()

    def test_003_events(self):
        identity = self.submit("echo")
        self.wait_status(identity, "completed")
        events = self.events(identity)
        for name in ("id", "process_id", "type", "status", "progress_percent", "step", "message",
                     "payload", "created_at"):
            with self.row("003", "Table: process_events", name):
                self.assertTrue(all(name in event for event in events))
        with self.row("003", "ProcessEvent log", "immutable, ordered ascending by id"):
            self.assertEqual([e["id"] for e in events], list(range(1, len(events) + 1)))
            self.assertEqual(self.events(identity), events)
        with self.row("003", "SSE streaming", "emits each event, closes at a terminal status"):
            stream = hub_rig.Stream(self.port, identity)
            self.assertEqual([e for _, e in stream.rest()], events)
            stream.close()
        with self.row("003", "SSE streaming", "the frontend reconnects"):
            stream = hub_rig.Stream(self.port, identity, last_id=3)
            self.assertEqual(stream.next()[0], 4)
            stream.close()
        self.all_rows_hold()

    # ---- 004: job status updates ----

    def test_004_lifecycle(self):
        identity = self.submit()
        def status():
            return self.process(identity)["items"][0]["job_status"]
        with self.row("004", "Status Definitions", "queued"):
            self.assertEqual(status(), "queued")
        with self.row("004", "Queued → Claimed", "GET /api/internal/jobs/queue"):
            job = self.worker.claim("job")[0]
            self.assertEqual((status(), job["orchestratorId"]), ("claimed", "w-1"))
        with self.row("004", "Queued → Claimed", "only unclaimed jobs can be claimed"):
            self.assertEqual(Worker(self, "w-2").claim("job"), [])
        with self.row("004", "Claimed → Running", "/acknowledge"):
            self.end(job, "acknowledge")
        with self.row("004", "Claimed → Running", "verifies orchestrator ownership"):
            self.assertEqual(self.code(Worker(self, "w-2").start(job)), (409, "stale_lease"))
        with self.row("004", "Claimed → Running", "PUT /api/internal/jobs/[jobId]/status"):
            started = self.worker.start(job).body
            self.assertEqual((started["status"], status()), ("running", "running"))
        with self.row("004", "Claimed → Running", "sets startedAt"):
            self.assertRegex(started["startedAt"], hub_rig.TIME)
        with self.row("004", "Running → Completed/Failed", "POST …/complete: exit code 0 → completed"):
            done = self.end(job, "complete", exitCode=0, output="hello", metrics={"ms": 5})
            self.assertEqual((done["status"], status()), ("completed", "completed"))
        with self.row("004", "Running → Completed/Failed", "sets completedAt, stores the result"):
            self.assertRegex(done["completedAt"], hub_rig.TIME)
            self.assertEqual(done["result"], {"exitCode": 0, "output": "hello", "error": None,
                                              "metrics": {"ms": 5}, "summary": None})
        with self.row("004", "Running → Completed/Failed", "POST …/fail"):
            _, job = self.running()
            failed = self.end(job, "fail", error="broken", retryable=False)
            self.assertEqual((failed["status"], failed["lastError"]), ("failed", "broken"))
        with self.row("004", "Status Definitions", "cancelled"):
            self.assertEqual(self.in_status("CANCELLED")["job_status"], "cancelled")
        for name in ("id", "status", "orchestratorId", "startedAt", "completedAt", "result",
                     "attempts", "lastError"):
            with self.row("004", "Jobs Table Schema", name):
                self.assertIn(name, done)
        with self.row("004", "Best Practices", "no COMPLETED → RUNNING"):
            self.assertEqual(self.code(self.worker.start(job)), (409, "stale_lease"))
        self.all_rows_hold()

    def test_004_scenarios(self):
        cases = (("Success Path: exit code 0 → COMPLETED", {"exitCode": 0}, "completed", None),
                 ("Failure Path: exit code 1 → FAILED", {"exitCode": 1}, "failed", "exit_code"),
                 ("Exception Path: unhandled error → FAILED", {"error": "Traceback"}, "failed",
                  "internal"),
                 ("Container Failures", {"error": {"message": "oom", "category": "container"}},
                  "failed", "container"),
                 ("Timeout Errors", {"error": {"message": "late", "category": "timeout"}}, "failed",
                  "timeout"),
                 ("Mixed Output: both stdout and error", {"exitCode": 3, "output": "out",
                                                          "error": "err"}, "failed", "exit_code"))
        for row, end, status, category in cases:
            with self.row("004", "Test Scenarios, Error Sources", row):
                identity, job = self.running()
                body = self.end(job, "complete", retryable=False, **end)
                self.assertEqual(body["status"], status)
                error = self.process(identity)["error"]
                self.assertEqual(error and error["category"], category)
                if "output" in end:
                    self.assertEqual((body["result"]["output"], body["lastError"]), ("out", "err"))
        with self.row("004", "Test Scenarios", "Long Running: multiple status updates"):
            identity, job = self.running()
            for percent in (10, 60, 90):
                self.worker.tell(job, "heartbeat", progress_percent=percent)
                self.assertEqual(self.process(identity)["progress_percent"], percent)
            self.end(job, "complete", exitCode=0)
        with self.row("004", "Error Sources", "System Errors: the worker disappears"):
            identity = self.submit("quick")
            self.worker.start(self.claim_one("quick"))
            process = self.wait(identity, lambda p: p["errors"], "the lease is over")
            self.assertEqual(process["errors"][0]["category"], "lease_expired")
        self.free_all()
        with self.row("004", "Limitations lifted", "structured categories, error history"):
            identity = self.submit("quick")
            for _ in range(3):
                job = self.claim_one("quick")
                self.worker.start(job)
                self.end(job, "fail", error="e", exitCode=2)
            errors = self.process(identity)["errors"]
            self.assertEqual([(e["attempt"], e["category"], e["exit_code"]) for e in errors],
                             [(n, "exit_code", 2) for n in (1, 2, 3)])
        self.all_rows_hold()

    def test_004_claims_lists_and_security(self):
        with self.row("004", "Queued → Claimed", "atomic batch claim by type"):
            for _ in range(4):
                self.submit()
            first = self.worker.claim("job", 2)
            second = Worker(self, "w-2").claim("job,quick", 9)
            ids = {j["id"] for j in first + second}
            self.assertEqual((len(first), len(second), len(ids)), (2, 2, 4))
        with self.row("004", "Database Efficiency", "batch status updates"):
            updates = [{"id": j["id"], "worker": "w-1", "lease_token": j["lease_token"],
                        "status": "running"} for j in first]
            results = self.post("/api/internal/jobs/status", {"updates": updates}, 200).body
            self.assertEqual([r["status_code"] for r in results["results"]], [200, 200])
        with self.row("004", "Concurrent Updates", "optimistic concurrency via timestamps"):
            self.worker.tell(first[0], "heartbeat", timestamp="2026-01-01T00:00:02Z")
            answer = self.worker.tell(first[0], "heartbeat", timestamp="2026-01-01T00:00:01Z")
            self.assertEqual(self.code(answer), (409, "older_timestamp"))
        with self.row("004", "API Authentication", "401 without a token"):
            answer = self.new_client("no").get("/api/internal/jobs/queue?worker=w")
            self.assertEqual(self.code(answer), (401, "unauthorized"))
        with self.row("004", "JobsTable", "sortable, filterable by status and failed"):
            failed = self.in_status("DEAD_LETTER")["process_id"]
            rows = self.client.get("/processes?failed=1&limit=5").body["processes"]
            self.assertIn(failed, [r["process_id"] for r in rows])
            self.assertEqual({r["status"] for r in rows}, {"failed_terminal"})
            newest = self.client.get("/processes?limit=200").body["processes"]
            oldest = self.client.get("/processes?limit=200&sort=oldest").body["processes"]
            self.assertEqual([r["process_id"] for r in oldest],
                             [r["process_id"] for r in reversed(newest)])
            page = self.client.get("/processes?limit=2&sort=oldest").body
            rest = self.client.get("/processes?limit=1&sort=oldest&cursor=%s" % page["next_cursor"])
            self.assertEqual(rest.body["processes"][0], oldest[2])
            self.assertEqual(self.code(self.client.get("/processes?sort=up")),
                             (400, "malformed_query"))
            rows = self.client.get("/processes?status=executing").body["processes"]
            self.assertEqual({r["status"] for r in rows}, {"executing"})
        with self.row("004", "Job Details Page", "complete error, exit code, full logs, attempts"):
            identity, job = self.running()
            self.end(job, "complete", exitCode=9, output="long output", retryable=False)
            error = self.process(identity)["error"]
            self.assertEqual((error["exit_code"], error["output_tail"]), (9, "long output"))
            self.assertEqual(self.client.get("/artifacts/%s/1" % job["id"]).body, "long output")
        with self.row("004", "Update Propagation", "< 100 ms"):
            _, job = self.claimed()
            times = []
            for _ in range(5):
                started = time.monotonic()
                self.worker.start(job)
                times.append(time.monotonic() - started)
            self.assertLess(sorted(times)[2], 0.1 * rig.SLOW)
        for name in ("hub_transitions_total", "hub_state_seconds_bucket", "hub_errors_total",
                     "hub_items_stuck", "hub_status_update_seconds_bucket"):
            with self.row("004", "Key Metrics", name):
                self.assertTrue(name in self.client.get("/metrics").body)
        self.all_rows_hold()

    def test_004_the_example_worker_runs_jobs(self):
        with self.row("004", "For Orchestrator Developers", "docs/examples/worker.py"):
            identity = self.submit("job", inputs={"command": "echo from the worker"})
            failing = self.submit("job", inputs={"command": "exit 3"})
            subprocess.run(
                [sys.executable, rig.ROOT + "/docs/examples/worker.py", "--url",
                 "http://127.0.0.1:%d" % self.port, "--token", hub_rig.SECRET, "--types", "job",
                 "--name", "w-1", "--jobs", "2"], check=True, timeout=60 * rig.SLOW)
            process = self.process(identity)
            self.assertEqual((process["status"], process["result"]["output"]),
                             ("completed", "from the worker\n"))
            self.assertEqual(self.process(failing)["errors"][0]["exit_code"], 3)
        self.all_rows_hold()
