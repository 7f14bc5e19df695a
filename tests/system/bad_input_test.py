"""Bad input: each is refused with a specific error, stores nothing, and disturbs nobody else."""

import hashlib
import os
import socket
import struct
import threading
import unittest

import hub_rig
import rig
import store_reader


class Api(hub_rig.HubCase):
    limit_seconds = 90

    def setUp(self):
        super().setUp()
        self.write("tokens", hub_rig.TOKENS + "reader read read-secret\n"
                   "bound submit,read bound-secret shop\n")
        self.start_hub()
        self.head = self.head_seq()

    def assert_nothing_stored(self):
        other = self.new_client()
        self.assertEqual(self.head_seq(other), self.head)
        self.assertEqual(other.get("/healthz").status, 200)

    def refused(self, status, code, body, path="/capability-requests/enqueue", pointer=None,
                client=None):
        answer = (client or self.new_client()).post(path, body)
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.body["error"]["code"], code)
        self.assertTrue(answer.body["error"]["message"])
        if pointer is not None:
            self.assertEqual(answer.body["error"]["pointer"], pointer)
        self.assert_nothing_stored()

    def test_malformed_json_is_pointed_at(self):
        for text, pointer in ((b"", ""), (b"{", ""), (b'{"a":}', "/a"), (b'{"a":{"b":[1,]}}', None),
                              (b'{"a":1,"a":2}', None), (b'{"a":"\\ud800"}', "/a"),
                              (b'{"a":01}', "/a"), (b'{"a":1} x', None), (b"\xff", None)):
            self.refused(400, "malformed_json", text, pointer=pointer)
        self.refused(400, "malformed_json", b'{"a":' + b"[" * 100 + b"]" * 100 + b"}")

    def test_wrong_members_are_named(self):
        order = hub_rig.order
        good = order("maintenance", "r")
        for change, code, pointer in (
                ({"capability": None}, "missing_member", ""),
                ({"capability": 7}, "invalid_member", "/capability"),
                ({"capability": "nothing"}, "unknown_process_type", "/capability"),
                ({"mode": None}, "missing_member", ""),
                ({"mode": "sometimes"}, "invalid_member", "/mode"),
                ({"target": None}, "missing_member", ""),
                ({"target": {"routing": "moon"}}, "routing_not_allowed", "/target/routing"),
                ({"target": {"routing": "direct"}}, "missing_member", "/target"),
                ({"target": {"routing": "direct", "phone_id": "no"}}, "unknown_phone",
                 "/target/phone_id"),
                ({"target": {"routing": "group"}}, "invalid_target", "/target"),
                ({"target": {"routing": "group", "phone_ids": ["no"]}}, "unknown_phone",
                 "/target/phone_ids/0"),
                ({"target": {"routing": "group", "phone_ids": ["a"], "account_ids": ["b", "c"]}},
                 "invalid_target", "/target"),
                ({"requested_by": None}, "missing_member", ""),
                ({"requested_by": {"user": "x"}}, "missing_member", "/requested_by"),
                ({"inputs": []}, "invalid_member", "/inputs"),
                ({"inputs": {"steps": [{"action": "fly"}]}}, "unknown_step", "/inputs"),
                ({"callback": {"url": "ftp://x"}}, "invalid_callback", "/callback/url"),
                ({"callback": {}}, "missing_member", "/callback"),
                ({"priority": 10}, "invalid_member", "/priority"),
                ({"deadline": "tomorrow"}, "invalid_member", "/deadline"),
                ({"not_before": 5}, "invalid_member", "/not_before"),
                ({"concurrency_key": ""}, "invalid_member", "/concurrency_key"),
                ({"target": {"routing": "queue", "account_group": "g"}}, "not_supported",
                 "/target/account_group"),
                ({"target": {"routing": "group", "account_ids": ["a", ""]}}, "invalid_member",
                 "/target/account_ids/1"),
                ({"target": {"routing": "group", "phone_ids": "a"}}, "invalid_member",
                 "/target/phone_ids"),
                ({"labels": "a"}, "invalid_member", "/labels"),
                ({"labels": ["a", "b c"]}, "invalid_member", "/labels/1"),
                ({"labels": ["x" * 100, "y" * 100]}, "invalid_member", "/labels/1")):
            body = {name: value for name, value in dict(good, **change).items()
                    if value is not None}
            self.refused(422, code, body, pointer=pointer)
        self.refused(422, "invalid_body", b"[]")
        self.refused(422, "too_large", dict(good, inputs={"a": "x" * 20000}), pointer="/inputs")

    def test_tokens_scopes_and_systems(self):
        body = hub_rig.order("maintenance", "r")
        self.refused(401, "unauthorized", body, client=self.new_client("wrong"))
        self.refused(401, "unauthorized", body, client=self.new_client(""))
        self.refused(403, "forbidden", body, client=self.new_client("read-secret"))
        self.refused(403, "forbidden", body, client=self.new_client("bound-secret"))
        mine = dict(body, requested_by={"system": "shop"})
        answer = self.new_client("bound-secret").post("/capability-requests/enqueue", mine)
        self.assertEqual(answer.status, 202)

    def test_paths_methods_and_queries(self):
        for method, path, status in (("GET", "/nothing", 404), ("DELETE", "/processes", 405),
                                     ("POST", "/phones", 405), ("GET", "/processes/x", 404),
                                     ("GET", "/processes/hub-1-1-99", 404),
                                     ("GET", "/processes?limit=many", 400),
                                     ("GET", "/processes?cursor=-1", 400),
                                     ("GET", "/phones/none", 404)):
            answer = self.new_client().call(method, path)
            self.assertEqual(answer.status, status, path)
            self.assertTrue(answer.body["error"]["code"])
            self.assert_nothing_stored()
        identity = self.submit("maintenance")
        self.head = self.head_seq()
        for query in ("after=x", "limit=-1", "limit=201", "after=%zz"):
            answer = self.client.get("/processes/%s/events?%s" % (identity, query))
            self.assertEqual((answer.status, answer.body["error"]["code"]),
                             (400, "malformed_query"), query)
            self.assert_nothing_stored()
        bad = self.new_client().get("/processes/%s/stream" % identity, {"Last-Event-ID": "x"})
        self.assertEqual(bad.status, 400)

    def raw(self, text):
        """Sends raw bytes; gives the status of the answer, or None when there is none."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=40 * rig.SLOW) as one:
            one.sendall(text)
            answer = one.recv(4096)
            return int(answer.split()[1]) if answer else None

    def test_http_itself(self):
        head = b"POST /capability-requests/enqueue HTTP/1.1\r\nHost: h\r\n"
        for text, status in (
                (head + b"Content-Length: x\r\n\r\n", 400),
                (head + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
                (head + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 400),
                (head + b"Content-Length: 999999999\r\n\r\n", 413),
                (head + b"X: " + b"a" * 10000 + b"\r\n\r\n", 431),
                (b"GET / HTTP/1.1\nHost: h\n\n", 400), (b"nonsense\r\n\r\n", 501)):
            self.assertEqual(self.raw(text), status, text[:80])
            self.assert_nothing_stored()

    def test_a_slow_client_gets_408_while_others_are_served(self):
        slow = socket.create_connection(("127.0.0.1", self.port), timeout=60 * rig.SLOW)
        self.addCleanup(slow.close)
        slow.sendall(b"POST /capability-requests/enqueue HTTP/1.1\r\nHost: h\r\n")
        answers = []
        reader = threading.Thread(target=lambda: answers.append(slow.recv(4096)), daemon=True)
        reader.start()
        while reader.is_alive():
            self.assertEqual(self.client.get("/healthz").status, 200)
            reader.join(0.2)
        self.assertIn(b" 408 ", answers[0])

    def test_a_full_hub_refuses_and_loses_nothing(self):
        accepted = []
        body = hub_rig.order("maintenance")
        for _ in range(5000):
            answer = self.client.post("/capability-requests/enqueue", body)
            if answer.status != 202:
                break
            accepted.append(answer.body["process_id"])
        self.assertEqual((answer.status, answer.body["error"]["code"]),
                         (503, "capacity_exhausted"))
        self.assertTrue(answer.headers["Retry-After"])
        self.assertGreater(len(accepted), 1000)
        full = self.head_seq()
        self.assertEqual(self.client.post("/capability-requests/enqueue", body).status, 503)
        self.assertEqual(self.head_seq(), full)
        for identity in (accepted[0], accepted[-1]):
            self.assertEqual(self.process(identity)["status"], "queued")
        for identity in accepted[:10]:
            self.assertEqual(self.client.post("/processes/%s/cancel" % identity).status, 200)
        self.assertEqual(self.client.post("/capability-requests/enqueue", body).status, 202)


class Start(hub_rig.HubCase):
    limit_seconds = 60

    def refused(self, text, *expected, status=2):
        config = self.write("bad.ini", text)
        code, _, error = self.run_program("hubd", "--config", config)
        self.assertEqual(code, status, error)
        for part in expected:
            self.assertIn(part, error.decode())
        return error.decode()

    def test_a_wrong_configuration_is_refused_with_its_line(self):
        good = self.config_text()
        for line, expected in (("[hub]\ncolour = red\n", "[hub] colour"),
                               ("[garden]\nx = 1\n", "[garden]"),
                               ("[stop]\ngrace_seconds = soon\n", "[stop] grace_seconds"),
                               ("[store]\nsize = 7 bananas\n", "[store] size"),
                               ("[api]\nlisten = here\n", "[api] listen"),
                               ("[phones]\ntcp = 127.0.0.1\n", "[phones] tcp"),
                               ("[upstream]\nurl = http://127.0.0.1:1\n", "[upstream] url"),
                               ("[api]\nstreams = 0\n", "[api] streams"),
                               ("[slots]\nlabels = rack-1\n", "[slots] labels"),
                               ("[slots]\nlabels = usb:1-1\n", "[slots] labels"),
                               ("[slots]\nlabels = usb:1-1 rack 1\n", "[slots] labels"),
                               ("[slots]\nlabels = usb:1-1 a\nlabels = usb:1-1 b\n",
                                "[slots] labels"),
                               ("[hub]\nboard = moon\n", "[hub] board")):
            text = good + line
            place = "bad.ini:%d:" % (text.count("\n"))
            error = self.refused(text, expected)
            self.assertTrue(place in error or "bad.ini:%d:" % (text.count("\n") - 1) in error,
                            error)
        self.refused(good.replace("[store]", "[stop]", 1), "[st")
        self.refused("", "[hub] id")
        self.refused(good.replace("tcp:127.0.0.1", "tcp:0.0.0.0"), "loopback")
        self.refused(good + "[api]\nstreams = 1001\n", "[api] streams", "this board has")
        self.assertFalse(os.path.exists(self.path("hub.store")))

    def test_wrong_tokens_and_capabilities_are_refused(self):
        self.write("tokens", "only-a-name\n")
        self.refused(self.config_text(), "tokens:1:")
        self.write("tokens", hub_rig.TOKENS)
        self.write("capabilities/bad.ini", "[capability]\nname = bad\nattempts = none\n")
        self.refused(self.config_text(), "bad.ini:3:", "attempts")

    def test_options(self):
        for arguments in ((), ("--config",), ("--configuration", "x"), ("--config", "a", "b")):
            code, _, error = self.run_program("hubd", *arguments)
            self.assertEqual(code, 2, arguments)
            self.assertTrue(error)
        code, out, _ = self.run_program("hubd", "--help")
        self.assertEqual(code, 0)
        self.assertIn(b"--check-config", out)
        config = self.write("good.ini", self.config_text())
        code, out, _ = self.run_program("hubd", "--config", config, "--check-config")
        self.assertEqual((code, os.path.exists(self.path("hub.store"))), (0, False))

    def digest(self):
        with open(self.path("hub.store"), "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def test_a_store_that_is_not_its_own_is_left_untouched(self):
        self.start_hub()
        self.submit("maintenance")
        store = self.path("hub.store")
        self.refused(self.config_text(), store, "another process", status=3)  # a second hubd on it
        self.assertEqual(self.hub.stop(), 0)
        before = self.digest()
        self.refused(self.config_text(hub_id="hub-2"), store, "another hub id", status=3)
        self.refused(self.config_text(size="32MiB"), store, "[store] size", status=3)
        self.assertEqual(self.digest(), before)
        with open(store, "rb") as file:
            content = bytearray(file.read())
        for at in range(0, len(content), 4096):
            if content[at:at + 4] == b"HUBD":
                content[at + 4] = 99  # of a hubd that is newer
                content[at + 124:at + 128] = struct.pack(
                    "<I", store_reader.crc32c(0, bytes(content[at:at + 124])))
        self.write("hub.store", bytes(content))
        before = self.digest()
        self.refused(self.config_text(), store, "format", "left untouched", status=3)
        self.assertEqual(self.digest(), before)
        self.write("hub.store", b"letters to my grandmother" * 10000)
        before = self.digest()
        self.refused(self.config_text(), "store", status=3)
        self.assertEqual(self.digest(), before)


if __name__ == "__main__":
    unittest.main()
