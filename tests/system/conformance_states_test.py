"""Every (item state, API event) pair of SPEC.md section 2, by HTTP alone; races by barrier; a refusal
changes nothing."""

import threading

import hub_rig
import rig
from conformance_rig import ConformanceCase, Worker

STALE, ILLEGAL, ENDED = "stale_lease", "illegal_transition", "already_terminal"
# An item is suspended by an operator, for a review, as uncertain, or because its budget is spent.
SUSPENDED = ("suspended", "in_review", "uncertain", "spent")
STATES = ("scheduled", "ready", "leased", "running", "retry_wait", *SUSPENDED, "completed",
          "failed", "canceled")
WAITING = ("scheduled", "ready", "retry_wait", *SUSPENDED)
GOES_ON = ("ready", "leased", "running", "completed")  # the hub runs it at once
TERMINAL = ("completed", "failed", "canceled")

# event -> state -> (HTTP status, the refusal's code or the item's next state)
TABLE = {
    "cancel": {**{s: (200, "canceled") for s in WAITING + ("leased",)}, "running": (202, "running"),
               **{s: (409, ENDED) for s in TERMINAL}},
    "suspend": {**{s: (202, s) for s in WAITING}, **{s: (202, "suspended") for s in SUSPENDED},
                "leased": (202, "ready"), "running": (202, "running"),
                **{s: (409, ENDED) for s in TERMINAL}},
    "resume": {**{s: (202, s) for s in ("scheduled", "ready", "leased", "running", "retry_wait")},
               "suspended": (202, "ready"), "spent": (202, "ready"),
               "in_review": (202, GOES_ON), "uncertain": (202, GOES_ON),
               **{s: (409, ENDED) for s in TERMINAL}},
    "retry": {**{s: (409, "not_terminal") for s in WAITING + ("leased", "running")},
              "failed": (202, "ready"), "completed": (409, "not_retryable"),
              "canceled": (409, "not_retryable")},
    "settle": {**{s: (409, ILLEGAL) for s in WAITING + ("leased", "running")},
               **{s: (200, "completed") for s in ("in_review", "uncertain")},
               **{s: (409, ENDED) for s in TERMINAL}},
    "settle_failed": {**{s: (409, ILLEGAL) for s in WAITING + ("leased", "running")},
                      **{s: (200, "failed") for s in ("in_review", "uncertain")},
                      **{s: (409, ENDED) for s in TERMINAL}},
    "legacy_cancel": {**{s: (200, "canceled") for s in WAITING},
                      **{s: (409, "item_in_use") for s in ("leased", "running")},
                      **{s: (409, ENDED) for s in TERMINAL}},
    "acknowledge": {**{s: (409, STALE) for s in WAITING + TERMINAL}, "leased": (200, "leased"),
                    "running": (409, ILLEGAL)},
    "start": {**{s: (409, STALE) for s in WAITING + TERMINAL}, "leased": (200, "running"),
              "running": (200, "running")},
    "release": {**{s: (409, STALE) for s in WAITING + TERMINAL}, "leased": (200, "ready"),
                "running": (409, ILLEGAL)},
    "heartbeat": {**{s: (409, STALE) for s in WAITING + TERMINAL}, "leased": (200, "leased"),
                  "running": (200, "running")},
    "complete": {**{s: (409, STALE) for s in WAITING + TERMINAL}, "leased": (409, ILLEGAL),
                 "running": (200, "completed")},
    "fail_retryable": {**{s: (409, STALE) for s in WAITING + TERMINAL}, "leased": (409, ILLEGAL),
                       "running": (200, "retry_wait")},
    "fail_permanent": {**{s: (409, STALE) for s in WAITING + TERMINAL}, "leased": (409, ILLEGAL),
                       "running": (200, "failed")},
}


DETAILS = {"suspended": "held", "in_review": "suspended_for_review",
           "uncertain": "suspended_as_uncertain", "spent": "suspended_for_budget"}


