"""The whole contract: every operation and every status that the OpenAPI document names, every error
body by code and pointer, and that a refusal leaves nothing behind."""

import socket

import hub_rig
import rig
from conformance_rig import ConformanceCase, Worker

# Every refusal for want of room stands in a test of its own: these here, or where it is said.
NOT_SHOWN = {"503"}
OF_OTHERS = {("GET", "/processes/{id}/stream"): "conformance_stream_test",
             ("GET", "/stream"): "dashboard_test", ("POST", "/phones/{id}/power"): "usb_recovery_test",
             ("GET", "/artifacts/{item}/{attempt}"): "Contract",
             ("POST", "/phones/{id}/adb"): "here, of a hub that serves none"}
BODY_BYTES = 65536


def head_of(client):
    """What the log's last record is: the same as long as nothing was changed."""
    text = client.get("/metrics").body
    return next(x for x in text.splitlines() if x.startswith("hub_store_head_seq "))


class Contract(ConformanceCase):
    limit_seconds = 120
    extra_config = "[artifacts]\ndir = FOLDER/artifacts\nmax_bytes = 8KiB\n"

    def refused(self, answer, status, code, pointer=None):
        self.assertEqual(answer.status, status, answer)
        error = answer.body["error"]
        self.assertEqual(error["code"], code)
        self.assertTrue(error["message"])
        if pointer is not None:
            self.assertEqual(error.get("pointer"), pointer)

    def head(self):
        return head_of(self.client)

    def test_every_operation_and_status_of_the_document_is_met(self):
        self.exercise_processes()
        self.exercise_legacy()
        self.free_all()
        self.exercise_workers()
        self.free_all()
        self.exercise_phones()
        self.exercise_watching()
        self.exercise_scopes()
        self.exercise_large_bodies()
        for path in ("/capabilities", "/slots", "/openapi.json", "/history", "/whoami", "/metrics", "/healthz", "/readyz"):
            self.assertEqual(self.client.get(path).status, 200)
        wanted, seen = set(), self.contract.seen
        for method, path, operation in self.contract.operations("hub"):
            for status in operation["responses"]:
                if status not in NOT_SHOWN:
                    wanted.add((method, path, status))
        adb = ("POST", "/phones/{id}/adb")  # this hub serves none; adb_lease_test has its own
        wanted -= {adb + ("200",), adb + ("409",)}
        wanted.discard(("POST", "/phones/{id}/power", "202"))  # needs a USB hub
        self.assertEqual(sorted(wanted - seen), [])

    def exercise_processes(self):
        enqueue, maintenance = "/capability-requests/enqueue", "/maintenance/requests"
        body = hub_rig.order("maintenance", "x-1", phone="C001",
                             callback={"url": "http://127.0.0.1:9/", "metadata": {}})
        accepted = self.post(enqueue, body, 202).body
        self.assertEqual(accepted["callback_status"], "host_not_allowed")
        again = self.post(enqueue, body, 200).body
        self.assertEqual((again["duplicate"], again["process_id"]), (True, accepted["process_id"]))
        self.assertTrue(self.post(enqueue, dict(body, priority=1), 200).body["duplicate_differs"])
        self.refused(self.post(enqueue, b"{"), 400, "malformed_json")
        self.refused(self.post(enqueue, {}), 422, "missing_member", "")
        body = {"request_id": "m-1", "account_id": "a", "requested_by": {"system": "t"},
                "inputs": {"steps": [{"action": "battery", "params": {}}], "metadata": {}}}
        self.post(maintenance, body, 202)
        self.post(maintenance, body, 200)
        self.post(maintenance, dict(body, request_id="m-2", target={"phone_id": "C002"}), 202)
        self.refused(self.post(maintenance, b"[1,"), 400, "malformed_json")
        self.refused(self.post(maintenance, dict(body, target={"phone_id": "no"})), 422,
                     "unknown_phone", "/target/phone_id")
        identity = accepted["process_id"]
        self.wait_status(identity, "completed")
        path = "/processes/" + identity
        self.assertEqual(self.client.get("/processes?status=completed&limit=1").status, 200)
        self.refused(self.client.get("/processes?limit=x"), 400, "malformed_query")
        self.refused(self.client.get("/phones?limit=x"), 400, "malformed_query")
        for what in ("/events", "/events?after=2&limit=1"):
            self.assertEqual(self.client.get(path + what).status, 200)
        self.refused(self.client.get(path + "/events?after=x"), 400, "malformed_query")
        self.assertEqual(self.client.get(path + "/stream").status, 200)
        last = {"Last-Event-ID": str(self.process(identity)["last_event_id"])}
        self.assertEqual(self.client.get(path + "/stream", last).status, 204)
        self.assertEqual(self.client.get(path + "/stream", {"Last-Event-ID": "x"}).status, 400)
        for what in ("", "/events", "/stream"):
            self.refused(self.client.get("/processes/hub-c-1-99999" + what), 404, "not_found")
        for what in ("cancel", "suspend", "resume", "retry", "settle"):
            sent = {"outcome": "done"} if what == "settle" else None
            self.refused(self.post("/processes/nothing/" + what, sent), 404, "not_found")
        item = "/artifacts/%s.1/1" % identity
        self.assertIn("--- battery ---", self.client.get(item).body)
        self.refused(self.client.get("/artifacts/%s.1/2" % identity), 404, "not_found")
        self.exercise_control()

    def exercise_control(self):
        identity, job = self.running()
        path = "/processes/%s/" % identity
        self.refused(self.post(path + "retry"), 409, "not_terminal")
        self.post(path + "suspend", status=202)
        self.post(path + "resume", status=202)
        self.post(path + "cancel", status=202)
        self.worker.tell(job, "fail", error="x")
        for what in ("cancel", "suspend", "resume"):
            self.refused(self.post(path + what), 409, "already_terminal")
        self.post("/processes/%s/cancel" % self.submit(), status=200)
        identity, job = self.running()
        self.worker.tell(job, "fail", error="x", retryable=False)
        self.post("/processes/%s/retry" % identity, status=202)
        self.refused(self.post(path + "retry"), 409, "not_retryable")
        self.exercise_settle()

    def exercise_settle(self):
        identity = self.submit("once")
        process = self.wait_state(identity, "suspended")
        self.assertEqual(process["status_detail"], "suspended_as_uncertain")
        path = "/processes/%s/settle" % identity
        self.refused(self.post(path, b"{"), 400, "malformed_json")
        self.refused(self.post(path, {"outcome": "maybe"}), 422, "invalid_member", "/outcome")
        self.refused(self.post(path, {"outcome": "done", "item_id": "x"}), 422, "unknown_item",
                     "/item_id")
        self.assertEqual(self.post(path, {"outcome": "done", "item_id": identity + ".1"},
                                   200).body["status"], "completed")
        two = self.submit("once", phones=["C001", "C002"])
        self.wait(two, lambda p: p["partial_progress"]["suspended"] == 2, "both are suspended")
        path = "/processes/%s/settle" % two
        self.post(path, {"outcome": "failed", "item_id": two + ".1"}, 202)
        self.post(path, {"outcome": "done"}, 200)
        self.assertEqual(self.process(two)["internal_status"], "PARTIAL")
        self.refused(self.post(path, {"outcome": "done"}), 409, "already_terminal")

    def exercise_legacy(self):
        good = {"content_id": "c-1", "account_id": "a-1", "video_path": "https://v/x.mp4",
                "caption": "hello", "hashtags": ["x"], "metadata": {},
                "scheduling_hint": hub_rig.now_text(86400)}
        first = self.post("/ingest", good, 202).body
        again = self.post("/ingest", good, 200).body
        self.assertEqual((first["status"], again["status"]), ("accepted", "duplicate"))
        self.assertEqual(again["queue_item_id"], first["queue_item_id"])
        self.assertEqual(again["queue_status"], "SCHEDULED")
        self.refused(self.post("/ingest", b""), 400, "malformed_json")
        for change, pointer in (({"caption": ""}, "/caption"), ({"caption": "x" * 4001}, "/caption"),
                                ({"video_path": "file:///x"}, "/video_path"),
                                ({"scheduling_hint": "soon"}, "/scheduling_hint"),
                                ({"hashtags": "x"}, "/hashtags"), ({"metadata": []}, "/metadata"),
                                ({"callback_url": "x"}, "/callback_url")):
            self.refused(self.post("/ingest", dict(good, content_id="c-2", **change)), 422,
                         "invalid_callback" if "callback_url" in change else "invalid_member",
                         pointer)
        for name in ("content_id", "account_id", "video_path", "caption"):
            body = {key: value for key, value in good.items() if key != name}
            self.refused(self.post("/ingest", body), 422, "missing_member", "")
        done = self.post("/cancel", {"account_id": "a-1", "content_id": "c-1"}, 200).body
        self.assertEqual((done["status"], done["queue_status"]), ("cancelled", "CANCELLED"))
        self.refused(self.post("/cancel", {"queue_item_id": first["queue_item_id"]}), 409,
                     "already_terminal")
        self.refused(self.post("/cancel", {"queue_item_id": "no"}), 404, "not_found")
        self.refused(self.post("/cancel", {"queue_item_id": first["queue_item_id"][:-1] + "9"}), 404,
                     "not_found")
        self.refused(self.post("/cancel", {"account_id": "a-1", "content_id": "c-9"}), 404,
                     "not_found")
        self.refused(self.post("/cancel", {}), 422, "missing_member")
        self.refused(self.post("/cancel", b"x"), 400, "malformed_json")

    def exercise_workers(self):
        queue = "/api/internal/jobs/queue"
        self.refused(self.client.get(queue), 422, "missing_member", "/worker")
        self.refused(self.client.get(queue + "?worker=w&batch=x"), 400, "malformed_query")
        self.refused(self.client.get(queue + "?worker=w&types=nothing"), 422,
                     "unknown_process_type", "/types")
        self.refused(self.client.get(queue + "?worker=w&types=echo"), 422,
                     "unknown_process_type", "/types")
        self.refused(self.post(queue, b"{"), 400, "malformed_json")
        self.refused(self.post(queue, {"types": [7]}), 422, "invalid_member", "/types/0")
        identity = self.submit("job", inputs={"a": [1]})
        body = {"worker": "w-1", "batch": 3, "types": ["job"], "claim_id": "c"}
        jobs = self.post(queue, body, 200).body["jobs"]
        self.assertEqual([(j["process_id"], j["inputs"]) for j in jobs], [(identity, {"a": [1]})])
        job = jobs[0]
        for what in ("acknowledge", "status", "heartbeat", "complete", "fail"):
            method = "PUT" if what == "status" else "POST"
            self.refused(self.worker.tell(dict(job, id="hub-c-1-1.77"), what, method), 404,
                         "not_found")
            path = "/api/internal/jobs/%s/%s" % (job["id"], what)
            self.refused(self.client.call(method, path, b"{"), 400, "malformed_json")
            self.refused(self.client.call(method, path, {"worker": "w-1"}), 422, "missing_member")
            self.refused(self.worker.tell(dict(job, lease_token="5"), what, method), 409,
                         "stale_lease")
        self.assertEqual(self.worker.tell(job, "acknowledge").status, 200)
        self.refused(self.worker.tell(job, "complete"), 409, "illegal_transition")
        self.assertEqual(self.worker.start(job).body["status"], "running")
        self.refused(self.worker.tell(job, "heartbeat", progress_percent=101), 422,
                     "invalid_member", "/progress_percent")
        self.assertEqual(self.worker.tell(job, "heartbeat", progress_percent=30).status, 200)
        for change, pointer in (({"exitCode": "0"}, "/exitCode"), ({"output": 7}, "/output"),
                                ({"metrics": []}, "/metrics"), ({"result": 7}, "/result"),
                                ({"error": {"category": "x"}}, "/error"),
                                ({"retryable": "yes"}, "/retryable"),
                                ({"timestamp": "now"}, "/timestamp")):
            self.refused(self.worker.tell(job, "complete", **change), 422, "invalid_member", pointer)
        output = "".join("line %d\n" % i for i in range(2000))
        ended = self.worker.tell(job, "complete", exitCode=0, output=output,
                                 metrics={"frames": 3}).body
        self.assertEqual((ended["status"], ended["result"]["metrics"]), ("completed", {"frames": 3}))
        self.assertTrue(output.endswith(ended["result"]["output"]))
        whole = self.client.get("/artifacts/%s/1" % job["id"]).body
        self.assertTrue(output.startswith(whole[:4000]))
        self.assertLessEqual(len(whole), 8192)
        self.assertIn("cut", whole[-60:])
        self.exercise_failures()
        self.exercise_batch()

    def exercise_failures(self):
        _, job = self.running()
        job = self.worker.tell(job, "fail", error={"message": "no", "code": "c"},
                               retryable=True).body
        self.assertEqual((job["status"], job["lastError"]), ("queued", "no"))

    def exercise_batch(self):
        path = "/api/internal/jobs/status"
        self.refused(self.post(path, b"{"), 400, "malformed_json")
        self.refused(self.post(path, {}), 422, "missing_member")
        self.refused(self.post(path, {"updates": [7]}), 422, "invalid_member", "/updates/0")
        jobs = [self.claimed()[1] for _ in range(3)]
        update = [{"id": j["id"], "worker": "w-1", "lease_token": j["lease_token"],
                   "status": "running"} for j in jobs]
        before = self.head()
        self.refused(self.post(path, {"updates": [update[0], dict(update[1], status="flying")]}),
                     422, "invalid_member", "/updates/1/status")
        self.assertEqual(self.head(), before)
        update[1]["lease_token"] = "1"
        update.append(dict(update[2], id="hub-c-1-1.99"))
        results = self.post(path, {"updates": update}, 200).body["results"]
        self.assertEqual([r["status_code"] for r in results], [200, 409, 200, 404])
        self.assertEqual(results[1]["error"]["code"], "stale_lease")
        self.assertEqual(results[0]["job"]["status"], "running")
        ends = [dict(update[0], status="completed", exitCode=0), dict(update[2], status="failed",
                                                                     error="x", retryable=False)]
        results = self.post(path, {"updates": ends}, 200).body["results"]
        self.assertEqual([r["job"]["status"] for r in results], ["completed", "failed"])

    def exercise_phones(self):
        self.assertEqual(len(self.client.get("/phones").body["phones"]), self.phones)
        self.assertEqual(self.client.get("/phones/C001").status, 200)
        self.refused(self.client.get("/phones/no"), 404, "not_found")
        phone = self.post("/phones/C006/quarantine", {"reason": "swollen"}, 200).body
        self.assertEqual((phone["state"], phone["reason"]), ("quarantined", "swollen"))
        self.refused(self.post("/phones/C006/quarantine"), 409, "already_quarantined")
        self.refused(self.post("/phones/C005/quarantine", b"{"), 400, "malformed_json")
        self.refused(self.post("/phones/C005/quarantine", {"reason": "x" * 200}), 422,
                     "invalid_member", "/reason")
        self.post("/phones/C006/release", status=200)
        rig.wait_until(lambda: self.client.get("/phones/C006").body["state"] == "ready", 10,
                       "the phone is back")
        self.refused(self.post("/phones/C006/release"), 409, "not_quarantined")
        labels = self.post("/phones/C006/label", {"labels": ["fast", "rack-2"]}, 200).body["labels"]
        self.assertEqual(labels, ["fast", "rack-2"])
        self.refused(self.post("/phones/C006/label", {"labels": ["a b"]}), 422, "invalid_member")
        self.refused(self.post("/phones/C006/label", b"{"), 400, "malformed_json")
        self.refused(self.post("/phones/C006/power"), 409, "no_port_power")
        for what in ("quarantine", "release", "label", "power", "adb"):
            self.refused(self.post("/phones/no/" + what, {"labels": []}), 404, "not_found")
        self.refused(self.post("/phones/C006/adb", b"{"), 400, "malformed")
        self.refused(self.post("/phones/C006/adb", {"lease_token": "1"}), 503, "adb_off")

    def exercise_watching(self):
        headers = {"Last-Event-ID": "x"}
        self.refused(self.client.get("/stream", headers=headers), 400, "malformed_header")
        stream = hub_rig.Stream(self.port, path="/stream")
        self.assertEqual(stream.status, 200)
        stream.close()
        self.contract.seen.add(("GET", "/stream", "200"))
        self.refused(self.new_client("wrong").get("/whoami"), 401, "unauthorized")
        self.refused(self.client.get("/processes?since=yesterday"), 400, "malformed_query")

    def exercise_scopes(self):
        stranger, reader = self.new_client("wrong"), self.new_client("reader-secret")
        submitter = self.new_client("bound-secret")
        for method, path, operation in self.contract.operations("hub"):
            if "x-scope" not in operation:
                continue
            target = path.replace("{id}", "x").replace("{item}", "x").replace("{attempt}", "1")
            self.refused(stranger.call(method, target), 401, "unauthorized")
            # Neither may work or operate; the reader may not submit.
            weak = submitter if operation["x-scope"] != "submit" else reader
            if operation["x-scope"] == "read":
                self.forbidden_to_workers(method, target)
            else:
                self.refused(weak.call(method, target), 403, "forbidden")
        body = hub_rig.order("echo", requested_by={"system": "other"})
        self.refused(submitter.post("/capability-requests/enqueue", body), 403, "forbidden",
                     "/requested_by/system")

    def exercise_large_bodies(self):
        """Whoever takes a body says how much of one is too much, whatever it is about."""
        for method, path, operation in self.contract.operations("hub"):
            if "requestBody" in operation:
                self.refused(self.new_client().call(method, path.replace("{id}", "x"),
                                                    b" " * (BODY_BYTES + 1)), 413, "body_too_large")

    def forbidden_to_workers(self, method, target):
        worker = self.new_client("worker-secret")
        self.refused(worker.call(method, target), 403, "forbidden")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with open(cls.folder + "/tokens", "a", encoding="utf-8") as file:
            file.write("worker worker worker-secret\n")
        cls.hub.signal(1)  # SIGHUP: tokens are read again
        cls.hub.wait_for("reloaded", 10)

    def test_more_downloads_at_once_than_there_are_places(self):
        identity = self.submit("echo")
        self.wait_status(identity, "completed")
        path = "/artifacts/%s.1/1" % identity
        with open(self.folder + "/artifacts/%s.1.1.log" % identity, "ab") as file:
            file.write(b"x" * (16 << 20))  # more than a connection's buffers take
        readers = [hub_rig.Stream(self.port, path=path) for _ in range(16)]
        self.assertEqual({reader.status for reader in readers}, {200})
        self.refused(self.client.get(path), 503, "capacity_exhausted")
        for reader in readers:
            reader.close()
        rig.wait_until(lambda: self.client.get(path).status == 200, 10, "a place is free again")

    def test_unknown_paths_and_methods(self):
        self.refused(self.client.get("/nothing"), 404, "not_found")
        self.refused(self.client.post("/processes"), 405, "method_not_allowed")
        self.refused(self.client.call("PUT", "/phones"), 405, "method_not_allowed")

    def test_a_refused_request_leaves_nothing_behind(self):
        before = self.head()
        bad = [hub_rig.order("echo", "k", phones=["C001", "no"]),
               hub_rig.order("echo", "k", labels=["a b"]),
               hub_rig.order("manual", "k", mode="unattended"),
               hub_rig.order("narrow", "k"),
               dict(hub_rig.order("echo", "k"), target={"routing": "group", "phone_ids": ["C001"],
                                                       "account_ids": ["a", "b"]})]
        for body in bad:
            answer = self.client.post("/capability-requests/enqueue", body)
            self.assertEqual(answer.status, 422, answer)
        self.assertEqual(self.head(), before)
        self.assertEqual(self.post("/capability-requests/enqueue", hub_rig.order("echo", "k")).status,
                         202)


