"""One hub at the edges: waiting with a deadline, groups of accounts, reloads, long streams, a lost
phone's two seconds, a full table of processes, and what a refused start leaves behind."""

import itertools
import os
import signal
import time
import unittest

import hub_rig
import rig

ENQUEUE = "/capability-requests/enqueue"


CAREFUL = """[capability]
name = careful
routing = direct
steps = on
[action.look]
command = echo looked
[action.tidy]
command = echo tidied
[action.pay]
command = sleep 600
timeout_seconds = 600
once = on
"""


class Once(hub_rig.HubCase):
    def test_what_must_not_run_twice_is_left_to_a_person_also_behind_steps_left_out(self):
        _, port = self.start_phones(1)
        self.write("capabilities/careful.ini", CAREFUL)
        self.start_hub([port])
        self.wait_phones("SIM001")
        steps = {"steps": [{"action": "look"}, {"action": "pay"}]}
        identity = self.submit("careful", phone="SIM001", inputs=steps)
        rig.wait_until(lambda: self.process(identity)["current_step"] == "pay", 20, "it pays")
        self.hub.kill()
        self.restart_hub()
        rig.wait_until(lambda: self.process(identity)["status_detail"] == "suspended_as_uncertain",
                       20, "nobody knows whether it paid")
        self.assertEqual(self.process(identity)["attempts"], 1)


class Waiting(hub_rig.HubCase):
    limit_seconds = 60

    def setUp(self):
        super().setUp()
        _, first = self.start_phones(2)
        self.start_hub([first, first + 1])
        self.wait_phones("SIM001", "SIM002")

    def test_a_deadline_passes_while_a_request_waits_for_its_phone(self):
        busy = self.nap(30, phone="SIM001")
        self.wait_status(busy, "executing")
        late = self.nap(0, phone="SIM001", deadline=hub_rig.now_text(0.7))
        self.assertEqual(self.process(late)["status"], "queued")
        process = self.wait_end(late)
        self.assert_names(process, "failed_terminal", "DEAD_LETTER", "failed", "failed")
        self.assertEqual((process["error"]["category"], process["attempts"]), ("deadline", 0))
        self.assertIsNone(process["timestamps"]["started_at"])
        self.assertEqual(self.process(busy)["status"], "executing")

    def test_a_deadline_passes_while_a_request_waits_to_try_again(self):
        late = self.submit("patient", deadline=hub_rig.now_text(0.7))
        self.wait_status(late, "retrying")
        process = self.wait_end(late)
        self.assertEqual((process["status"], process["error"]["category"]),
                         ("failed_terminal", "deadline"))
        self.assertEqual([error["category"] for error in process["errors"]], ["exit_code"])

    def test_a_busy_phone_takes_its_direct_requests_in_turn(self):
        turns = [self.nap(0.2, phone="SIM001") for _ in range(3)]
        ended = [self.wait_end(identity) for identity in turns]
        self.assertEqual([one["status"] for one in ended], ["completed"] * 3)
        for one, other in zip(ended, ended[1:]):
            self.assertLessEqual(one["timestamps"]["finished_at"],
                                 other["timestamps"]["started_at"])
            self.assertLess(int(one["items"][0]["lease_token"]),
                            int(other["items"][0]["lease_token"]))

    def test_every_attempt_is_claimed_before_it_runs(self):
        identity = self.submit("maintenance")
        self.wait_end(identity)
        jobs = [event["payload"]["job_status"] for event in self.events(identity)
                if event["payload"].get("state")]
        # Running is told twice: at the start, and at the first device interaction.
        self.assertEqual([job for job, _ in itertools.groupby(jobs)],
                         ["queued", "claimed", "running", "completed"])

    def test_a_group_counts_its_items_also_after_the_end(self):
        def group(**target):
            body = hub_rig.order("maintenance", target=dict(target, routing="group"))
            return self.client.post(ENQUEUE, body)
        accounts = group(account_ids=["a", "b", "c"]).body["process_id"]
        pairs = group(phone_ids=["SIM002", "SIM001"], account_ids=["a", "b"]).body["process_id"]
        for identity, count in ((accounts, 3), (pairs, 2)):
            process = self.wait_end(identity)
            self.assertEqual(process["status"], "completed")
            self.assertEqual(process["partial_progress"]["completed"], count)
            self.assertEqual(sum(process["partial_progress"].values()), count)
        self.assertEqual(group(phone_ids=["SIM001"], account_ids=["a", "b"]).status, 422)

    def test_the_list_finds_what_ran_on_a_phone(self):
        other = self.submit("maintenance", phone="SIM002")
        mine = self.submit("maintenance", phone="SIM001")
        busy = self.nap(30, phone="SIM001")
        self.wait_end(other)
        self.wait_end(mine)
        rows = self.client.get("/processes?phone=SIM001").body["processes"]
        self.assertEqual([row["process_id"] for row in rows], [busy, mine])
        self.assertEqual({row["phone_id"] for row in rows}, {"SIM001"})
        running = self.client.get("/processes?status=executing&phone=SIM001&type=nap").body
        self.assertEqual([row["process_id"] for row in running["processes"]], [busy])

    def test_a_stream_without_an_end_closes_after_25_seconds(self):
        identity = self.nap(40)
        self.wait_status(identity, "executing")
        begun = time.monotonic()
        stream = hub_rig.Stream(self.port, identity)
        self.addCleanup(stream.close)
        received = stream.rest()
        self.assertEqual(received[-1][1]["status"], "executing")
        self.assertGreater(time.monotonic() - begun, 24)
        self.assertEqual(self.process(identity)["status"], "executing")


