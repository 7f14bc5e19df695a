"""A hub with an upstream, and what must hold of both copies of its history."""

import hashlib
import http.client
import json
import os
import sqlite3
import subprocess
import threading

import hub_client
import hub_rig
import rig
import store_reader

SMALL = """[capability]
name = small
attempts = 6
backoff_ms = 20
backoff_factor = 2
backoff_cap_seconds = 1
retry_on = exit_code, timeout, phone_lost, adb
attempt_seconds = 20
[action.one]
type = shell
command = echo one
timeout_seconds = 5
[action.two]
type = shell
command = echo two
timeout_seconds = 5
"""
HUB, REQUEST, PROCESS, ITEM, ATTEMPT = 0, 2, 3, 4, 5
EVENT = {name: place for place, name in enumerate(hub_client.EVENTS)}


class Worker(threading.Thread):
    """Submits small requests one after the other; a 2xx answer is an acknowledgement.

    Whatever else happens, the same request is sent again until it is acknowledged."""

    def __init__(self, port, name, pause=0):
        super().__init__(daemon=True)
        self.port = port
        self.label = name
        self.connection = None  # kept while it works
        self.pause = pause  # seconds between requests, where a long test must not fill the hub
        self.acknowledged = {}  # request_id -> set of process ids
        self.stopping = threading.Event()

    def run(self):
        count = 0
        while not self.stopping.is_set():
            count += 1
            request_id = "%s-%d" % (self.label, count)
            body = json.dumps(hub_rig.order("small", request_id)).encode()
            # Every acknowledged request is sent once more: it must be the same process.
            wanted = 2 if count % 5 == 0 else 1
            while wanted and not self.stopping.is_set():
                process = self.send(body)
                if process:
                    self.acknowledged.setdefault(request_id, set()).add(process)
                    wanted -= 1
                    self.stopping.wait(self.pause)
                else:
                    self.stopping.wait(0.01)

    def send(self, body):
        """The process id, or None: not acknowledged."""
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                             timeout=10 * rig.SLOW)
            self.connection.request("POST", "/capability-requests/enqueue", body,
                                    {"Authorization": "Bearer " + hub_rig.SECRET})
            response = self.connection.getresponse()
            answer = response.read()
            return json.loads(answer)["process_id"] if response.status in (200, 202) else None
        except (OSError, http.client.HTTPException, ValueError):
            self.connection.close()
            self.connection = None
            return None