class Stopping(ConformanceCase):
    """A hub that was told to stop still answers: it takes nothing on, and says so."""

    phones = 1
    grace_seconds = 50

    def test_every_refusal_for_want_of_room(self):
        failed, job = self.running()
        self.worker.tell(job, "fail", error="x", retryable=False)
        running = self.submit("nap", inputs={"seconds": "40"})
        self.wait_state(running, "running")
        head = head_of(self.client)
        self.hub.signal(15)
        self.hub.wait_for("stopping", 10)
        legacy = {"content_id": "c", "account_id": "a", "video_path": "http://v/1", "caption": "x"}
        maintenance = {"account_id": "a", "inputs": {"steps": []}, "requested_by": {"system": "t"}}
        calls = {"/capability-requests/enqueue": hub_rig.order("echo"), "/ingest": legacy,
                 "/maintenance/requests": maintenance, "/processes/%s/retry" % failed: None}
        for path, body in calls.items():
            answer = self.post(path, body)
            self.assertEqual(self.code(answer), (503, "capacity_exhausted"))
            self.assertEqual(answer.headers["Retry-After"], "1")
        self.assertEqual(self.code(self.client.get("/readyz")), (503, "not_ready"))
        self.assertEqual(self.worker.claim("job"), [])
        self.assertEqual(head_of(self.client), head)
        self.post("/processes/%s/cancel" % running, status=202)
        self.assertEqual(self.hub.wait(20), 0)
        wanted = {(method, path) for method, path, operation in self.contract.operations("hub")
                  if "503" in operation["responses"]}
        seen = {(method, path) for method, path, status in self.contract.seen if status == "503"}
        self.assertEqual(wanted - seen, set(OF_OTHERS))


