"""A fleet: one upstream that takes requests, and hubs with phones that do its work."""

import json
import os
import sqlite3
import subprocess
import threading
import time

import hub_client
import hub_rig
import rig
import store_reader

FLEET = {
    "quick": """[capability]
name = quick
attempts = 3
backoff_ms = 50
backoff_cap_seconds = 1
retry_on = exit_code, timeout, phone_lost, adb
grant_seconds = 600
[action.one]
type = shell
command = echo one
""",
    # A short grant: a test sees a hub drained.
    "short": """[capability]
name = short
attempts = 3
backoff_ms = 50
backoff_cap_seconds = 1
grant_seconds = 4
[action.nap]
type = shell
command = sleep ${seconds}
timeout_seconds = 60
""",
    "once": """[capability]
name = once
attempts = 3
grant_seconds = 4
[action.nap]
type = shell
command = sleep ${seconds}
timeout_seconds = 60
once = on
""",
    "review": """[capability]
name = review
[action.look]
type = review
[action.one]
type = shell
command = echo one
""",
    "keyed": """[capability]
name = keyed
concurrency_key = everything
concurrency = 1
[action.nap]
type = shell
command = sleep 0.3
""",
}


class Hub:
    """One hub of the fleet: its process, its client, its phones."""

    def __init__(self, case, name, count, ports=()):
        """`count` phones of its own, or those at `ports`."""
        self.case = case
        self.name = name
        self.port = rig.free_ports(1)
        self.store = case.path(name + ".store")
        self.first = rig.free_ports(count) if count else 0
        self.phones = ["%s-%03d" % (name.upper(), place + 1) for place in range(count)]
        if count:
            self.simulator = case.start(
                "phonesim", "--count", str(count), "--adb-tcp", "127.0.0.1:%d" % self.first,
                "--serial", self.phones[0])
            self.simulator.wait_for("127.0.0.1:%d" % (self.first + count - 1), 20)
        self.ports = list(ports) or [self.first + place for place in range(count)]
        self.process = None
        self.killed = []  # when, in ms of this machine's clock
        self.client = None

    def start(self, capabilities=None):
        case = self.case
        text = case.config_text(self.ports, hub_id=self.name, store=self.store,
                                listen="tcp:127.0.0.1:%d" % self.port)
        if capabilities:
            text = text.replace(case.path("capabilities"), capabilities)
        text += ("[upstream]\nurl = https://127.0.0.1:%d\nca = %s/ca.crt\ncert = %s/%s.crt\n"
                 "key = %s/%s.key\n" % (case.sync_port_of(self), case.certs, case.certs, self.name,
                                        case.certs, self.name))
        config = case.write(self.name + ".ini", text)
        self.process = case.start("hubd", "--config", config)
        self.process.wait_for("listening", 30)
        if self.client is None:
            self.client = hub_rig.Client(self.port)
            case.addCleanup(self.client.close)
        return self

    def kill(self):
        self.process.kill()
        self.killed.append(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000000)

    def parts(self):
        """What it has of the fleet's, by its own list."""
        body = self.client.get("/processes?limit=200").body
        return [row for row in body["processes"] if row["process_id"].startswith("up-")]


class Load:
    """Submits without end, each request until it is accepted; `ids` are those that were."""

    def __init__(self, case, bodies=None, pause=0.1):
        self.case = case
        self.ids = []
        self.bodies = bodies or (lambda count: hub_rig.order("quick", "r-%d" % count))
        self.pause = pause
        self.stopping = threading.Event()
        self.worker = threading.Thread(target=self.run, daemon=True)
        self.worker.start()
        case.addCleanup(self.stopping.set)

    def run(self):
        count = 0
        while not self.stopping.is_set():
            count += 1
            self.submit(self.bodies(count))
            self.stopping.wait(self.pause)

    def submit(self, body):
        while not self.stopping.is_set():
            client = hub_rig.Client(self.case.port)
            try:
                answer = client.post("/capability-requests/enqueue", body)
                if answer.status in (200, 202):
                    self.ids.append(answer.body["process_id"])
                    return
            except (OSError, ValueError, hub_rig.http.client.HTTPException):
                self.stopping.wait(0.05)
            finally:
                client.close()

    def wait_more(self, count, seconds=60):
        """Until so many more have been accepted."""
        before = len(self.ids)
        rig.wait_until(lambda: len(self.ids) >= before + count, seconds, "work comes in")

    def stop(self):
        self.stopping.set()
        self.worker.join(30)


