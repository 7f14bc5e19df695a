"""A hub's store, upstream's database, and a whole host, set back to an older copy or copied twice:
where everything is in the end (SPEC.md section 8)."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess

import fleet_rig
import hub_rig
import rig


class Forked(fleet_rig.FleetCase):
    limit_seconds = 240

    def hub_row(self, name="hub-1"):
        rows = self.client.get("/hubs").body["hubs"]
        return next(row for row in rows if row["hub_id"] == name)

    def stop(self, hub):
        hub.process.signal(signal.SIGTERM)
        hub.process.wait()

    def wait_settled(self, *names):
        """Until upstream has all that these hubs have, in its present epoch."""
        def are_settled():
            rows = dict(self.rows("SELECT hub_id, settled_epoch FROM hubs"))
            epoch = self.rows("SELECT epoch FROM upstream")[0][0]
            return all(rows.get(name) == epoch and not self.hub_row(name)["reconciling"]
                       for name in names)
        rig.wait_until(are_settled, 60, "%s settled" % (names,), 0.2)

    def hubctl(self, *words):
        status, said, wrong = self.run_program("hubctl", "--url", "http://127.0.0.1:%d" % self.port,
                                               "--token-file", self.token_file, *words)
        return status, said.decode(), wrong.decode()

    def test_a_store_from_an_older_copy_goes_on_with_what_it_has_lost(self):
        hub = self.start_fleet(1)[0]
        first = self.wait_end(self.submit("quick"))["process_id"]
        self.stop(hub)
        shutil.copy(hub.store, self.path("older"))
        hub.start()
        second = self.wait_end(self.submit("quick"))["process_id"]
        lost = self.submit("short", inputs={"seconds": 4})
        self.wait_status(lost, "executing")
        hub.kill()
        hub.process.wait()
        shutil.copy(self.path("older"), hub.store)
        hub.start()
        rig.wait_until(lambda: self.hub_row()["forks"] > 0, 60, "the fork is seen", 0.2)
        self.wait_settled("hub-1")
        self.assertEqual((1, 2), (self.hub_row()["forks"], self.hub_row()["store_epoch"]))
        process = self.wait_end(lost, 90)
        self.assertEqual(("completed", 2), (process["status"], process["attempts"]), process)
        self.assertEqual(["hub_forgot"], [error["code"] for error in process["errors"]])
        for identity in (first, second):  # upstream's ends stand
            process = self.process(identity)
            self.assertEqual(("completed", 1), (process["status"], process["attempts"]), process)
        self.assertEqual("completed", self.wait_end(self.submit("quick"))["status"])
        rig.wait_until(lambda: self.rows("SELECT count(*) FROM fleet_commands") == [(0,)], 30,
                       "every command was answered")
        self.assertEqual([("hub-1", 2, 0)], self.rows(
            "SELECT hub, assignment, withdrawing FROM fleet_items WHERE assignment > 1"))

    def submit_to(self, hub, capability, **inputs):
        """The id of a process that a hub itself accepts, once upstream has heard of it."""
        client = hub_rig.Client(hub.port)
        self.addCleanup(client.close)
        answer = client.post("/capability-requests/enqueue", hub_rig.order(capability, inputs=inputs))
        identity = answer.body["process_id"]
        rig.wait_until(lambda: self.client.get("/processes/" + identity).status == 200, 20, "upstream knows it")
        return identity

    def test_what_a_hub_itself_had_accepted_and_has_lost_is_shown_as_the_page_says(self):
        with open(os.path.join(rig.ROOT, "docs", "backup.md"), encoding="utf-8") as file:
            page = json.loads(re.search(r"```json lost\n(.*?)```", file.read(), re.S).group(1))
        hub = self.start_fleet(1)[0]
        kept = self.submit_to(hub, "quick")
        self.assertEqual("completed", self.wait_end(kept)["status"])
        self.stop(hub)
        shutil.copy(hub.store, self.path("older"))
        hub.start()
        lost = self.submit_to(hub, "short", seconds=50)
        self.assertEqual(page["process_id"], lost)
        self.wait_status(lost, "executing")
        hub.kill()
        hub.process.wait()
        shutil.copy(self.path("older"), hub.store)
        hub.start()
        rig.wait_until(lambda: self.process(lost)["lost"], 60, "upstream knows that it is lost", 0.2)
        self.wait_settled("hub-1")
        process = self.process(lost)
        self.assertEqual(page, {name: process[name] for name in page})
        self.assertEqual((False, None), tuple(self.process(kept)[name] for name in ("lost", "status_detail")))

    def save_database(self):
        with sqlite3.connect(self.database) as now, sqlite3.connect(self.path("older")) as copy:
            now.backup(copy)

    def restore_database(self):
        for end in ("", "-wal", "-shm"):
            if os.path.exists(self.database + end):
                os.remove(self.database + end)
        shutil.copy(self.path("older"), self.database)

    def test_an_older_database_grants_again_when_all_hubs_have_told_what_they_have(self):
        self.start_fleet(1, 1)
        kept = self.wait_end(self.submit("quick", phone="HUB-1-001"))["process_id"]
        self.save_database()
        body = hub_rig.order("quick", "again", phone="HUB-2-001")
        answer = self.client.post("/capability-requests/enqueue", body)
        forgotten = self.wait_end(answer.body["process_id"])["process_id"]
        self.upstream.kill()
        self.upstream.wait()
        self.restore_database()
        self.start_upstream("--restored")
        self.assertEqual("completed", self.process(kept)["status"])
        self.assertEqual(404, self.client.get("/processes/" + forgotten).status)
        answer = self.client.post("/capability-requests/enqueue", body)
        self.assertRegex(answer.body["process_id"], r"^up-2-\d+$")
        process = self.wait_end(answer.body["process_id"], 90)  # a grant lasts 600 s
        self.assertEqual(("completed", 1), (process["status"], process["attempts"]), process)
        self.wait_settled("hub-1", "hub-2")
        self.assertIn("event=upstream_grants epoch=2", self.upstream.output())
        for hub in self.hubs.values():
            self.assertEqual([], [row for row in hub.parts()
                                  if row["status"] not in hub_rig.TERMINAL])
        text = self.client.get("/metrics").body
        self.assertIn("\nupstream_epoch 2\n", text)
        self.assertIn("\nupstream_holding 0\n", text)

    def test_a_host_that_was_copied_is_quarantined_until_one_of_the_two_is_gone(self):
        hub = self.start_fleet(1)[0]
        self.wait_end(self.submit("quick"))
        self.stop(hub)
        clone = fleet_rig.Hub(self, "hub-1", 1)
        clone.store = self.path("clone.store")
        shutil.copy(hub.store, clone.store)
        hub.start()
        clone.start()
        # Each has something to tell, so that their histories differ at once.
        for one in (hub, clone):
            one.client.post("/capability-requests/enqueue", hub_rig.order("nap", inputs={"seconds": 0}))
        rig.wait_until(lambda: self.hub_row()["quarantined_since"], 90, "it is quarantined", 0.2)
        self.assertIn('upstream_hub_quarantined{hub="hub-1"} 1', self.client.get("/metrics").body)
        identity = self.submit("quick")
        clone.kill()
        status, said, wrong = self.hubctl("release", "--hub", "hub-1")
        self.assertEqual((0, "hub-1\n"), (status, said), wrong)
        process = self.wait_end(identity, 150)  # it was told to ask again in a minute
        self.assertEqual("completed", process["status"], process)
        self.assertIsNone(self.hub_row()["quarantined_since"])

    def test_hubctl_speaks_with_an_upstream(self):
        self.start_fleet(1)
        status, said, wrong = self.hubctl("capabilities")
        self.assertEqual(0, status, wrong)
        self.assertRegex(said, r"(?m)^quick ")
        theirs = self.client.get("/capabilities").body["capabilities"]
        ours = self.hubs["hub-1"].client.get("/capabilities").body["capabilities"]
        by_name = {one["name"]: one for one in ours}
        self.assertEqual([by_name[one["name"]] for one in theirs], theirs)
        status, said, wrong = self.hubctl("run", "quick", "--phone", "HUB-1-001")
        self.assertEqual(0, status, wrong)
        identity = said.split()[0]
        for words in (("ps",), ("show", identity), ("logs", identity), ("phones",), ("hubs",), ("sync",)):
            status, said, wrong = self.hubctl(*words)
            self.assertEqual(0, status, (words, wrong))
        waiting = self.hubctl("run", "short", "--phone", "HUB-1-001", "--input", "seconds=50",
                              "--no-wait")[1].split()[0]
        self.wait_status(waiting, "executing")
        self.assertEqual(0, self.hubctl("cancel", waiting)[0])
        self.assertEqual("cancelled", self.wait_end(waiting)["status"])
        for words in (("slots",), ("quarantine", "HUB-1-001"), ("release", "HUB-1-001"),
                      ("power", "HUB-1-001"), ("label", "HUB-1-001", "lab")):
            status, said, wrong = self.hubctl(*words)
            self.assertEqual(1, status, words)
            self.assertIn("hub_only", wrong)
            self.assertTrue(words == ("slots",) or "ask hub-1" in wrong, wrong)
        done = subprocess.run(["promtool", "check", "metrics"], check=False, capture_output=True,
                              input=self.client.get("/metrics").body.encode(), timeout=60)
        self.assertEqual((0, b""), (done.returncode, done.stdout + done.stderr))
        status, said, wrong = self.hubctl("release", "--hub", "nobody")
        self.assertEqual(1, status)
        self.assertIn("404 not_found", wrong)