class Survival(ConformanceCase):
    """What outlives a kill: both families of keys, holds, labels."""

    phones = 2

    def again(self):
        self.hub.kill()
        type(self).start_hub()
        self.client = self.new_client()
        self.worker = Worker(self)

    def test_both_families_of_keys_outlive_a_kill(self):
        path, body = "/capability-requests/enqueue", hub_rig.order("job", "same")
        first = self.post(path, body, 202).body["process_id"]
        legacy = {"content_id": "c", "account_id": "a", "video_path": "http://v/1", "caption": "x",
                  "scheduling_hint": hub_rig.now_text(86400)}
        item = self.post("/ingest", legacy, 202).body["queue_item_id"]
        self.again()
        self.assertEqual(self.post(path, body, 200).body["process_id"], first)
        self.assertEqual(self.post("/ingest", legacy, 200).body["queue_item_id"], item)
        # The two families are separate, and so are systems and types.
        other = hub_rig.order("job", "c", requested_by={"system": "legacy"})
        self.post(path, other, 202)
        self.post(path, dict(body, requested_by={"system": "else"}), 202)
        self.post(path, dict(body, capability="quick"), 202)

    def test_hold_and_labels_outlive_a_kill(self):
        identity = self.submit()
        self.post("/processes/%s/suspend" % identity, status=202)
        self.post("/phones/C001/label", {"labels": ["fast"]}, 200)
        self.again()
        self.assertEqual(self.process(identity)["status_detail"], "held")
        self.assertEqual(self.worker.claim("job"), [])
        self.assertEqual(self.client.get("/phones/C001").body["labels"], ["fast"])
        self.post("/processes/%s/resume" % identity, status=202)
        self.assertEqual(len(self.worker.claim("job")), 1)
