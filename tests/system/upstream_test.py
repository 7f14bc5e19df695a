"""upstreamd against a hub written in Python: what it stores, what it refuses, what readers see."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
import unittest

import endpoint_rig
import hub_client
import rig
from hub_client import FORK, GAP, OK, Store

TOKEN = endpoint_rig.READER


class UpstreamCase(endpoint_rig.EndpointCase):
    def launch(self):
        self.upstream = self.start_upstreamd()

    def get(self, path, token=TOKEN, method="GET", body=None, headers=None):
        """(status, headers, body); JSON is decoded."""
        api = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=20 * rig.SLOW)
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = "Bearer " + token
        api.request(method, path, body, sent)
        answer = api.getresponse()
        data = answer.read()
        api.close()
        is_json = answer.getheader("Content-Type", "").startswith("application/json")
        return answer.status, answer.headers, json.loads(data) if is_json else data

    def json(self, path):
        status, _, body = self.get(path)
        self.assertEqual(200, status, body)
        return body

    def metric(self, name):
        for line in self.get("/metrics")[2].decode().splitlines():
            if line.startswith(name + " "):
                return int(line.split()[1])
        raise AssertionError("no metric " + name)


class Sync(UpstreamCase):
    def test_stores_groups_in_order_and_acknowledges_them(self):
        store, link, cursor = self.farm(), self.link(), 0
        for group in store.groups:
            reply = link.push(store, cursor, [group], hello=cursor == 0)
            self.assertEqual((200, OK), (reply.status, reply.result))
            cursor += len(group[2])
            self.assertEqual((cursor, group[1]), (reply.cursor, reply.chain))
            self.assertEqual([], reply.commands)
        self.assertEqual(store.head_seq, cursor)
        self.assertEqual(store.head_seq, self.metric("upstream_records_total"))
        self.assertEqual(0, self.metric("upstream_unknown_records_total"))

    def test_takes_duplicates_once(self):
        store, link = self.farm(), self.link()
        self.assertEqual(store.head_seq, link.push(store, 0, store.groups).cursor)
        again = link.push(store, 0, store.groups)
        self.assertEqual((OK, store.head_seq), (again.result, again.cursor))
        first_seq = store.head_seq + 1
        store.append(hub_client.phone(2, "SIM002"))
        overlap = link.push(store, 0, store.groups)
        self.assertEqual((OK, first_seq), (overlap.result, overlap.cursor))
        self.assertEqual(store.head_seq, self.metric("upstream_records_total"))
        self.assertEqual(8, len(self.json("/processes/hub-1-1-1/events")["events"]))

    def test_answers_a_gap_with_its_cursor(self):
        store, link = self.farm(), self.link()
        link.push(store, 0, store.groups[:1])
        reply = link.push(store, 1, store.groups[2:])
        self.assertEqual((200, GAP, 1), (reply.status, reply.result, reply.cursor))
        self.assertEqual(store.chain_at(1), reply.chain)
        self.assertEqual(OK, link.push(store, 1, store.groups[1:]).result)
        self.assertEqual(1, self.metric("upstream_gaps_total"))

    def test_sees_a_fork_and_stores_nothing(self):
        store, link = self.farm(), self.link()
        link.push(store, 0, store.groups[:2])
        wrong = [(first, b"wrong!!!", records) for first, _, records in store.groups[2:3]]
        reply = link.push(store, 2, wrong)
        self.assertEqual((200, FORK, 2), (reply.status, reply.result, reply.cursor))
        other = Store()
        other.append(hub_client.hub_booted())
        other.append(hub_client.phone(1, "ANOTHER"))
        other.append(hub_client.phone(2, "SIM002"))
        self.assertEqual(FORK, link.push(other, 2, other.groups[2:]).result)
        self.assertEqual(FORK, link.push(other, 0, other.groups).result)
        self.assertEqual(FORK, link.push(store, store.head_seq, []).result)  # beyond upstream's
        self.assertEqual(1, self.metric("upstream_forks_total"))  # one epoch, told four times
        self.assertEqual(2, self.json("/hubs")["hubs"][0]["cursor"])
        self.assertIn("event=sync_fork", self.upstream.output())
        self.assertEqual(OK, link.push(store, 2, store.groups[2:]).result)

    def test_sees_records_that_changed_under_the_same_hash(self):
        store, link = self.farm(), self.link()
        first, chain, _ = store.groups[0]
        forged = [(first, chain, [hub_client.hub_booted(hub_client.WALL_MS + 5)])]
        self.assertEqual(FORK, link.push(store, 0, forged).result)
        self.assertEqual(0, self.metric("upstream_records_total"))

    def test_takes_a_new_store_of_a_hub_but_not_an_older_epoch(self):
        store, link = self.farm(), self.link()
        link.push(store, 0, store.groups)
        newer = Store(epoch=2)
        newer.store_id = bytes(range(16, 32))
        newer.append(hub_client.hub_booted())
        self.assertEqual((OK, 1), (link.push(newer, 0, newer.groups).result, 1))
        self.assertEqual(2, self.json("/hubs")["hubs"][0]["store_epoch"])
        self.assertEqual(FORK, link.push(store, store.head_seq, []).result)
        self.assertEqual(FORK, link.push(store, 0, []).result)
        self.assertEqual("completed", self.json("/processes/hub-1-1-1")["status"])

    def test_keeps_a_record_that_it_does_not_understand(self):
        store, link = self.farm(), self.link()
        store.append(b"\xff no record at all")
        store.append(hub_client.phone(2, "SIM002"))
        self.assertEqual(store.head_seq, link.push(store, 0, store.groups).cursor)
        self.assertEqual(1, self.metric("upstream_unknown_records_total"))
        self.assertEqual(["SIM001", "SIM002"],
                         [one["phone_id"] for one in self.json("/phones")["phones"]])

    def test_keeps_hubs_apart(self):
        one, two = self.farm(), self.farm(2)
        self.assertEqual(OK, self.link("hub-1").push(one, 0, one.groups).result)
        self.assertEqual(OK, self.link("hub-2").push(two, 0, two.groups).result)
        hubs = {hub["hub_id"]: hub["cursor"] for hub in self.json("/hubs")["hubs"]}
        self.assertEqual({"hub-1": one.head_seq, "hub-2": two.head_seq}, hubs)
        self.assertEqual(2, len(self.json("/processes?hub=hub-2")["processes"]))


class Durability(UpstreamCase):
    def test_goes_on_where_it_was_after_a_restart(self):
        store = self.farm()
        self.link().push(store, 0, store.groups[:4])
        cursor = self.json("/hubs")["hubs"][0]["cursor"]
        self.assertEqual(0, self.upstream.stop())
        self.launch()
        hub = self.json("/hubs")["hubs"][0]
        self.assertEqual(cursor, hub["cursor"])
        link = self.link()
        self.assertEqual(GAP, link.push(store, cursor, store.groups[5:]).result)
        reply = link.push(store, 0, store.groups)
        self.assertEqual((OK, store.head_seq), (reply.result, reply.cursor))

    def push_until_killed(self, store, cursor):
        """Pushes one group after the other while upstreamd is killed; gives what it acknowledged."""
        link = self.link()
        timer = threading.Timer(0.15, self.upstream.kill)
        timer.start()
        try:
            for group in store.behind(cursor):
                cursor = link.push(store, cursor, [group]).cursor
        except (OSError, http.client.HTTPException):
            pass
        timer.join()
        link.close()
        return cursor

    def test_loses_nothing_it_acknowledged_when_killed(self):
        store, cursor = self.farm(300), 0
        kills = 0
        while kills < 5 and cursor < store.head_seq:
            cursor = self.push_until_killed(store, cursor)
            kills += 1
            self.upstream.wait()
            self.launch()
            kept = self.json("/hubs")["hubs"]
            self.assertGreaterEqual(kept[0]["cursor"] if kept else 0, cursor)
        self.assertGreaterEqual(kills, 2)
        reply = self.link().push(store, cursor, store.behind(cursor))
        self.assertEqual((OK, store.head_seq, store.chain),
                         (reply.result, reply.cursor, reply.chain))
        for number in (1, 150, 300):
            events = self.json("/processes/hub-1-1-%d/events" % number)["events"]
            self.assertEqual(list(range(1, 9)), [event["id"] for event in events])


class Reading(UpstreamCase):
    def setUp(self):
        super().setUp()
        self.store = self.farm(3)
        self.hub = self.link()
        self.hub.push(self.store, 0, self.store.groups)

    def test_shows_a_process_as_the_hub_would(self):
        shown = self.json("/processes/hub-1-1-1")
        self.assertEqual("hub-1-1-1", shown["process_id"])
        self.assertEqual(("completed", "DONE", 100), (
            shown["status"], shown["internal_status"], shown["progress_percent"]))
        self.assertEqual({"phone_id": "SIM001", "account_id": None}, shown["target"])
        self.assertEqual({"health": "good"}, shown["result"])
        self.assertIsNone(shown["error"])
        self.assertEqual({"queue_item_ids": ["hub-1-1-1.1"],
                          "completed_queue_item_ids": ["hub-1-1-1.1"]}, shown["linked_ids"])
        self.assertEqual("2023-11-14T22:13:20.010Z", shown["timestamps"]["created_at"])
        self.assertEqual("2023-11-14T22:13:20.020Z", shown["timestamps"]["finished_at"])
        self.assertEqual("2023-11-14T22:13:20.013Z", shown["timestamps"]["started_at"])
        self.assertEqual((False, "hub-1"), (shown["stale"], shown["hub_id"]))
        self.assertEqual(shown["status_as_of"], shown["hub_last_seen"])

    def test_shows_how_far_a_running_process_is(self):
        for group in hub_client.life(4)[:3]:
            self.store.append(*group)
        self.store.append(hub_client.attempt_step(4, 6, 15, 25))
        self.hub.push(self.store, 0, self.store.groups)
        shown = self.json("/processes/hub-1-1-4")
        self.assertEqual(("executing", 25, {"level": 80}, 6), (
            shown["status"], shown["progress_percent"], shown["result"], shown["last_event_id"]))

    def test_keeps_what_came_in_pushes_before(self):
        """Also when a process that is new comes between them, and an image that is not newer."""
        store = self.store
        pushes = [hub_client.life(4)[0], [hub_client.hub_booted()], hub_client.life(5)[0],
                  hub_client.life(4)[1] + hub_client.life(5)[1], hub_client.life(4)[2],
                  hub_client.life(4)[0], hub_client.life(4)[3]]
        for place, records in enumerate(pushes):
            cursor = store.head_seq
            store.append(*records)
            self.assertEqual(hub_client.OK, self.hub.push(store, cursor, store.behind(cursor)).result)
            shown = self.json("/processes/hub-1-1-4")
            self.assertEqual(("r-4", "maintenance"), (shown["request_id"], shown["process_type"]))
            wanted = "executing" if place == 5 else shown["status"]
            self.assertEqual(wanted, shown["status"], "an older image is history only")
        rows = {one["process_id"]: one for one in self.json("/processes")["processes"]}
        ended, leased = rows["hub-1-1-4"], rows["hub-1-1-5"]
        self.assertEqual(("completed", "r-4", "maintenance", 1), (
            ended["status"], ended["request_id"], ended["process_type"], ended["attempts"]))
        self.assertEqual(("queued", "r-5", "maintenance"), (
            leased["status"], leased["request_id"], leased["process_type"]))

    def test_lists_newest_first_and_filters(self):
        store = self.store
        store.append(*hub_client.life(4)[0])
        store.append(*hub_client.life(4)[1])
        self.hub.push(store, 0, store.groups)
        names = lambda path: [one["process_id"] for one in self.json(path)["processes"]]
        self.assertEqual(["hub-1-1-%d" % n for n in (4, 3, 2, 1)], names("/processes"))
        self.assertEqual(["hub-1-1-%d" % n for n in (1, 2, 3, 4)], names("/processes?sort=oldest"))
        self.assertEqual(["hub-1-1-4"], names("/processes?status=queued"))
        self.assertEqual(["hub-1-1-4"], names("/processes?status=CLAIMED"))
        self.assertEqual([], names("/processes?failed=1"))
        self.assertEqual([], names("/processes?type=other"))
        self.assertEqual([], names("/processes?hub=hub-9"))
        self.assertEqual(4, len(names("/processes?phone=SIM001&type=maintenance")))
        page = self.json("/processes?limit=3")
        self.assertEqual(3, len(page["processes"]))
        rest = self.json("/processes?limit=3&cursor=" + page["next_cursor"])
        self.assertEqual(["hub-1-1-1"], [one["process_id"] for one in rest["processes"]])
        self.assertIsNone(rest["next_cursor"])
        self.assertEqual("r-1", rest["processes"][0]["request_id"])
        self.assertEqual(1, rest["processes"][0]["attempts"])

    def test_shows_events_and_pages_of_them(self):
        page = self.json("/processes/hub-1-1-2/events?limit=3")
        self.assertEqual([1, 2, 3], [event["id"] for event in page["events"]])
        self.assertEqual((3, True, False), (page["last_id"], page["more"], page["gap"]))
        page = self.json("/processes/hub-1-1-2/events?after=3")
        self.assertEqual(["leased", "started", "attempt_ended", "succeeded", "finished"],
                         [event["type"] for event in page["events"]])
        self.assertEqual("completed", page["events"][-1]["status"])
        self.assertFalse(page["more"])

    def test_streams_history_and_what_follows(self):
        store = self.store
        groups = hub_client.life(4)
        store.append(*groups[0])
        self.hub.push(store, 0, store.groups)
        api = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=20 * rig.SLOW)
        self.addCleanup(api.close)
        api.request("GET", "/processes/hub-1-1-4/stream",
                    headers={"Authorization": "Bearer " + TOKEN, "Last-Event-ID": "1"})
        answer = api.getresponse()
        self.assertEqual("text/event-stream", answer.getheader("Content-Type").split(";")[0])
        ids = [self.read_event(answer)["id"] for _ in range(2)]
        for group in groups[1:]:
            store.append(*group)
        self.hub.push(store, 0, store.groups)
        ids += [self.read_event(answer)["id"] for _ in range(5)]
        self.assertEqual([2, 3, 4, 5, 6, 7, 8], ids)
        self.assertEqual(b"", answer.read())  # closed: the process has ended
        status = self.get("/processes/hub-1-1-4/stream", headers={"Last-Event-ID": "8"})[0]
        self.assertEqual(204, status)

    def read_event(self, answer):
        number, data = None, None
        while True:
            line = answer.readline().decode()
            self.assertNotEqual("", line, "the stream ended early")
            line = line.rstrip("\n")
            if line == "" and data is not None:
                self.assertEqual(number, data["id"])
                return data
            if line.startswith("id: "):
                number = int(line[4:])
            if line.startswith("data: "):
                data = json.loads(line[6:])

    def test_shows_hubs_and_phones(self):
        hub = self.json("/hubs")["hubs"][0]
        self.assertEqual(("hub-1", "11" * 16, 1, 1, self.store.head_seq, 0), (
            hub["hub_id"], hub["store_id"], hub["store_epoch"], hub["boot"], hub["cursor"],
            hub["forks"]))
        self.assertFalse(hub["stale"])
        self.assertIn("sync_lag_ms", hub)
        phone = self.json("/phones/SIM001")
        self.assertEqual(("ready", "hub-1", None), (
            phone["state"], phone["hub_id"], phone["process_id"]))
        self.assertEqual(404, self.get("/phones/NONE")[0])
        for group in hub_client.life(4)[:2]:
            self.store.append(*group)
        self.hub.push(self.store, 0, self.store.groups)
        phone = self.json("/phones")["phones"][0]
        self.assertEqual(("leased", "hub-1-1-4", "hub-1-1-4.1"), (
            phone["state"], phone["process_id"], phone["item_id"]))

    def test_refuses_by_token_path_and_query(self):
        def code(path, **options):
            status, _, body = self.get(path, **options)
            return status, body["error"]["code"]
        self.assertEqual((401, "unauthorized"), code("/processes", token=None))
        self.assertEqual((401, "unauthorized"), code("/processes", token="wrong"))
        self.assertEqual((403, "forbidden"), code("/processes", token="worker-secret-01"))
        self.assertEqual((404, "not_found"), code("/nothing"))
        for name in ("hub-1-1-99", "hub-1-2-1", "hub-9-1-1", "x"):
            self.assertEqual((404, "not_found"), code("/processes/" + name))
        self.assertEqual((405, "method_not_allowed"), code("/hubs", method="POST", body=b""))
        self.assertEqual((400, "malformed_query"), code("/processes?limit=x"))
        self.assertEqual((400, "malformed_query"), code("/processes?status=odd"))
        self.assertEqual((400, "malformed_query"), code("/processes?sort=odd"))
        for path, expected in (("/maintenance/requests", (422, "unknown_process_type")),
                               ("/capability-requests/enqueue", (422, "missing_member")),
                               ("/processes/hub-1-1-99/cancel", (404, "not_found"))):
            self.assertEqual(expected, code(
                path, method="POST", body=b"{}", token="caller-secret-01"))
        self.assertEqual(200, self.get("/healthz", token=None)[0])
        self.assertEqual(200, self.get("/readyz", token=None)[0])

    def test_loads_tokens_and_certificates_again(self):
        tokens = self.write("tokens", "other read another-secret-01\n")
        os.chmod(tokens, 0o600)
        self.make_certs(self.path("new"), 30, "hub-3")
        for name in ("ca.crt", "server.crt", "server.key"):
            os.replace(self.path("new", name), self.path("certs", name))
        self.upstream.signal(signal.SIGHUP)
        self.upstream.wait_for("event=reloaded")
        self.assertEqual(401, self.get("/hubs")[0])
        self.assertEqual(200, self.get("/hubs", token="another-secret-01")[0])
        self.assertEqual(OK, self.hub.push(self.store, 0, self.store.groups).result)
        shutil.copy(self.path("certs", "ca.crt"), self.path("new"))
        store = self.farm()
        self.assertEqual(OK, self.link("hub-3", self.path("new")).push(
            store, 0, store.groups).result)


class Commands(rig.Case):
    def test_says_what_it_is_and_refuses_a_wrong_configuration(self):
        self.assertEqual(0, self.run_program("upstreamd", "--help")[0])
        self.assertEqual(0, self.run_program("upstreamd", "--version")[0])
        self.assertEqual(2, self.run_program("upstreamd")[0])
        path = self.write("bad.ini", "[api]\nlisten = tcp:127.0.0.1:1\nlissten = x\n")
        status, _, err = self.run_program("upstreamd", "--check-config", "--config", path)
        self.assertEqual(2, status)
        self.assertIn(b"bad.ini:3", err)
        self.assertIn(b"lissten", err)

    def test_leaves_a_database_of_another_program_alone(self):
        certs, database = self.path("certs"), self.path("other.db")
        script = os.path.join(rig.ROOT, "scripts", "demo-certs.sh")
        subprocess.run(["bash", script, certs, "30"], check=True)
        subprocess.run(["sqlite3", database, "CREATE TABLE notes(text)"], check=True)
        port = rig.free_ports(2)
        tokens = self.write("tokens", "reader read %s\n" % TOKEN)
        config = self.write("upstreamd.ini", "\n".join([
            "[api]", "listen = tcp:127.0.0.1:%d" % port, "token_file = " + tokens,
            "[sync]", "listen = tcp:127.0.0.1:%d" % (port + 1), "ca = %s/ca.crt" % certs,
            "cert = %s/server.crt" % certs, "key = %s/server.key" % certs,
            "[store]", "sqlite = " + database, ""]))
        status, _, err = self.run_program("upstreamd", "--config", config)
        self.assertEqual(3, status)
        self.assertIn(b"another program", err)


if __name__ == "__main__":
    unittest.main()