class Budgets(hub_rig.HubCase):
    limit_seconds = 60

    def test_a_phones_budget_counts_over_a_restart(self):
        _, first = self.start_phones(1)
        text = self.config_text([first])
        self.config = self.write("hub.ini", text.replace(
            "[phones]\n", "[phones]\nattempts_per_hour = 2\n"))
        self.restart_hub()
        self.wait_phones("SIM001")
        for _ in range(2):
            self.wait_end(self.submit("maintenance"))
        self.hub.kill()
        self.hub.wait()
        self.restart_hub()
        self.wait_phones("SIM001")
        waiting = self.submit("maintenance")
        self.assertEqual(self.process(waiting)["status_detail"], "waiting_for_phone_budget")
        self.assertEqual(self.process(waiting)["status"], "queued")


class Workers(hub_rig.HubCase):
    limit_seconds = 60

    def tell(self, job, what, method="POST", **more):
        body = dict(more, worker="w1", lease_token=job["lease_token"])
        return self.worker.call(method, "/api/internal/jobs/%s/%s" % (job["id"], what), body)

    def test_a_lease_goes_on_over_a_death_of_the_hub_and_its_phone_is_found_again(self):
        _, first = self.start_phones(1)
        self.write("capabilities/outside.ini",
                   "[capability]\nname = outside\nrunner = external\n")
        self.write("tokens", hub_rig.TOKENS + "w1 worker worker-secret\n")
        self.start_hub([first])
        self.worker = self.new_client("worker-secret")
        self.wait_phones("SIM001")
        identity = self.submit("outside")
        queue = "/api/internal/jobs/queue?worker=w1&batch=1&claim_id=c1"
        job, = self.worker.get(queue).body["jobs"]
        self.assertEqual(self.tell(job, "status", "PUT", status="running").status, 200)
        self.hub.kill()
        self.hub.wait()
        self.restart_hub()
        self.worker = self.new_client("worker-secret")
        again, = self.worker.get(queue).body["jobs"]
        self.assertEqual(again["lease_token"], job["lease_token"])
        self.wait_phones("SIM001", state="leased")
        self.assertEqual(self.tell(job, "heartbeat").status, 200)
        self.assertEqual(self.process(identity)["status"], "executing")
        self.assertEqual(self.tell(job, "complete", exitCode=0).status, 200)
        self.assertEqual(self.wait_end(identity)["status"], "completed")
        self.wait_phones("SIM001")
        self.assertEqual(self.tell(job, "complete", exitCode=0).status, 409)


