"""A hub for tests: its files, its HTTP API, its phones."""

import http.client
import json
import os
import re
import socket
import time

import rig

SECRET = "all-scopes-secret"
TOKENS = "all submit,read,operate %s\n" % SECRET
TERMINAL = ("completed", "failed_terminal", "cancelled")
MILESTONES = ("created_at", "accepted_at", "queued_at", "executing_at", "started_at",
              "first_device_at", "retrying_at", "finished_at")
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

# name -> file; what the tests need and the shipped capabilities do not have.
CAPABILITIES = {
    "nap": """[capability]
name = nap
routing = direct, queue, group
unattended = permitted, live_verified
[action.nap]
type = shell
command = sleep ${seconds}
timeout_seconds = 60
""",
    "brittle": """[capability]
name = brittle
attempts = 3
backoff_ms = 100
backoff_factor = 2
backoff_cap_seconds = 1
retry_on = exit_code, timeout, phone_lost, adb
[action.first]
type = shell
command = echo first
[action.id]
type = shell
command = id
timeout_seconds = 1
""",
    "patient": """[capability]
name = patient
attempts = 3
backoff_ms = 86400000
backoff_cap_seconds = 86400
retry_on = exit_code
unattended = permitted
[action.no]
type = shell
command = false
""",
    "final": """[capability]
name = final
retry_on = none
[action.no]
type = shell
command = exit 7
""",
}


def without_none(body):
    return {name: value for name, value in body.items() if value is not None}


class Answer:
    """Status, headers and body of one response; the body is parsed where it is JSON."""

    def __init__(self, response):
        raw = response.read()
        self.status = response.status
        self.headers = response.headers
        is_json = (response.headers.get("Content-Type") or "").startswith("application/json")
        self.body = json.loads(raw) if is_json and raw else raw.decode("utf-8", "replace")

    def __repr__(self):
        return "%d %s" % (self.status, json.dumps(self.body))


class Client:
    """One keep-alive connection to a hub."""

    def __init__(self, port, secret=SECRET):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60 * rig.SLOW)
        self.secret = secret

    def call(self, method, path, body=None, headers=None):
        sent = {"Authorization": "Bearer " + self.secret} if self.secret else {}
        sent.update(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.connection.request(method, path, body, sent)
        try:
            return Answer(self.connection.getresponse())
        except http.client.RemoteDisconnected:  # it was idle for too long, as any client may be
            if method != "GET":
                raise
            self.connection.request(method, path, body, sent)
            return Answer(self.connection.getresponse())

    def get(self, path, headers=None):
        return self.call("GET", path, None, headers)

    def post(self, path, body=None, headers=None):
        return self.call("POST", path, b"" if body is None else body, headers)

    def close(self):
        self.connection.close()


def order(capability, request_id=None, phone=None, phones=None, **more):
    """The body of an enqueue request: queue routing unless phones are named."""
    routing = "direct" if phone else "group" if phones else "queue"
    target = without_none({"routing": routing, "phone_id": phone, "phone_ids": phones})
    body = {"capability": capability, "mode": "manual", "target": target, "inputs": {},
            "requested_by": {"system": "tests"}, "request_id": request_id}
    body.update(more)
    return without_none(body)


class Stream:
    """A client of server-sent events."""

    def __init__(self, port, process=None, last_id=None, path=None, secret=SECRET):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=40 * rig.SLOW)
        head = "GET %s HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer %s\r\n" % (
            path or "/processes/%s/stream" % process, secret)
        head += "" if last_id is None else "Last-Event-ID: %s\r\n" % last_id
        self.socket.sendall((head + "\r\n").encode())
        self.response = http.client.HTTPResponse(self.socket)
        self.response.begin()
        self.status = self.response.status

    def next(self):
        """The next event as (id, data); None at the end."""
        identity = data = None
        while True:
            line = self.response.readline().decode()
            if line == "":
                return None
            if line == "\n" and data is not None:
                return identity, data
            if line.startswith("id: "):
                identity = int(line[4:])
            elif line.startswith("data: "):
                data = json.loads(line[6:])

    def next_named(self):
        """The next event as (name, id, data)."""
        name = "message"
        while True:
            line = self.response.readline().decode()
            if line.startswith("event: "):
                name = line[7:].strip()
            elif line.startswith("id: "):
                identity = int(line[4:])
            elif line.startswith("data: "):
                return name, identity, json.loads(line[6:])
            elif line == "":
                raise AssertionError("the stream has ended")

    def wait(self, name, matches=lambda data: True):
        """The data of the next event of this name that matches."""
        while True:
            found, identity, data = self.next_named()
            self.last_id = identity
            if found == name and matches(data):
                return data

    def rest(self):
        return list(iter(self.next, None))

    def close(self):
        self.response.close()
        self.socket.close()