class FleetCase(hub_rig.HubCase):
    """`start_fleet` as a test needs it; `client` is upstream's."""

    NAMES = ("hub-1", "hub-2", "hub-3")

    def setUp(self):
        super().setUp()
        for name, text in FLEET.items():
            self.write("capabilities/%s.ini" % name, text)
        self.certs = self.path("certs")
        subprocess.run(["bash", os.path.join(rig.ROOT, "scripts/demo-certs.sh"), self.certs, "10",
                        *self.NAMES], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        self.sync_port = rig.free_ports(1)
        self.port = rig.free_ports(1)
        self.database = self.path("fleet.db")
        self.upstream = None
        self.hubs = {}

    def upstream_text(self, more=""):
        return ("[api]\nlisten = tcp:127.0.0.1:%d\ntoken_file = %s\n"
                "[sync]\nlisten = tcp:127.0.0.1:%d\nca = %s/ca.crt\ncert = %s/server.crt\n"
                "key = %s/server.key\n[store]\n%s\n[capabilities]\ndir = %s\n%s" % (
                    self.port, self.token_file, self.sync_port, self.certs, self.certs, self.certs,
                    self.store_line(), self.path("capabilities"), more))

    def sync_port_of(self, _hub):
        """Where this hub finds upstream."""
        return self.sync_port

    def store_line(self):
        return "sqlite = %s" % self.database

    def start_upstream(self, *options, more=""):
        config = self.write("upstream.ini", self.upstream_text(more))
        self.upstream = self.start("upstreamd", "--config", config, *options)
        self.upstream.wait_for("event=ready", 30)
        self.hub = self.upstream  # whose output a failed wait shows
        self.client = self.new_client()

    def start_fleet(self, *counts, more=""):
        """An upstream and a hub for each count of phones; waits until upstream knows them ready."""
        self.start_upstream(more=more)
        for name, count in zip(self.NAMES, counts):
            self.hubs[name] = Hub(self, name, count).start()
        for hub in self.hubs.values():
            self.wait_phones(*hub.phones, seconds=40)
        return list(self.hubs.values())

    def ran_on(self, process):
        """The hub of each item, by the phone it ran on."""
        return [item["phone_id"].split("-0")[0].lower() for item in process["items"]]

    def rows(self, text, *values):
        with sqlite3.connect("file:%s?mode=ro" % self.database, uri=True) as database:
            return database.execute(text, values).fetchall()

    def show(self, identity):
        return json.dumps(self.process(identity), indent=1)

    # ---- what must hold of all copies of history ----

    def wait_all(self, ids, seconds=120):
        """Until each has ended; gives them."""
        left = set(ids)

        def have_ended():
            for identity in list(left):
                try:
                    if self.process(identity)["status"] in hub_rig.TERMINAL:
                        left.discard(identity)
                except (OSError, ValueError, hub_rig.http.client.HTTPException):
                    self.client = self.new_client()
            return not left
        rig.wait_until(have_ended, seconds, "all of %d have ended" % len(ids), 0.1)
        return [self.process(identity) for identity in ids]

    def records_of(self, hub):
        """(seq, body) of a hub's newest store, as upstream has them."""
        return self.rows("SELECT seq, bytes FROM records WHERE store = (SELECT max(id) FROM stores "
                         "WHERE hub_id = ?) ORDER BY seq", hub.name)

    def assert_same_history(self, hub):
        """A hub's log is upstream's table: the same numbers and bytes."""
        def is_told():
            _, _, groups = store_reader.read_groups(hub.store)
            return groups and self.records_of(hub)[-1][0] == groups[-1].first_seq + len(
                groups[-1].bodies) - 1
        rig.wait_until(is_told, 60, "upstream has all of %s" % hub.name, 0.2)
        _, _, groups = store_reader.read_groups(hub.store)
        copy = dict(self.records_of(hub))
        for group in groups:
            for place, body in enumerate(group.bodies):
                self.assertEqual(bytes(copy[group.first_seq + place]), body)
        return [hub_client.decode(bytes(body))[0] for body in copy.values()]

    def runs_of(self, hub):
        """(fleet's process, item) -> [(start, end)] of everything that ran here, in ms of this
        machine's clock; what runs when hubd is killed ends with it."""
        parts, runs, began = {}, {}, {}
        for seq, body in self.records_of(hub):
            kind, path, _, _, _, at, image = hub_client.decode(bytes(body))[0]
            if kind == 2 and len(image) > 21 and image[21]:
                parts[path[0]] = (image[21][1], image[21][3])
            if kind != 4 or path[0] not in parts:
                continue
            if image[0] == hub_client.RUNNING and path[0] not in began:
                began[path[0]] = at[1]
            elif image[0] != hub_client.RUNNING and path[0] in began:
                runs.setdefault(parts[path[0]], []).append((began.pop(path[0]), at[1]))
        for local, start in began.items():
            runs.setdefault(parts[local], []).append((start, float("inf")))
        return {item: [(start, min([end] + [at for at in hub.killed if at > start]))
                       for start, end in times] for item, times in runs.items()}

    def assert_all_ran_once_per_attempt(self, ids, hubs, seconds=120):
        """All have completed; every hub's log is upstream's table; no item ran but for an attempt."""
        self.assertEqual(len(ids), len(set(ids)))
        ended = self.wait_all(ids, seconds)
        self.assertEqual({process["status"] for process in ended}, {"completed"})
        for hub in hubs:
            self.assert_same_history(hub)
        counts = self.assert_never_twice_at_once(hubs)
        for process in ended:
            number = int(process["process_id"].split("-")[-1])
            for place, item in enumerate(process["items"], 1):
                self.assertEqual(counts[number, place], item["attempt"], process)

    def assert_never_twice_at_once(self, hubs):
        """No item ran at two places at the same time."""
        everywhere = {}
        for hub in hubs:
            for item, runs in self.runs_of(hub).items():
                everywhere.setdefault(item, []).extend(runs)
        for item, runs in everywhere.items():
            runs.sort()
            for one, other in zip(runs, runs[1:]):
                self.assertLessEqual(one[1], other[0], "item %s ran twice at once: %s" % (item, runs))
        return {item: len(runs) for item, runs in everywhere.items()}