class Pairs(ConformanceCase):
    limit_seconds = 150
    tight = ["tight-%d" % i for i in range(20)]  # a capability for each: what is spent is spent

    def bring(self, state):
        """A process with one item in this state, and a job with its last token."""
        if state == "scheduled":
            return self.submit(not_before=hub_rig.now_text(86400)), None
        if state == "ready":
            return self.submit(), None
        if state == "leased":
            return self.claimed()
        if state in ("in_review", "uncertain"):
            identity = self.submit("reviewed" if state == "in_review" else "once")
            self.wait_state(identity, "suspended")
            return identity, self.job_of(identity)
        if state == "spent":
            return self.bring_spent()
        identity, job = self.running()
        if state == "retry_wait":
            self.worker.tell(job, "fail", error="no", retryable=True)
        elif state == "suspended":
            self.post("/processes/%s/suspend" % identity, status=202)
            self.worker.tell(job, "fail", error="stopped")
        elif state == "completed":
            self.worker.tell(job, "complete", exitCode=0)
        elif state == "failed":
            self.worker.tell(job, "fail", error="no", retryable=False)
        elif state == "canceled":
            self.post("/processes/%s/cancel" % identity, status=202)
            self.worker.tell(job, "fail", error="stopped")
        return identity, job

    def job_of(self, identity):
        item = self.process(identity)["items"][0]
        return {"id": item["id"], "lease_token": item["lease_token"]}

    def bring_spent(self):
        """Its capability's seconds of this hour are over while it runs."""
        name = self.tight.pop()
        identity = self.submit(name)
        jobs = []
        rig.wait_until(lambda: jobs.extend(self.worker.claim(name)) or jobs, 10, "a phone for it")
        self.assertEqual(self.worker.start(jobs[0]).status, 200)
        rig.wait_until(lambda: self.worker.tell(jobs[0], "heartbeat").body["suspend"], 10,
                       "it is told to stop")
        self.assertEqual(self.worker.tell(jobs[0], "fail", error="stopped").status, 200)
        return identity, jobs[0]

    def do(self, event, identity, job):
        job = job or {"id": identity + ".1", "lease_token": "1"}
        if event in ("cancel", "suspend", "resume", "retry"):
            return self.post("/processes/%s/%s" % (identity, event))
        if event.startswith("settle"):
            outcome = "failed" if event == "settle_failed" else "done"
            return self.post("/processes/%s/settle" % identity, {"outcome": outcome})
        if event == "legacy_cancel":
            return self.post("/cancel", {"queue_item_id": identity + ".1"})
        if event == "start":
            return self.worker.start(job)
        if event == "release":
            return self.worker.tell(job, "status", method="PUT", status="queued")
        if event.startswith("fail"):
            return self.worker.tell(job, "fail", error="x", retryable=event == "fail_retryable")
        return self.worker.tell(job, event)

    def check_pair(self, state, event):
        identity, job = self.bring(state)
        before = self.process(identity)
        self.assertEqual(before["items"][0]["state"], "suspended" if state in SUSPENDED else state)
        self.assertEqual(before["status_detail"] if state in SUSPENDED else None, DETAILS.get(state))
        status, outcome = TABLE[event][state]
        answer = self.do(event, identity, job)
        self.assertEqual(answer.status, status, answer)
        after = self.process(identity)
        if status == 409:
            self.assertEqual(answer.body["error"]["code"], outcome)
            after["timestamps"].pop("updated_at")
            before["timestamps"].pop("updated_at")
            self.assertEqual(after, before)
        else:
            self.assertIn(after["items"][-1]["state"],
                          outcome if isinstance(outcome, tuple) else (outcome,))

    def check_event(self, event):
        for state in STATES:
            with self.subTest(state=state, event=event):
                self.check_pair(state, event)
                self.free_all()


    def test_a_claim_in_every_state(self):
        for state in STATES:
            with self.subTest(state=state):
                identity, _ = self.bring(state)
                before = self.process(identity)["items"][0]["state"]
                jobs = self.worker.claim(types=None, batch=8)
                self.assertEqual([j["process_id"] for j in jobs],
                                 [identity] if state == "ready" else [])
                self.assertEqual(self.process(identity)["items"][0]["state"],
                                 "leased" if state == "ready" else before)
                self.free_all()