class Reload(hub_rig.HubCase):
    limit_seconds = 60

    def test_a_bad_capability_file_is_named_and_changes_nothing(self):
        self.start_hub()
        before = self.client.get("/capabilities").body
        self.write("capabilities/bad.ini", "[capability]\nname = bad\ncolour = red\n")
        self.hub.signal(signal.SIGHUP)
        self.assertIn("bad.ini:3: [capability] colour",
                      self.hub.wait_for("capabilities_not_reloaded"))
        self.assertEqual(self.client.get("/capabilities").body, before)

    def test_a_good_file_beside_a_bad_one_is_not_taken(self):
        self.start_hub()
        for number in range(8):
            self.write("capabilities/extra%d.ini" % number,
                       "[capability]\nname = extra%d\n[action.a]\ncommand = true\n" % number)
        self.write("capabilities/bad.ini", "[capability]\nname = nap\n[action.a]\ncommand = x\n")
        before = self.client.get("/capabilities").body
        self.hub.signal(signal.SIGHUP)
        line = self.hub.wait_for("capabilities_not_reloaded")
        self.assertIn("[capability] name: expected a name that no other file has", line)
        self.assertEqual(self.client.get("/capabilities").body, before)

    def test_a_file_that_is_gone_ends_new_work_until_it_is_back(self):
        self.start_hub()
        waiting = self.submit("final")
        os.unlink(self.path("capabilities", "final.ini"))
        self.hub.signal(signal.SIGHUP)
        self.hub.wait_for("reloaded capabilities")
        answer = self.client.post(ENQUEUE, hub_rig.order("final"))
        self.assertEqual((answer.status, answer.body["error"]["code"]),
                         (422, "unknown_process_type"))
        self.assertEqual(self.process(waiting)["status"], "queued")
        self.write("capabilities/final.ini", hub_rig.CAPABILITIES["final"])
        self.hub.signal(signal.SIGHUP)
        self.hub.wait_for("reloaded capabilities")
        self.submit("final")

    def test_what_waits_runs_as_the_new_file_says(self):
        _, first = self.start_phones(1)
        self.start_hub([first])
        self.wait_phones("SIM001")
        busy = self.nap(30)
        self.wait_status(busy, "executing")
        waiting = self.submit("final")
        self.write("capabilities/final.ini", hub_rig.CAPABILITIES["final"].replace(
            "exit 7", "exit 9"))
        self.hub.signal(signal.SIGHUP)
        self.hub.wait_for("reloaded capabilities")
        self.client.post("/processes/%s/cancel" % busy)
        self.assertEqual(self.wait_end(waiting)["error"]["code"], "exit_9")

    def test_a_running_attempt_ends_by_the_actions_it_began_with(self):
        def two_steps(second):
            return ("[capability]\nname = two-steps\n[action.first]\ncommand = sleep 2\n"
                    "[action.second]\ncommand = %s\n" % second)
        _, first = self.start_phones(1)
        self.write("capabilities/two-steps.ini", two_steps("echo old"))
        self.start_hub([first])
        self.wait_phones("SIM001")
        running = self.submit("two-steps")
        self.wait_status(running, "executing")
        self.write("capabilities/two-steps.ini", two_steps("exit 9"))
        self.hub.signal(signal.SIGHUP)
        self.hub.wait_for("reloaded capabilities")
        later = self.submit("two-steps")
        self.assertEqual(self.wait_end(running)["status"], "completed")
        self.assertEqual(self.wait_end(later)["error"]["code"], "exit_9")

    def test_a_token_that_is_taken_out_is_refused(self):
        self.write("tokens", hub_rig.TOKENS + "late read late-secret\n")
        self.start_hub()
        late = self.new_client("late-secret")
        self.assertEqual(late.get("/phones").status, 200)
        self.write("tokens", hub_rig.TOKENS)
        self.hub.signal(signal.SIGHUP)
        self.hub.wait_for("reloaded")
        self.assertEqual(late.get("/phones").status, 401)


class Faults(hub_rig.HubCase):
    limit_seconds = 60

    def test_a_lost_phone_is_judged_two_seconds_late(self):
        phones, first = self.start_phones(1)
        self.start_hub([first])
        self.wait_phones("SIM001")
        identity = self.nap(30)
        self.wait_status(identity, "executing")
        killed = time.monotonic()
        phones.kill()
        rig.wait_until(lambda: self.process(identity)["status"] != "executing", 10, "judged")
        waited = time.monotonic() - killed
        self.assertGreater(waited, 1.5)
        self.assertLess(waited, 5 * rig.SLOW)
        self.assertEqual([one["category"] for one in self.process(identity)["errors"]],
                         ["phone_lost"])
        self.client.post("/processes/%s/cancel" % identity)
        self.assertEqual(self.wait_end(identity)["status"], "cancelled")