class HubCase(rig.Case):
    """A test with a hub; `start_hub` and `start_phones` as it needs them."""

    def setUp(self):
        super().setUp()
        self.port = rig.free_ports(1)
        self.hub = None
        self.client = None
        for name, text in CAPABILITIES.items():
            self.write("capabilities/%s.ini" % name, text)
        shipped = os.path.join(rig.ROOT, "capabilities", "maintenance.ini")
        with open(shipped, encoding="utf-8") as file:
            self.write("capabilities/maintenance.ini", file.read())
        self.token_file = self.write("tokens", TOKENS)
        os.chmod(self.token_file, 0o600)

    def config_text(self, phones=(), **changes):
        values = {"hub_id": "hub-1", "store": self.path("hub.store"), "size": "16MiB",
                  "listen": "tcp:127.0.0.1:%d" % self.port, "grace": 2}
        values.update(changes)
        text = "[hub]\nid = %(hub_id)s\n[store]\npath = %(store)s\nsize = %(size)s\n" \
               "[api]\nlisten = %(listen)s\n" % values
        text += "token_file = %s\n[capabilities]\ndir = %s\n[stop]\ngrace_seconds = %d\n" % (
            self.token_file, self.path("capabilities"), values["grace"])
        if phones:
            text += "[phones]\n"
            for first in range(0, len(phones), 8):  # a line has a limit
                text += "tcp = %s\n" % ", ".join(
                    "127.0.0.1:%d" % port for port in phones[first:first + 8])
        if "vitals" in changes:
            text += "[phones]\nvitals_seconds = %d\n" % changes["vitals"]
        if "delayed_ack" in changes:
            text += "[phones]\ndelayed_ack = %s\n" % changes["delayed_ack"]
        return text

    def start_hub(self, phones=(), **changes):
        """Starts hubd with the phones at these ports, and waits until it is ready."""
        self.config = self.write("hub.ini", self.config_text(phones, **changes))
        return self.restart_hub()

    def restart_hub(self):
        self.hub = self.start("hubd", "--config", self.config)
        self.hub.wait_for("listening", 30)
        self.client = self.new_client()
        rig.wait_until(lambda: self.client.get("/readyz").status == 200, 10, "hubd is ready")
        return self.hub

    def new_client(self, secret=SECRET):
        client = Client(self.port, secret)
        self.addCleanup(client.close)
        return client

    def wait_phones(self, *ids, state="ready", seconds=15):
        """Until each phone is in the state."""
        def all_there():
            return all(self.phone(identity).get("state") == state for identity in ids)
        rig.wait_until(all_there, seconds, "phones %s are %s" % (ids, state))

    def phone(self, identity):
        body = self.client.get("/phones/" + identity).body
        return body

    def submit(self, capability, **more):
        """Enqueues, expects 202, gives the process id."""
        answer = self.client.post("/capability-requests/enqueue", order(capability, **more))
        self.assertEqual(answer.status, 202, answer)
        return answer.body["process_id"]

    def nap(self, seconds, **more):
        return self.submit("nap", inputs={"seconds": seconds}, **more)

    def process(self, identity):
        answer = self.client.get("/processes/" + identity)
        self.assertEqual(answer.status, 200, answer)
        return answer.body

    def wait_status(self, identity, *statuses, seconds=20):
        """The process once its public status is one of these."""
        def reached():
            process = self.process(identity)
            return process if process["status"] in statuses else None
        try:
            return rig.wait_until(reached, seconds, "status %s" % (statuses,))
        except AssertionError as error:
            raise AssertionError("%s; it is %s; hubd said\n%s" % (
                error, json.dumps(self.process(identity)), self.hub.output())) from None

    def wait_end(self, identity, seconds=20):
        return self.wait_status(identity, *TERMINAL, seconds=seconds)

    def events(self, identity):
        body = self.client.get("/processes/%s/events?limit=200" % identity).body
        self.assertFalse(body["more"])
        return body["events"]

    def metric(self, name, client=None):
        text = (client or self.client).get("/metrics").body
        found = re.search(r"^%s (\d+)$" % re.escape(name), text, re.MULTILINE)
        self.assertIsNotNone(found, name)
        return int(found.group(1))

    def head_seq(self, client=None):
        return self.metric("hub_store_head_seq", client)

    def assert_names(self, process, status, internal, state, job_status):
        """One row of SPEC.md section 3 as it stands in the JSON."""
        names = ("status", "internal_status", "state", "job_status")
        self.assertEqual(tuple(process[name] for name in names),
                         (status, internal, state, job_status), process)

    def assert_times(self, process, *present):
        """Exactly these timestamps are there, in RFC 3339 with milliseconds; the rest is null."""
        times = process["timestamps"]
        for name, value in times.items():
            if name in present:
                self.assertRegex(value or "", TIME, name)
            else:
                self.assertIsNone(value, name)
        self.assertEqual(set(present) - set(times), set())
        order = [times[name] for name in MILESTONES if times.get(name)]
        self.assertEqual(order, sorted(order), times)


def now_text(seconds_from_now):
    """An RFC 3339 time relative to now, with milliseconds."""
    at = time.time() + seconds_from_now
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
    return "%s.%03dZ" % (whole, int(at * 1000) % 1000)