def add_event(event):
    def test(self):
        self.check_event(event)
    setattr(Pairs, "test_%s_in_every_state" % event, test)


for one in TABLE:
    add_event(one)


class Races(ConformanceCase):
    """Both orders of what may come at once; whatever wins, it settles once."""

    def at_once(self, *calls):
        barrier = threading.Barrier(len(calls))
        answers = [None] * len(calls)

        def run(index, call):
            barrier.wait()
            answers[index] = call()

        threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        return answers

    def ends(self, identity):
        return [e["type"] for e in self.events(identity) if e["type"] == "finished"]

    def test_cancel_and_complete_settle_once(self):
        other = self.new_client()
        seen = set()
        for _ in range(20):
            identity, job = self.running()
            cancel, complete = self.at_once(
                lambda: other.post("/processes/%s/cancel" % identity),
                lambda: self.worker.tell(job, "complete", exitCode=0))
            # A success before it has stopped wins, so the completion always does.
            self.assertEqual(complete.status, 200, complete)
            self.assertIn(cancel.status, (200, 202, 409), cancel)
            self.assertEqual(self.process(identity)["status"], "completed")
            self.assertEqual(self.ends(identity), ["finished"])
            seen.add(cancel.status)
        self.assertTrue(seen)

    def test_cancel_before_and_after_complete(self):
        identity, job = self.running()
        self.post("/processes/%s/cancel" % identity, status=202)
        beat = self.worker.tell(job, "heartbeat")
        self.assertTrue(beat.body["cancel"])
        self.assertEqual(self.worker.tell(job, "complete", exitCode=0).status, 200)
        self.assertEqual(self.process(identity)["status"], "completed")
        identity, job = self.running()
        self.worker.tell(job, "complete", exitCode=0)
        self.assertEqual(self.code(self.post("/processes/%s/cancel" % identity)),
                         (409, "already_terminal"))

    def test_cancel_and_failure_settle_as_cancelled(self):
        identity, job = self.running()
        self.post("/processes/%s/cancel" % identity, status=202)
        self.assertEqual(self.worker.tell(job, "fail", error="x", retryable=True).status, 200)
        self.assertEqual(self.process(identity)["status"], "cancelled")
        self.assertEqual(self.ends(identity), ["finished"])

    def test_two_claims_never_share_an_item(self):
        for _ in range(10):
            for _ in range(3):
                self.submit()
            first, second = Worker(self, "w-1"), Worker(self, "w-2")
            one, two = self.at_once(lambda: first.claim("job", 3), lambda: second.claim("job", 3))
            ids = [job["id"] for job in one + two]
            self.assertEqual(len(ids), len(set(ids)))
            self.assertEqual(len(ids), 3)
            tokens = [job["lease_token"] for job in one + two]
            phones = [job["phone_id"] for job in one + two]
            self.assertEqual((len(set(tokens)), len(set(phones))), (3, 3))
            self.free_all()

    def test_claim_and_cancel(self):
        other = self.new_client()
        for _ in range(20):
            identity = self.submit()
            jobs, cancel = self.at_once(lambda: self.worker.claim("job"),
                                        lambda: other.post("/processes/%s/cancel" % identity))
            self.assertEqual(cancel.status, 200, cancel)
            self.assertEqual(self.process(identity)["status"], "cancelled")
            for job in jobs:
                self.assertEqual(self.code(self.worker.start(job)), (409, "stale_lease"))

    def test_two_starts_of_one_lease_are_one_attempt(self):
        identity, job = self.claimed()
        other = Worker(self)
        answers = self.at_once(lambda: self.worker.start(job), lambda: other.start(job))
        self.assertEqual([a.status for a in answers], [200, 200])
        self.assertEqual(self.process(identity)["attempts"], 1)

    def test_two_equal_requests_are_one_process(self):
        for number in range(10):
            body = hub_rig.order("job", "race-%d" % number)
            path = "/capability-requests/enqueue"
            clients = [self.new_client() for _ in range(4)]
            answers = self.at_once(*[lambda c=c: c.post(path, body) for c in clients])
            self.assertEqual(sorted(a.status for a in answers), [200, 200, 200, 202])
            self.assertEqual(len({a.body["process_id"] for a in answers}), 1)


