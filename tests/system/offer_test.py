"""Work that upstream gives a hub: offers under a grant, controls, withdrawals, kills in between.

The upstream is the example of docs/examples; the tests write commands and grants into its database."""

import os
import signal
import sys
import threading
import unittest

import hub_client
import rig
import sync_rig

sys.path.insert(0, os.path.join(rig.ROOT, "docs", "examples"))
import endpoint  # noqa: E402

OFFER, CANCEL, SUSPEND, RESUME, RETRY, SETTLE, WITHDRAW = range(1, 8)
DONE, ALREADY_TERMINAL, UNKNOWN = 0, 4, 5
STATES = ("scheduled ready leased running retry_wait suspended completed failed canceled").split()

ONCE = """[capability]
name = once
[action.slow]
type = shell
command = sleep 30
once = on
timeout_seconds = 60
"""


class Offers(sync_rig.SyncCase):
    limit_seconds = 180

    def setUp(self):
        super().setUp()
        self.write("capabilities/once.ini", ONCE)
        self.fleet_file = self.path("example.db")
        self.launch()
        self.fleet = endpoint.Fleet(self.fleet_file)
        self.addCleanup(self.fleet.db.close)
        _, first = self.start_phones(2)
        self.start_hub(range(first, first + 2))
        self.wait_phones("SIM001", "SIM002")

    def launch(self):
        self.endpoint = self.start(
            sys.executable, os.path.join(rig.ROOT, "docs/examples/endpoint.py"),
            "--listen", "127.0.0.1:%d" % self.sync_port, "--ca", self.certs + "/ca.crt",
            "--cert", self.certs + "/server.crt", "--key", self.certs + "/server.key",
            "--database", self.fleet_file)
        self.endpoint.wait_for("ready", 20)

    def offer(self, process, capability="maintenance", inputs="{}", **more):
        image = endpoint.request_image(capability, "r%d" % process, inputs)
        return endpoint.offer(self.fleet, "hub-1", process, image, **more)

    def nap_offer(self, process, seconds, **more):
        return self.offer(process, "nap", '{"seconds":%d}' % seconds, **more)

    # ---- what upstream has ----

    def records(self):
        with self.fleet.lock:
            rows = self.fleet.db.execute("SELECT bytes FROM records ORDER BY seq").fetchall()
        return [hub_client.decode(bytes(row[0]))[0] for row in rows]

    def local(self, process, records):
        """The hub's numbers of this item of upstream's, oldest first."""
        return [one[1][0] for one in records
                if one[0] == hub_client.REQUEST and one[6][21] and one[6][21][1] == process]

    def items(self, process):
        """[event, state, assignment] of the item's records, in order."""
        records = self.records()
        numbers = self.local(process, records)
        return [(hub_client.EVENTS[one[3]], STATES[one[6][0]], one[6][22][0]) for one in records
                if one[0] == hub_client.ITEM and one[1][0] in numbers]

    def wait_item(self, process, *wanted, seconds=30):
        """Until upstream has a record of this item that says so: a state or an event."""
        def look():
            found = self.items(process)
            return found if found and (found[-1][1] in wanted or found[-1][0] in wanted) else None
        return rig.wait_until(look, seconds, "item of %d %s" % (process, wanted))

    def answer(self, number, seconds=20):
        def look():
            return [one[6][1] for one in self.records()
                    if one[0] == hub_client.ANSWER and one[1] == [number]]
        found = rig.wait_until(look, seconds, "the answer to command %d" % number)
        self.assertEqual(1, len(set(found)))
        return found[0]

    def name(self, process):
        return "up-1-%d.1" % process

    # ---- tests ----

    def test_an_offer_runs_to_its_end_and_both_sides_show_it(self):
        number = self.offer(7, phone="SIM002")
        self.assertEqual(DONE, self.answer(number))
        self.wait_item(7, "completed")
        process = self.process(self.name(7))
        self.assertEqual(("completed", True, "up"), (process["status"], process["part"], process["owner"]))
        self.assertEqual([self.name(7)], process["linked_ids"]["queue_item_ids"])
        self.assertEqual("SIM002", process["items"][0]["phone_id"])
        for verb in ("cancel", "suspend", "resume", "retry"):
            refused = self.client.post("/processes/%s/%s" % (self.name(7), verb))
            self.assertEqual((409, "owned_upstream"), (refused.status, refused.body["error"]["code"]), verb)
        events = self.client.get("/processes/%s/events" % self.name(7)).body["events"]
        self.assertEqual({self.name(7)}, {one["process_id"] for one in events})
        self.assertIn(self.name(7), [one["process_id"] for one in self.client.get("/processes").body["processes"]])
        shown = self.hubctl("show", self.name(7))
        self.assertIn(self.name(7), shown)
        own = self.submit("maintenance")
        self.wait_status(own, "completed")
        self.assertEqual(("hub-1", False), (self.process(own)["owner"], self.process(own)["part"]))
        self.assertEqual(1, self.metric('hub_commands_total{answer="done"}'))
        self.assertEqual(1, self.metric("hub_parts_offered_total"))

    def hubctl(self, *words):
        secret = self.write("secret", "all-scopes-secret\n")
        os.chmod(secret, 0o600)
        status, said, wrong = self.run_program("hubctl", "--url", "http://127.0.0.1:%d" % self.port,
                                               "--token-file", secret, *words)
        self.assertEqual(0, status, wrong)
        return said.decode()

    def test_what_the_hub_cannot_take_is_answered(self):
        self.assertEqual(1, self.answer(self.offer(8, "unheard-of")))
        self.assertEqual(3, self.answer(self.offer(9, phone="NOBODY")))
        self.assertEqual(8, self.answer(self.fleet.command("hub-1", 77)))
        self.assertEqual(UNKNOWN, self.answer(self.fleet.command("hub-1", CANCEL, 1, 8, 1)))
        self.assertEqual(404, self.client.get("/processes/" + self.name(8)).status)

    def test_a_running_part_is_cancelled(self):
        self.nap_offer(7, 30)
        self.wait_item(7, "running")
        self.assertEqual(DONE, self.answer(self.fleet.command("hub-1", CANCEL, 1, 7, 1)))
        self.wait_item(7, "canceled")
        again = self.fleet.command("hub-1", CANCEL, 1, 7, 1)
        self.assertEqual(ALREADY_TERMINAL, self.answer(again))

    def test_a_hubs_own_process_is_controlled_by_upstream(self):
        own = self.nap(30)
        self.wait_status(own, "executing")
        local = int(own.rsplit("-", 1)[1])
        self.assertEqual(DONE, self.answer(self.fleet.command("hub-1", CANCEL, 0, local, 0)))
        self.wait_status(own, "cancelled")

    def test_a_part_is_suspended_and_resumed(self):
        self.nap_offer(7, 2)
        self.wait_item(7, "running")
        self.fleet.command("hub-1", SUSPEND, 1, 7, 1)
        self.wait_item(7, "suspended")
        self.fleet.command("hub-1", RESUME, 1, 7, 1)
        self.wait_item(7, "completed")

    def test_a_withdrawn_part_stops_and_leaves_without_a_terminal_state(self):
        self.nap_offer(7, 30, phone="SIM001")
        self.nap_offer(8, 30, phone="SIM001")  # this one waits
        self.wait_item(7, "running")
        self.fleet.command("hub-1", WITHDRAW, 8, 1, 1)
        self.wait_item(8, "withdrawn")
        self.fleet.command("hub-1", WITHDRAW, 7, 1, 1)
        self.wait_item(7, "withdrawn")
        for process in (7, 8):
            self.assertFalse({"completed", "failed", "canceled"} & {one[1] for one in self.items(process)})
            self.assertEqual(404, self.client.get("/processes/" + self.name(process)).status)
        self.wait_phones("SIM001")
        self.assertEqual(2, self.metric("hub_parts_withdrawn_total"))

    def test_an_uncertain_part_is_settled_by_upstream(self):
        self.offer(7, "once")
        self.wait_item(7, "running")
        rig.wait_until(lambda: self.process(self.name(7))["timestamps"]["first_device_at"], 10, "contact")
        self.hub.kill()
        self.hub.wait()
        self.restart_hub()
        self.wait_item(7, "suspended")
        self.fleet.command("hub-1", SETTLE, 1, 7, 1, True)
        self.wait_item(7, "completed")

    def test_without_renewals_a_part_stops_before_its_grant_ends(self):
        """The grace time is 2 s: it is asked to stop 2 s before the end of 5."""
        self.nap_offer(7, 60, ttl_ms=5000)
        self.wait_item(7, "running")
        self.endpoint.kill()  # no upstream from here on
        self.endpoint.wait()
        waits = rig.wait_until(lambda: self.process(self.name(7)), 1, "the part")
        self.assertEqual("executing", waits["status"])
        rig.wait_until(lambda: self.process(self.name(7))["status"] != "executing", 10, "stopped")
        process = self.process(self.name(7))
        self.assertEqual("grant_expired", process["error"]["code"])
        rig.wait_until(lambda: self.process(self.name(7))["status_detail"] == "waiting_for_grant", 60,
                       "waiting for a grant")
        self.launch()
        records = self.wait_item(7, "retry_wait", "ready", "due")
        self.assertNotIn("completed", [one[1] for one in records])
        begun, ended = [
            [one[5][1] for one in self.records()
             if one[0] == kind and hub_client.EVENTS[one[3]] == event and one[1][0] in
             self.local(7, self.records())][0]
            for kind, event in ((hub_client.ITEM, "started"), (hub_client.ATTEMPT, "attempt_ended"))]
        self.assertLessEqual(ended - begun, 5000)
        self.nap_offer(7, 60)  # the same assignment, another request: refused
        self.assertEqual(DONE, self.answer(self.nap_offer(7, 60)))
        self.wait_item(7, "running")

    def test_renewals_keep_a_part_running(self):
        self.fleet.db.execute("INSERT INTO grants VALUES('hub-1', 7, 1, 1, 6000)")
        self.nap_offer(7, 12, ttl_ms=6000)
        stop = self.renew_often()
        try:
            self.wait_item(7, "completed", seconds=40)
        finally:
            stop()
        self.assertEqual(1, [one[0] for one in self.items(7)].count("started"))
        self.assertGreater(self.metric("hub_grants_renewed_total"), 1)

    def renew_often(self):
        """Answers carry the grants; small requests make the hub push, so that it gets answers."""
        stopping = threading.Event()

        def push():
            client = self.new_client()
            count = 0
            while not stopping.wait(1):
                count += 1
                client.post("/capability-requests/enqueue",
                            sync_rig.hub_rig.order("small", "renew-%d" % count))
        thread = threading.Thread(target=push, daemon=True)
        thread.start()

        def stop():
            stopping.set()
            thread.join(10)
        return stop

    def test_kills_of_both_sides_run_each_offer_once_to_its_end(self):
        count = 12
        for process in range(1, count + 1):
            self.nap_offer(process, 1)
            if process % 4 == 0:
                self.hub.kill()
                self.hub.wait()
                self.restart_hub()
            if process % 6 == 0:
                self.endpoint.kill()
                self.endpoint.wait()
                self.launch()
        for process in range(1, count + 1):
            self.wait_item(process, "completed", seconds=90)
            events = [one[0] for one in self.items(process)]
            self.assertEqual((1, 1), (events.count("planned"), events.count("succeeded")), events)
        self.assertEqual({DONE}, {self.answer(number) for number in range(1, count + 1)})
        answers = [one[1][0] for one in self.records() if one[0] == hub_client.ANSWER]
        self.assertEqual(sorted(answers), list(range(1, count + 1)))

    def test_a_shutdown_leaves_a_part_for_the_next_start(self):
        self.nap_offer(7, 30)
        self.wait_item(7, "running")
        self.hub.signal(signal.SIGTERM)
        self.hub.wait()
        self.restart_hub()
        rig.wait_until(lambda: [one[0] for one in self.items(7)].count("started") == 2, 30,
                       "the second attempt")
        attempts = {one[6][7] for one in self.records() if one[0] == hub_client.ITEM}
        self.assertEqual({0}, attempts, "a shutdown is not counted")

    def test_the_example_offers_from_its_command_line(self):
        status, said, wrong = self.run_program(
            sys.executable, os.path.join(rig.ROOT, "docs/examples/endpoint.py"),
            "--database", self.fleet_file, "--offer", "hub-1", "maintenance")
        self.assertEqual(0, status, wrong)
        name = said.decode().strip()
        rig.wait_until(lambda: self.client.get("/processes/" + name).status == 200, 20, "the part")
        self.wait_status(name, "completed")


if __name__ == "__main__":
    unittest.main()
