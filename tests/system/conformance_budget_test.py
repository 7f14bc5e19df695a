"""Budgets of capabilities and phones, and labels of slots, by HTTP alone. An hour is moved on, not
waited for."""

import http.client
import time
import unittest

import clock_rig
import hub_rig
import rig
from conformance_rig import ConformanceCase, Worker

HOUR, SLICE = 3600, 300  # an hour slides in slices of five minutes


class BudgetCase(ConformanceCase):
    """A hub whose boot clock the test moves."""

    phones = 2

    def setUp(self):
        super().setUp()
        # What earlier tests have used no longer counts.
        self.jump(HOUR + 2 * SLICE)
        self.wait_ready()

    @classmethod
    def run_beside(cls, name, *arguments):
        if name != "hubd":
            return super().run_beside(name, *arguments)
        if not hasattr(cls, "clocks"):
            cls.clocks = clock_rig.Clocks(cls.folder)
        program = rig.Program([rig.program(name), *arguments], env=cls.clocks.environment)
        cls.programs.append(program)
        return program

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        del cls.clocks

    def jump(self, seconds):
        self.clocks.go_ahead(seconds)

    def boot_seconds(self):
        return time.clock_gettime(time.CLOCK_BOOTTIME) + self.clocks.ahead()

    def jump_to_the_end_of(self, used_at):
        """To some seconds before what was used at this time no longer counts."""
        ends = (used_at // SLICE + 13) * SLICE
        self.jump(ends - self.boot_seconds() - 3)

    def wait_ready(self):
        """Connections and phones have got over the jump."""
        def ready():
            client = hub_rig.Client(self.port)
            try:
                phones = client.get("/phones").body["phones"]
                return all(p["state"] == "ready" for p in phones)
            except OSError:
                return False
            finally:
                client.close()
        # The first answer may come from a turn of the hub that began before the jump.
        rig.wait_until(lambda: ready() and ready(), 30, "the phones are ready")
        self.client = self.new_client()
        self.worker = Worker(self)

    def process(self, identity):
        """A jump makes every open connection look idle for an hour: the hub closes it."""
        try:
            return super().process(identity)
        except (OSError, http.client.HTTPException):
            self.client = self.new_client()
            return super().process(identity)

    def take(self, name, **more):
        identity = self.submit(name, **more)
        jobs = []
        rig.wait_until(lambda: jobs.extend(self.worker.claim(name)) or jobs, 10, "a phone for it")
        self.assertEqual(jobs[0]["process_id"], identity)
        self.assertEqual(self.worker.start(jobs[0]).status, 200)
        return identity, jobs[0]

    def do_one(self, name, **more):
        identity, job = self.take(name, **more)
        self.assertEqual(self.worker.tell(job, "complete", exitCode=0).status, 200)
        return identity

    def detail(self, identity):
        process = self.process(identity)
        return process["items"][0]["state"], process["status_detail"]

    def run_out(self, name, **more):
        """An attempt that goes on until its seconds are over."""
        identity, job = self.take(name, **more)
        rig.wait_until(lambda: self.worker.tell(job, "heartbeat").body["suspend"], 15,
                       "it is told to stop")
        self.assertEqual(self.worker.tell(job, "fail", error="stopped").status, 200)
        process = self.process(identity)
        self.assertEqual(process["items"][0]["state"], "suspended")
        self.assertEqual(process["items"][0]["attempts_counted"], 0)
        return identity

    def resumes_by_itself(self, identity, used_at, waiting, going_on):
        """It waits until the hour has gone by, and no longer."""
        self.assertEqual(self.detail(identity), waiting)
        self.jump_to_the_end_of(used_at)
        self.wait_ready()
        self.assertEqual(self.detail(identity), waiting)
        self.wait(identity, lambda p: (p["items"][0]["state"], p["status_detail"]) == going_on,
                  "it goes on: %s" % (going_on,), 20)


WORKER = ("ready", "waiting_for_worker")


@unittest.skipUnless(clock_rig.IS_POSSIBLE, "a sanitizer must be loaded first")
class Stuck(BudgetCase):
    """Items that stay in a state for longer than its limit are counted, and no others."""

    phones = 1
    limit_seconds = 90

    def stuck(self):
        lines = self.client.get("/metrics").body.splitlines()
        found = [x.split('"') for x in lines if x.startswith("hub_items_stuck{")]
        return {parts[1]: int(parts[2].split()[1]) for parts in found}

    def test_what_waits_beyond_the_limit_of_its_state(self):
        none = dict.fromkeys(self.stuck(), 0)
        self.assertEqual(self.stuck(), none)
        self.submit("job")  # no worker comes for it
        self.submit("job", not_before=hub_rig.now_text(30 * 86400))
        self.jump(HOUR - 60)
        self.wait_ready()
        self.assertEqual(self.stuck(), none)
        self.jump(120)
        self.wait_ready()
        self.assertEqual(self.stuck(), dict(none, ready=1))
        self.wait_state(self.submit("reviewed"), "suspended")
        self.jump(86400 + 60)
        self.wait_ready()
        self.assertEqual(self.stuck(), dict(none, ready=1, suspended=1))
        self.jump(6 * 86400)
        self.wait_ready()
        self.assertEqual(self.stuck(), dict(none, ready=1, suspended=1, scheduled=1))


@unittest.skipUnless(clock_rig.IS_POSSIBLE, "a sanitizer must be loaded first")
class Capability(BudgetCase):
    """What one capability may use, on whatever phone."""

    limit_seconds = 90

    def test_attempts_of_an_hour(self):
        used_at = self.boot_seconds()
        self.do_one("thrifty")
        waiting = self.submit("thrifty")
        self.assertEqual(self.worker.claim("thrifty"), [])
        self.resumes_by_itself(waiting, used_at, ("ready", "waiting_for_budget"), WORKER)
        self.assertEqual(len(self.worker.claim("thrifty")), 1)

    def test_seconds_of_an_hour_suspend_what_runs(self):
        used_at = self.boot_seconds()
        suspended = self.run_out("tight-0")
        waiting = self.submit("tight-0")
        self.assertEqual(self.detail(waiting), ("ready", "waiting_for_budget"))
        self.resumes_by_itself(suspended, used_at, ("suspended", "suspended_for_budget"), WORKER)
        self.assertEqual(self.detail(waiting), WORKER)

    def test_another_capability_does_not_wait(self):
        self.do_one("thrifty")
        self.assertEqual(self.detail(self.submit("thrifty")), ("ready", "waiting_for_budget"))
        self.do_one("job")

    def test_it_counts_over_a_death_of_the_hub(self):
        self.do_one("thrifty")
        suspended = self.run_out("tight-1")
        self.hub.kill()
        type(self).start_hub()
        self.wait_ready()
        self.assertEqual(self.detail(self.submit("thrifty")), ("ready", "waiting_for_budget"))
        self.assertEqual(self.detail(suspended), ("suspended", "suspended_for_budget"))

    def test_an_operator_resumes_it_and_it_waits_for_the_budget(self):
        suspended = self.run_out("tight-2")
        self.post("/processes/%s/resume" % suspended, status=202)
        self.assertEqual(self.detail(suspended), ("ready", "waiting_for_budget"))


@unittest.skipUnless(clock_rig.IS_POSSIBLE, "a sanitizer must be loaded first")
class Phone(BudgetCase):
    """What one phone may be used for, by whatever capability."""

    limit_seconds = 90
    extra_config = "attempts_per_hour = 2\nseconds_per_hour = 3\n"

    def test_attempts_of_an_hour(self):
        used_at = self.boot_seconds()
        self.do_one("job", phone="C001")
        self.do_one("single", phone="C001")
        waiting = self.submit("job", phone="C001")
        self.assertEqual(self.worker.claim("job"), [])
        self.do_one("job", phone="C002")
        self.resumes_by_itself(waiting, used_at, ("ready", "waiting_for_phone_budget"), WORKER)

    def test_seconds_of_an_hour_suspend_what_runs(self):
        used_at = self.boot_seconds()
        suspended = self.run_out("job", phone="C001")
        waiting = self.submit("job", phone="C001")
        self.assertEqual(self.detail(waiting), ("ready", "waiting_for_phone_budget"))
        self.resumes_by_itself(suspended, used_at, ("suspended", "suspended_for_budget"), WORKER)


class SlotLabels(ConformanceCase):
    """Labels of places: a phone has them while it is plugged in there."""

    phones = 2

    @classmethod
    def setUpClass(cls):
        cls.extra_config = "[slots]\nlabels = tcp:127.0.0.1:PORT fast, rack-1\n"
        super().setUpClass()

    @classmethod
    def run_beside(cls, name, *arguments):
        if name == "hubd":
            with open(cls.config, encoding="utf-8") as file:
                text = file.read()
            first = text.split("tcp = 127.0.0.1:")[1].split(",")[0]
            with open(cls.config, "w", encoding="utf-8") as file:
                file.write(text.replace("PORT", first))
        return super().run_beside(name, *arguments)

    def test_they_are_shown_and_chosen_by(self):
        phones = {p["phone_id"]: p for p in self.client.get("/phones").body["phones"]}
        self.assertEqual(phones["C001"]["slot_labels"], ["fast", "rack-1"])
        self.assertEqual(phones["C002"]["slot_labels"], [])
        self.assertEqual(phones["C001"]["labels"], [])
        slots = {s["phone_id"]: s for s in self.client.get("/slots").body["slots"]}
        self.assertEqual((slots["C001"]["labels"], slots["C002"]["labels"]),
                         (["fast", "rack-1"], []))
        for _ in range(4):  # `pinned` needs `fast`
            self.assertEqual(self.ran_on(self.submit("pinned")), {"C001"})

    def test_together_with_the_phones_own(self):
        wanted = ["rack-1", "spare"]
        identity = self.submit("echo", labels=wanted)
        self.assertEqual(self.process(identity)["status_detail"], "waiting_for_labels")
        self.post("/phones/C002/label", {"labels": ["spare"]}, 200)
        self.assertEqual(self.process(identity)["status_detail"], "waiting_for_labels")
        self.post("/phones/C001/label", {"labels": ["spare"]}, 200)
        self.assertEqual(self.ran_on(identity), {"C001"})

    def ran_on(self, identity):
        self.wait_status(identity, "completed")
        return {e["payload"]["phone"] for e in self.events(identity) if "phone" in e["payload"]}