class Full(hub_rig.HubCase):
    limit_seconds = 120

    def test_the_table_of_processes_fills_empties_and_fills_again(self):
        port = rig.free_ports(1)
        self.start_hub([port], size="64MiB")
        capacity = self.metric('hub_table_capacity{table="processes"}')
        body = hub_rig.order("maintenance")
        accepted = []
        for _ in range(capacity + 1):
            answer = self.client.post(ENQUEUE, body)
            if answer.status != 202:
                break
            accepted.append(answer.body["process_id"])
        self.assertEqual((answer.status, answer.body["error"]["code"]),
                         (503, "capacity_exhausted"))
        self.assertTrue(answer.headers["Retry-After"])
        self.assertEqual(len(accepted), capacity)
        self.assertEqual(self.metric('hub_items{state="ready"}'), capacity)
        head = self.head_seq()
        self.assertEqual(self.client.post(ENQUEUE, body).status, 503)
        self.assertEqual(self.head_seq(), head)
        for identity in accepted[:20]:
            self.assertEqual(self.client.post("/processes/%s/cancel" % identity).status, 200)
        again = [self.client.post(ENQUEUE, body).status for _ in range(20)]
        self.assertEqual(again, [202] * 20)
        self.assertEqual(self.client.post(ENQUEUE, body).status, 503)
        # A restart keeps them; then a phone comes, and finishing makes room as cancelling did.
        self.assertEqual(self.hub.stop(20), 0)
        self.restart_hub()
        self.assertEqual(self.metric('hub_items{state="ready"}'), capacity)
        self.start("phonesim", "--adb-tcp", "127.0.0.1:%d" % port)
        self.wait_end(accepted[20], 30)
        self.assertEqual(self.client.post(ENQUEUE, body).status, 202)


class RefusedStart(hub_rig.HubCase):
    limit_seconds = 60

    def refused(self, *expected, text=None):
        config = self.write("bad.ini", text or self.config_text())
        code, _, error = self.run_program("hubd", "--config", config)
        error = error.decode()
        self.assertEqual(code, 2, error)
        for part in expected:
            self.assertIn(part, error)
        self.assertFalse(os.path.exists(self.path("hub.store")))

    def test_missing_and_repeated_keys_are_named(self):
        good = self.config_text()
        for line, key in (("id = hub-1\n", "[hub] id"), ("size = 16MiB\n", None),
                          ("token_file = %s\n" % self.token_file, "[api] token_file"),
                          ("path = %s\n" % self.path("hub.store"), "[store] path"),
                          ("dir = %s\n" % self.path("capabilities"), "[capabilities] dir")):
            if key:
                self.refused("bad.ini", key, text=good.replace(line, ""))
            doubled = good.replace(line, line + line)
            number = doubled[:doubled.index(line)].count("\n") + 2
            self.refused("bad.ini:%d: [" % number, line.split()[0], text=doubled)

        for section, line, words in (
                ("hub", "board = linux\n", "expected once, "),
                ("upstream", "url = https://127.0.0.1:1\n",
                 "expected https://HOST:PORT, each once, at most 4 ")):
            doubled = good + "[%s]\n" % section + 2 * line
            self.refused("bad.ini:%d: [%s] %s: %s" % (
                doubled.count("\n"), section, line.split()[0], words), text=doubled)

    def test_wrong_tokens_leave_nothing_behind(self):
        for text, line, words in (
                ("a read one\na read two\n", 2, "twice"), ("a read one\nb read one\n", 2, "twice"),
                ("# none\na fly one\n", 2, "scopes"), ("a read one sys more\n", 1, "expected"),
                ("a read %s\n" % ("x" * 200), 1, "token")):
            self.write("tokens", text)
            self.refused("tokens:%d: " % line, words)
        os.unlink(self.token_file)
        self.refused("tokens")

    def test_wrong_capabilities_leave_nothing_behind(self):
        head = "[capability]\nname = bad\n"
        for text, place in (
                (head + "[garden]\nx = 1\n", "bad.ini:3: [garden]"),
                (head + "colour = red\n", "bad.ini:3: [capability] colour"),
                (head + "[action.a]\ntype = dance\n", "bad.ini:4: [action.a] type"),
                (head + "[action.a]\ntype = shell\n", "[action.a] expected command"),
                (head + "[action.a]\ncommand = x\ntimeout_seconds = 0\n", "bad.ini:5: [action.a]"),
                (head + "[action.a]\ncommand = x\n[action.a]\ncommand = y\n", "bad.ini:5: "),
                (head.replace("bad", "nap") + "[action.a]\ncommand = x\n",
                 "[capability] name: expected a name that no other file has"),
                (head, "bad.ini: expected"), ("name = bad\n", "bad.ini:1: ")):
            self.write("capabilities/bad.ini", text)
            self.refused(place)


if __name__ == "__main__":
    unittest.main()