class Leases(ConformanceCase):
    """What time does to a lease of an external worker."""

    def hold(self, name="quick"):
        identity = self.submit(name)
        jobs = []
        rig.wait_until(lambda: jobs.extend(self.worker.claim(name)) or jobs, 10, "a claim")
        return identity, jobs[0]

    def test_a_lease_that_is_not_started_comes_back(self):
        identity, job = self.hold()
        self.wait_state(identity, "ready")
        self.assertEqual(self.code(self.worker.start(job)), (409, "stale_lease"))
        self.assertEqual(self.process(identity)["attempts"], 0)

    def test_a_worker_that_falls_silent_loses_its_attempt(self):
        identity, job = self.hold()
        self.worker.start(job)
        process = self.wait(identity, lambda p: p["errors"], "the attempt is taken back")
        self.assertEqual(process["errors"][0]["category"], "lease_expired")
        self.assertEqual(self.code(self.worker.tell(job, "complete", exitCode=0)),
                         (409, "stale_lease"))

    def test_signs_of_life_keep_it(self):
        identity, job = self.hold()
        for _ in range(3):
            answer = self.worker.tell(job, "acknowledge")
            self.assertEqual(answer.status, 200, answer)
        self.worker.start(job)
        for percent in (10, 50, 40):
            answer = self.worker.tell(job, "heartbeat", progress_percent=percent)
            self.assertEqual(answer.status, 200, answer)
            self.assertGreater(answer.body["expires_in_ms"], 0)
        self.assertEqual(self.process(identity)["progress_percent"], 50)  # never backwards

    def test_a_repeated_claim_id_is_the_same_claim(self):
        self.submit("job")
        self.submit("job")
        first = self.worker.claim("job", 1, "claim-1")
        again = self.worker.claim("job", 1, "claim-1")
        self.assertEqual([j["id"] for j in first], [j["id"] for j in again])
        self.assertEqual([j["lease_token"] for j in first], [j["lease_token"] for j in again])
        other = Worker(self, "w-2").claim("job", 1, "claim-1")
        self.assertNotEqual(first[0]["id"], other[0]["id"])

    def test_an_older_timestamp_is_refused(self):
        _, job = self.running()
        self.assertEqual(self.worker.tell(job, "heartbeat", timestamp=2000).status, 200)
        self.assertEqual(self.code(self.worker.tell(job, "heartbeat", timestamp=1000)),
                         (409, "older_timestamp"))
        self.assertEqual(self.worker.tell(job, "complete", timestamp=2001).status, 200)

    def test_another_worker_or_token_is_stale_whatever_else_it_says(self):
        _, job = self.running()
        other = Worker(self, "w-2")
        self.assertEqual(self.code(other.tell(job, "complete", exitCode="nonsense")),
                         (409, "stale_lease"))
        old = dict(job, lease_token=str(int(job["lease_token"]) - 1))
        self.assertEqual(self.code(self.worker.tell(old, "status", method="PUT", status="no")),
                         (409, "stale_lease"))

    def test_a_lease_survives_the_restart_of_the_hub(self):
        identity, job = self.running()
        self.hub.kill()
        type(self).start_hub_again()
        self.client = self.new_client()
        self.worker = Worker(self)
        answer = self.worker.tell(job, "complete", exitCode=0, output="done")
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(self.process(identity)["status"], "completed")

    @classmethod
    def start_hub_again(cls):
        cls.hub = cls.run_beside("hubd", "--config", cls.config)
        cls.hub.wait_for("listening", 30)
        client = hub_rig.Client(cls.port)
        rig.wait_until(lambda: client.get("/readyz").status == 200, 20, "ready")
        client.close()
