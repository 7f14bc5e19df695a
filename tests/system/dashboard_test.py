"""What the dashboard needs of the API: its files, the whole hub as it changes, history, order."""

import gzip
import os
import signal

import endpoint_rig
import hub_rig
import rig

FILES = sorted(os.listdir(os.path.join(rig.ROOT, "host", "dashboard")))
LIMIT_BYTES = 150 * 1024


class Files(hub_rig.HubCase):
    def test_are_served_without_a_token_and_with_a_strict_policy(self):
        self.start_hub()
        client = self.new_client(secret=None)
        total = 0
        for name in FILES:
            path = "/" if name == "index.html" else "/dashboard/" + name
            answer = client.get(path)
            self.assertEqual(answer.status, 200, path)
            policy = answer.headers["Content-Security-Policy"]
            self.assertIn("default-src 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
            total += int(answer.headers["Content-Length"])
        self.assertLessEqual(total, LIMIT_BYTES)
        self.assertEqual(client.get("/dashboard/nothing.js").status, 404)
        self.assertEqual(client.get("/processes").status, 401)

    def test_come_compressed_and_only_when_they_are_new(self):
        self.start_hub()
        plain = self.client.get("/")
        with open(os.path.join(rig.ROOT, "host", "dashboard", "index.html"), "rb") as file:
            self.assertEqual(plain.body.encode(), file.read())
        self.client.connection.request("GET", "/", headers={"Accept-Encoding": "br, gzip"})
        answer = self.client.connection.getresponse()
        self.assertEqual(answer.headers["Content-Encoding"], "gzip")
        self.assertEqual(gzip.decompress(answer.read()).decode(), plain.body)
        weighed = self.client.get("/", {"Accept-Encoding": "gzip;q=0"})
        self.assertIsNone(weighed.headers["Content-Encoding"])
        tag = plain.headers["ETag"]
        for known in (tag, '"other", ' + tag):
            again = self.client.get("/", {"If-None-Match": known})
            self.assertEqual((again.status, again.body), (304, ""))
        self.assertEqual(self.client.get("/", {"If-None-Match": '"other"'}).status, 200)


class Watching(hub_rig.HubCase):
    def watch(self, last_id=None):
        stream = hub_rig.Stream(self.port, path="/stream", last_id=last_id)
        self.addCleanup(stream.close)
        self.assertEqual(stream.status, 200)
        return stream

    def test_tells_all_phones_first_then_each_change(self):
        _, port = self.start_phones(3)
        self.start_hub(range(port, port + 3))
        self.wait_phones("SIM001", "SIM002", "SIM003")
        stream = self.watch()
        self.assertEqual(stream.next_named()[0], "anew")
        first = {stream.wait("phone")["phone_id"] for _ in range(3)}
        self.assertEqual(first, {"SIM001", "SIM002", "SIM003"})
        self.assertEqual(stream.wait("hub")["phones"]["ready"], 3)
        process = self.nap(1, phone="SIM002")
        leased = stream.wait("phone", lambda row: row["state"] == "leased")
        self.assertEqual((leased["phone_id"], leased["process_type"]), ("SIM002", "nap"))
        row = stream.wait("process", lambda row: row["status"] == "completed")
        self.assertEqual(row["process_id"], process)
        row.pop("updated_at")
        listed = self.client.get("/processes").body["processes"][0]
        listed.pop("updated_at")
        self.assertEqual(row, listed)

    def test_goes_on_behind_the_last_event_that_a_client_has_seen(self):
        _, port = self.start_phones(2)
        self.start_hub([port, port + 1])
        self.wait_phones("SIM001", "SIM002")
        stream = self.watch()
        stream.wait("hub", lambda row: row["phones"]["ready"] == 2)
        stream.close()
        self.client.post("/phones/SIM001/label", {"labels": ["seen-later"]})
        process = self.submit("final")
        self.wait_end(process)
        again = self.watch(stream.last_id)
        rows = []
        again.wait("process", lambda row: rows.append(row) or row["status"] == "failed_terminal")
        self.assertEqual(rows[-1]["error"]["category"], "exit_code")
        third = self.watch(again.last_id)
        name, _, row = third.next_named()
        while name != "hub":
            self.assertFalse(name == "phone" and row["phone_id"] == "SIM002", "told again: %s" % row)
            name, _, row = third.next_named()

    def test_tells_all_anew_after_a_restart_of_the_hub(self):
        _, port = self.start_phones(1)
        self.start_hub([port])
        self.wait_phones("SIM001")
        stream = self.watch()
        stream.wait("hub")
        self.hub.stop(signal.SIGKILL)
        self.restart_hub()
        again = self.watch(stream.last_id)
        self.assertEqual(again.next_named()[0], "anew")
        self.assertEqual(again.wait("phone")["phone_id"], "SIM001")
        self.assertEqual(self.watch(1 << 60).next_named()[0], "anew")

    def test_a_phone_shows_battery_temperature_and_its_last_error(self):
        _, port = self.start_phones(1)
        self.start_hub([port], vitals=1)
        self.wait_phones("SIM001")
        stream = self.watch()
        row = stream.wait("phone", lambda row: row["battery_percent"] is not None)
        self.assertTrue(0 <= row["battery_percent"] <= 100 and 20 < row["temperature_c"] < 40, row)
        self.assertRegex(row["vitals_at"], hub_rig.TIME)
        self.assertIsNone(row["last_error"])
        process = self.submit("final", phone="SIM001")
        row = stream.wait("phone", lambda row: row["last_error"] is not None)
        self.assertEqual((row["last_error"]["category"], row["last_error"]["process_id"]),
                         ("exit_code", process))
        self.assertEqual(self.phone("SIM001")["last_error"], row["last_error"])

    def test_refuses_more_watchers_than_there_is_room_for(self):
        self.start_hub()
        for _ in range(32):
            self.watch()
        answer = self.client.get("/stream")
        self.assertEqual((answer.status, answer.body["error"]["code"]), (503, "capacity_exhausted"))


class Lists(hub_rig.HubCase):
    def ids(self, query):
        ids, cursor = [], None
        while True:
            page = self.client.get("/processes?limit=2&" + query +
                                   ("&cursor=" + cursor if cursor else "")).body
            ids += [row["process_id"] for row in page["processes"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return ids

    def test_come_by_status_by_last_change_and_from_a_span_of_time(self):
        _, port = self.start_phones(1)
        self.start_hub([port])
        self.wait_phones("SIM001")
        done = [self.nap(0), self.submit("final"), self.nap(0)]
        for process in done:
            self.wait_end(process)
        between = self.client.get("/processes/" + done[2]).body["timestamps"]["created_at"]
        held = self.submit("patient", phone="SIM001")
        self.wait_status(held, "retrying")
        self.assertEqual(self.ids("sort=status"), [done[1], held, done[2], done[0]])
        self.assertEqual(self.ids("sort=oldest"), done + [held])
        self.client.post("/processes/%s/retry" % done[1])
        self.wait_status(done[1], "failed_terminal")
        self.assertEqual(self.ids("sort=changed"), [done[1], held, done[2], done[0]])
        self.assertEqual(self.ids("since=" + between), [held, done[2]])
        self.assertEqual(self.ids("until=" + between), [done[1], done[0]])
        self.assertEqual(self.ids("failed=1&since=" + between), [])

    def test_the_history_counts_processes_and_errors(self):
        _, port = self.start_phones(1)
        self.start_hub([port])
        self.wait_phones("SIM001")
        for process in (self.nap(0), self.submit("final")):
            self.wait_end(process)

        def newest():
            history = self.client.get("/history").body
            series = history["series"]
            lengths = {len(values) for values in series.values()}
            self.assertEqual(lengths, {len(history["at"])})
            return {name: values[-1] for name, values in series.items()}
        rig.wait_until(lambda: newest().get("exit_code") == 1, 10, "the error is counted")
        last = newest()
        self.assertEqual((last["completed"], last["failed_terminal"], last["phones_ready"]), (1, 1, 1))
        stays = self.client.get("/history").body["time_in_state"]
        self.assertEqual(len(stays["states"]["running"]["counts"]), len(stays["limits_ms"]) + 1)

    def test_a_token_is_told_what_it_may_do(self):
        self.token_file = self.write("tokens", hub_rig.TOKENS + "eve read eves-secret ci\n")
        os.chmod(self.token_file, 0o600)
        self.start_hub()
        self.assertEqual(self.client.get("/whoami").body["scopes"], ["submit", "read", "operate"])
        who = self.new_client("eves-secret").get("/whoami").body
        self.assertEqual(who, {"name": "eve", "scopes": ["read"], "system": "ci",
                               "program": "hubd", "hub_id": "hub-1"})


class Upstream(endpoint_rig.EndpointCase):
    def launch(self):
        self.upstream = self.start_upstreamd()

    def test_serves_the_same_files_and_tells_when_hubs_push(self):
        client = hub_rig.Client(self.api_port, endpoint_rig.READER)
        self.addCleanup(client.close)
        self.assertEqual(client.get("/").headers["Content-Type"], "text/html; charset=utf-8")
        self.assertEqual(client.get("/whoami").body["program"], "upstreamd")
        stream = hub_rig.Stream(self.api_port, path="/stream", secret=endpoint_rig.READER)
        self.addCleanup(stream.close)
        self.assertEqual(stream.wait("change")["records"], 0)
        store, link = self.farm(), self.link()
        link.push(store, 0, store.groups, hello=True)
        change = stream.wait("change", lambda row: row["records"] > 0)
        self.assertEqual(change["records"], store.head_seq)
        self.assertEqual((change["hubs"], change["hubs_stale"], change["forks"]), (1, 0, 0))
        history = client.get("/history").body
        self.assertEqual(len(history["at"]), len(history["series"].get("hubs", history["at"])))