class SyncCase(hub_rig.HubCase):
    """A hub that has an upstream."""

    def setUp(self):
        super().setUp()
        self.write("capabilities/small.ini", SMALL)
        self.certs = self.path("certs")
        subprocess.run(["bash", os.path.join(rig.ROOT, "scripts/demo-certs.sh"), self.certs, "10",
                        "hub-1", "hub-2"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.sync_port = rig.free_ports(1)
        self.fleet_port = rig.free_ports(1)
        self.database = self.path("fleet.db")
        self.upstream_config = self.write("upstream.ini", (
            "[api]\nlisten = tcp:127.0.0.1:%d\ntoken_file = %s\n"
            "[sync]\nlisten = tcp:127.0.0.1:%d\nca = %s/ca.crt\ncert = %s/server.crt\n"
            "key = %s/server.key\n[store]\nsqlite = %s\n" % (
                self.fleet_port, self.token_file, self.sync_port, self.certs, self.certs,
                self.certs, self.database)))
        self.upstream = None

    def config_text(self, phones=(), **changes):
        certs = changes.get("certs", self.certs)
        return super().config_text(phones, **changes) + (
            "[upstream]\nurl = https://127.0.0.1:%d\nca = %s/ca.crt\ncert = %s/hub-1.crt\n"
            "key = %s/hub-1.key\n" % (changes.get("sync_port", self.sync_port), certs, certs,
                                      certs))

    def start_upstream(self):
        self.upstream = self.start("upstreamd", "--config", self.upstream_config)
        self.upstream.wait_for("event=ready", 20)

    def start_workers(self, count, pause=0):
        workers = [Worker(self.port, "w%d" % number, pause) for number in range(count)]
        for worker in workers:
            worker.start()
            self.addCleanup(worker.stopping.set)
        return workers

    def stop_workers(self, workers):
        """Ends them; gives request_id -> process id of everything that was acknowledged."""
        acknowledged = {}
        for worker in workers:
            worker.stopping.set()
            worker.join(30)
            for request_id, processes in worker.acknowledged.items():
                self.assertEqual(len(processes), 1, "two processes for %s" % request_id)
                acknowledged[request_id] = next(iter(processes))
        return acknowledged

    def wait_caught_up(self, seconds=60):
        """Until everything durable is acknowledged, and nothing more happens."""
        def is_quiet():
            head = self.metric("hub_store_head_seq")
            waiting = sum(self.metric('hub_items{state="%s"}' % state) for state in
                          ("ready", "leased", "running", "retry_wait"))
            return waiting == 0 and self.metric("hub_store_acknowledged_seq") == head
        rig.wait_until(is_quiet, seconds, "the hub is idle and upstream has everything", 0.05)

    def upstream_records(self):
        """seq -> bytes, and the group ends' chains, of upstream's only store."""
        with sqlite3.connect("file:%s?mode=ro" % self.database, uri=True) as database:
            stores = database.execute("SELECT count(*) FROM stores WHERE hub_id <> 'up'")
            self.assertEqual(stores.fetchone(), (1,))
            rows = database.execute("SELECT seq, bytes, chain FROM records ORDER BY seq")
            return [(seq, bytes(body), chain) for seq, body, chain in rows]

    def assert_same_history(self):
        """The hub's log is upstream's table: same numbers, same bytes, no gap, chains verified."""
        rows = self.upstream_records()
        self.assertEqual([row[0] for row in rows], list(range(1, len(rows) + 1)))
        _, _, groups = store_reader.read_groups(self.path("hub.store"))
        self.assertGreater(len(groups), 0)
        expected = groups[0].first_seq
        chain = groups[0].chain
        for place, group in enumerate(groups):
            self.assertEqual(group.first_seq, expected, "a gap in the hub's log")
            copy = [row[1] for row in rows[expected - 1:expected - 1 + len(group.bodies)]]
            self.assertEqual(copy, group.bodies, "upstream differs at %d" % expected)
            if place > 0:
                digest = hashlib.sha256(chain + b"".join(group.bodies)).digest()
                self.assertEqual(group.chain, digest[:8])
            chain = group.chain
            expected += len(group.bodies)
        self.assertEqual(expected - 1, len(rows), "upstream has more, or less, than the hub")
        return [hub_client.decode(row[1])[0] for row in rows]

    def wait_same_history(self, seconds=60):
        """The records of both. An idle hub still writes its counters now and then."""
        def records():
            try:
                return self.assert_same_history()
            except AssertionError:
                return None
        return rig.wait_until(records, seconds, "upstream has all that the hub has")

    def assert_lives(self, records, acknowledged, cap=6):
        """What the whole history must be like, told from its records alone."""
        requests, finished, started, revisions = {}, {}, {}, {}
        last_token = 0
        for kind, path, revision, event, _, _, image in records:
            if kind in (REQUEST, PROCESS, ITEM, ATTEMPT):
                number = path[0]
                self.assertEqual(revision, revisions.get(number, 0) + 1, "events are dense")
                revisions[number] = revision
            if kind == REQUEST:
                self.assertNotIn(image[1], requests, "two processes for one request")
                requests[image[1]] = path[0]
            if kind == PROCESS and event == EVENT["finished"]:
                finished[path[0]] = finished.get(path[0], 0) + 1
            if kind == ITEM and event == EVENT["leased"]:
                token = image[14]
                self.assertGreater(token, last_token, "tokens only grow")
                last_token = token
            if kind == ITEM and event == EVENT["started"]:
                attempts = started.setdefault(tuple(path), [])
                self.assertEqual(image[6], len(attempts) + 1, "no attempt number is used twice")
                attempts.append(image[6])
                self.assertLess(image[7], cap, "no attempt beyond the cap")
        for request_id, process in acknowledged.items():
            self.assertIn(request_id, requests, "an acknowledged request is lost")
            self.assertEqual(process, "hub-1-1-%d" % requests[request_id])
        for number in requests.values():
            self.assertEqual(finished.get(number), 1, "process %d ends exactly once" % number)
