"""What upstream answers is what the OpenAPI document says, as what a hub answers: every operation that
it serves, with an answer that is one and a refusal."""

import unittest

import conformance_rig
import fleet_rig
import hub_rig
import openapi
import rig

HUB_ONLY = "hub_only"


class FleetContract(fleet_rig.FleetCase):
    limit_seconds = 180
    contract = None

    def checked(self, secret=hub_rig.SECRET):
        client = conformance_rig.CheckedClient(self.port, secret)
        client.contract = self.contract
        self.addCleanup(client.close)
        return client

    def setUp(self):
        super().setUp()
        self.write("capabilities/bad.ini", "[capability]\nname = bad\nattempts = 1\n"
                   "[action.one]\ntype = shell\ncommand = exit 3\n")
        self.start_fleet(2)
        self.contract = openapi.Contract(self.client.get("/openapi.json").body)
        self.client = self.checked()

    def done(self, method, path, body=None, status=200):
        answer = self.client.call(method, path, body)
        self.assertEqual(status, answer.status, answer)
        return answer

    def exercise(self):
        enqueue = "/capability-requests/enqueue"
        body = hub_rig.order("quick", "c-1")
        identity = self.done("POST", enqueue, body, 202).body["process_id"]
        self.assertTrue(self.done("POST", enqueue, body).body["duplicate"])
        self.wait_end(identity)
        self.done("POST", "/maintenance/requests", {
            "request_id": "m-1", "account_id": "a", "requested_by": {"system": "t"},
            "inputs": {"steps": [{"action": "battery", "params": {}}], "metadata": {}}}, 202)
        for path in ("/processes?limit=1", "/processes?hub=hub-1", "/processes/" + identity,
                     "/processes/%s/events" % identity, "/processes/%s/stream" % identity,
                     "/phones?hub=hub-1", "/phones?limit=1", "/phones/HUB-1-001", "/capabilities",
                     "/hubs", "/hubs?limit=1&cursor=", "/history", "/whoami", "/metrics",
                     "/openapi.json", "/healthz", "/readyz"):
            self.done("GET", path)
        held = self.done("POST", enqueue, hub_rig.order("short", inputs={"seconds": 30}), 202)
        path = "/processes/%s/" % held.body["process_id"]
        self.wait_status(held.body["process_id"], "executing")
        for what in ("suspend", "resume", "cancel"):
            self.done("POST", path + what, status=202)
        self.wait_end(held.body["process_id"])
        failed = self.done("POST", enqueue, hub_rig.order("bad"), 202).body["process_id"]
        self.wait_end(failed)
        self.done("POST", "/processes/%s/retry" % failed, status=202)
        looked = self.done("POST", enqueue, hub_rig.order("review"), 202).body["process_id"]
        self.wait_for_review(looked)
        self.done("POST", "/processes/%s/settle" % looked, {"outcome": "done"}, 202)
        self.done("POST", "/hubs/hub-1/release")
        self.exercise_own_of_hub()

    def exercise_own_of_hub(self):
        """What a hub took itself: upstream shows it, and passes orders on."""
        own = self.hubs["hub-1"].client.post("/capability-requests/enqueue", hub_rig.order(
            "short", inputs={"seconds": 30}))
        identity = own.body["process_id"]
        rig.wait_until(lambda: self.client.get("/processes/" + identity).status == 200, 20,
                       "upstream has heard of it")
        self.wait_status(identity, "executing")
        self.assertTrue(self.done("POST", "/processes/%s/cancel" % identity, status=202).body["forwarded"])
        self.wait_end(identity)

    def wait_for_review(self, identity):
        def waits():
            return self.process(identity)["items"][0]["state"] == "suspended"
        rig.wait_until(waits, 20, "it waits for a person")

    def refuse(self, stranger):
        """Nobody gets in without a token; and what is not there is not found."""
        for method, path, operation in self.contract.operations("upstream"):
            target = path.replace("{id}", "nothing-1-1")
            if "x-scope" in operation:
                self.assertEqual(401, stranger.call(method, target).status)
            if "404" in operation["responses"] and method == "GET":
                self.assertEqual(404, self.client.call(method, target).status)
        self.assertEqual(404, self.client.post("/hubs/nobody/release").status)
        self.assertEqual(400, self.client.get("/hubs?limit=x").status)

    def test_every_operation_of_upstream_answers_as_the_document_says(self):
        self.exercise()
        self.refuse(self.checked("wrong"))
        wanted = {(method, path) for method, path, _ in self.contract.operations("upstream")}
        met = {(method, path) for method, path, status in self.contract.seen if status < "300"}
        others = {("POST", "/ingest"), ("POST", "/cancel")}  # fleet_test.py
        endless = {("GET", "/stream")}
        self.assertEqual(sorted(wanted - met - others - endless), [])

    def test_what_only_a_hub_serves_is_refused_with_its_name(self):
        for method, path, operation in self.contract.operations("hub"):
            if operation.get("x-served-by") != "hub":
                continue
            target = path.replace("{id}", "HUB-1-001").replace("{item}", "x").replace("{attempt}", "1")
            answer = hub_rig.Client.call(self.client, method, target, {})
            self.assertEqual(404, answer.status, path)
            if path.startswith("/phones/"):
                self.assertEqual(HUB_ONLY, answer.body["error"]["code"])
                self.assertIn("hub-1", answer.body["error"]["message"])


if __name__ == "__main__":
    unittest.main()
