"""A hub for conformance tests, which know nothing of the programs but SPEC.md section 10 and the HTTP
contract. One hub and its phones serve all tests of a class.

Capabilities run by external workers let a test bring an item into any state by HTTP alone."""

import contextlib
import os
import shutil
import tempfile
import traceback

import hub_rig
import openapi
import rig

EXAMPLES = os.path.join(rig.ROOT, "capabilities")

CAPABILITIES = {
    "job": "runner = external\nattempts = 2\nbackoff_ms = 86400000\nbackoff_cap_seconds = 86400\n"
           "retry_on = timeout, exit_code\nlease_seconds = 60\n",
    "quick": "runner = external\nattempts = 3\nbackoff_ms = 1\nretry_on = exit_code, lease_expired\n"
             "lease_seconds = 1\nstop_seconds = 1\n",
    "single": "runner = external\nattempts = 1\nconcurrency_key = one\nconcurrency = 1\n",
    "thrifty": "runner = external\nattempts = 5\nbudget_attempts_per_hour = 1\nbackoff_ms = 1\n"
               "retry_on = exit_code\n",
}
TIGHT = "runner = external\nattempts = 2\nbudget_seconds_per_hour = 1\n"
CAPABILITIES.update({"tight-%d" % i: TIGHT for i in range(20)})
ACTIONS = {
    "echo": ("", "[action.first]\ncommand = echo one\n[action.second]\ncommand = echo two\n"),
    "nap": ("", "[action.nap]\ncommand = sleep ${seconds}\ntimeout_seconds = 60\n"),
    "broken": ("attempts = 2\nbackoff_ms = 1\nretry_on = exit_code\n",
               "[action.no]\ncommand = id; exit 7\n"),
    "reviewed": ("", "[action.before]\ncommand = echo before\n[action.look]\ntype = review\n"
                     "[action.after]\ncommand = echo after\n"),
    "chosen": ("steps = on\n", "[action.before]\ncommand = echo before\n"
                                "[action.other]\ncommand = echo other\n"
                                "[action.look]\ntype = review\n"
                                "[action.after]\ncommand = echo after\n"),
    "once": ("attempts = 3\nbackoff_ms = 1\nretry_on = timeout, adb, phone_lost\n",
             "[action.pay]\ncommand = sleep 30\nonce = on\ntimeout_seconds = 1\n"),
    "manual": ("unattended = manual_only\n", "[action.a]\ncommand = echo a\n"),
    "proven": ("unattended = permitted, live_verified\n", "[action.a]\ncommand = echo a\n"),
    "narrow": ("routing = direct\n", "[action.a]\ncommand = echo a\n"),
    "pinned": ("labels = fast\n", "[action.a]\ncommand = echo a\n"),
}
PHONES = 6


def write_capabilities(folder):
    os.makedirs(folder, exist_ok=True)
    for name, text in CAPABILITIES.items():
        with open(os.path.join(folder, name + ".ini"), "w", encoding="utf-8") as file:
            file.write("[capability]\nname = %s\n%s" % (name, text))
    for name, (head, actions) in ACTIONS.items():
        with open(os.path.join(folder, name + ".ini"), "w", encoding="utf-8") as file:
            file.write("[capability]\nname = %s\n%s%s" % (name, head, actions))
    shutil.copy(os.path.join(EXAMPLES, "maintenance.ini"), folder)
    for name in os.listdir(os.path.join(EXAMPLES, "examples")):
        shutil.copy(os.path.join(EXAMPLES, "examples", name), folder)


class CheckedClient(hub_rig.Client):
    """A client that holds every answer to the contract."""

    contract = None

    def call(self, method, path, body=None, headers=None):
        answer = super().call(method, path, body, headers)
        if self.contract is not None:
            self.contract.check(method, path, answer)
            if answer.status < 300 and isinstance(body, dict):
                self.contract.check_request(method, path, body)
        return answer


class Worker:
    """An external worker, by HTTP."""

    def __init__(self, case, name="w-1"):
        self.case, self.name = case, name
        self.client = case.new_client()

    def claim(self, types="job", batch=1, claim_id=None, method="GET"):
        query = "worker=%s&batch=%d" % (self.name, batch)
        query += "&types=" + types if types else ""
        query += "&claim_id=" + claim_id if claim_id else ""
        answer = self.client.call(method, "/api/internal/jobs/queue?" + query)
        self.case.assertEqual(answer.status, 200, answer)
        return answer.body["jobs"]

    def tell(self, job, what, method="POST", **more):
        body = {"worker": self.name, "lease_token": job["lease_token"]}
        body.update(more)
        return self.client.call(method, "/api/internal/jobs/%s/%s" % (job["id"], what), body)

    def start(self, job, **more):
        return self.tell(job, "status", method="PUT", status="running", **more)


class ConformanceCase(rig.Case):
    """Tests of one class share a hub."""

    limit_seconds = 60
    phones = PHONES
    grace_seconds = 1
    extra_config = ""
    rows = []

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="hub-")
        cls.programs = []
        cls.port = rig.free_ports(1)
        first = rig.free_ports(cls.phones)
        write_capabilities(cls.folder + "/capabilities")
        with open(cls.folder + "/tokens", "w", encoding="utf-8") as file:
            file.write("all submit,read,operate,worker %s\nreader read reader-secret\n"
                       "bound submit,read bound-secret crm\n" % hub_rig.SECRET)
        os.chmod(cls.folder + "/tokens", 0o600)
        cls.config = cls.folder + "/hub.ini"
        with open(cls.config, "w", encoding="utf-8") as file:
            file.write(
                "[hub]\nid = hub-c\n[store]\npath = %s/store\nsize = 32MiB\n[api]\n"
                "listen = tcp:127.0.0.1:%d\ntoken_file = %s/tokens\n[capabilities]\n"
                "dir = %s/capabilities\n[stop]\ngrace_seconds = %d\n[phones]\ntcp = %s\n%s" % (
                    cls.folder, cls.port, cls.folder, cls.folder, cls.grace_seconds,
                    ", ".join("127.0.0.1:%d" % (first + i) for i in range(cls.phones)),
                    cls.extra_config.replace("FOLDER", cls.folder)))
        phones = cls.run_beside("phonesim", "--count", str(cls.phones), "--adb-tcp",
                                "127.0.0.1:%d" % first, "--serial", "C001")
        for _ in range(cls.phones):
            phones.wait_for(" on 127.0.0.1:")
        cls.start_hub()
        client = hub_rig.Client(cls.port)
        cls.contract = openapi.Contract(client.get("/openapi.json").body)
        client.close()

    @classmethod
    def run_beside(cls, name, *arguments):
        program = rig.Program([rig.program(name), *arguments])
        cls.programs.append(program)
        return program

    @classmethod
    def start_hub(cls):
        cls.hub = cls.run_beside("hubd", "--config", cls.config)
        cls.hub.wait_for("listening", 30)
        client = hub_rig.Client(cls.port)
        def ready():
            phones = client.get("/phones").body["phones"]
            return [p["state"] for p in phones].count("ready") == cls.phones
        rig.wait_until(ready, 20, "the phones are ready")
        client.close()

    @classmethod
    def tearDownClass(cls):
        for program in reversed(cls.programs):
            program.stop()
        shutil.rmtree(cls.folder, ignore_errors=True)
        for line in cls.rows:
            print(line)
        cls.rows = []

    def setUp(self):
        super().setUp()
        self.client = self.new_client()
        self.worker = Worker(self)
        self.bad_rows = []
        self.addCleanup(self.free_all)

    def new_client(self, secret=hub_rig.SECRET):
        client = CheckedClient(self.port, secret)
        client.contract = self.contract
        self.addCleanup(client.close)
        return client

    def free_all(self):
        """What a test leaves must not take a phone away from the next one."""
        client = hub_rig.Client(self.port)
        if not self.hub.is_running():
            return
        body = client.get("/processes?limit=200").body
        for row in body["processes"]:
            if row["status"] not in hub_rig.TERMINAL:
                client.post("/processes/%s/cancel" % row["process_id"])
        def free():
            phones = client.get("/phones").body["phones"]
            for phone in phones:
                self.force_free(client, phone)
            return all(p["item_id"] is None for p in phones)
        rig.wait_until(free, 20, "every phone is free")
        client.close()

    def force_free(self, client, phone):
        """A worker that will never come back has stopped."""
        if phone["item_id"] is None:
            return
        process = client.get("/processes/" + phone["process_id"]).body
        for item in process["items"]:
            if item["id"] == phone["item_id"] and item["state"] == "running":
                for name in ("w-1", "w-2"):
                    client.post("/api/internal/jobs/%s/fail" % item["id"],
                                {"worker": name, "lease_token": item["lease_token"],
                                 "error": "test over"})

    # ---- rows of the seeds ----

    @contextlib.contextmanager
    def row(self, seed, section, row):
        """One row of a seed's table or list: said with pass or fail, and the rest goes on."""
        try:
            yield
            self.rows.append("pass    seed %s · %s · %s" % (seed, section, row))
        except Exception as error:  # pylint: disable=broad-except
            self.rows.append("FAIL    seed %s · %s · %s" % (seed, section, row))
            self.bad_rows.append("%s %s: %s: %s\n%s" % (seed, section, row, error,
                                                      traceback.format_exc()))

    def all_rows_hold(self):
        self.assertEqual(self.bad_rows, [], "\n".join(self.bad_rows))

    # ---- shorthand ----

    def post(self, path, body=None, status=None):
        answer = self.client.post(path, body)
        if status is not None:
            self.assertEqual(answer.status, status, answer)
        return answer

    def submit(self, capability="job", **more):
        answer = self.client.post("/capability-requests/enqueue", hub_rig.order(capability, **more))
        self.assertEqual(answer.status, 202, answer)
        return answer.body["process_id"]

    def process(self, identity):
        answer = self.client.get("/processes/" + identity)
        self.assertEqual(answer.status, 200, answer)
        return answer.body

    def wait(self, identity, condition, what="", seconds=15):
        def reached():
            process = self.process(identity)
            return process if condition(process) else None
        return rig.wait_until(reached, seconds, what or "process %s" % identity)

    def wait_status(self, identity, *statuses, seconds=15):
        return self.wait(identity, lambda p: p["status"] in statuses,
                         "%s is %s" % (identity, statuses), seconds)

    def wait_state(self, identity, state, seconds=15):
        return self.wait(identity, lambda p: p["items"][-1]["state"] == state,
                         "an item is %s" % state, seconds)

    def claimed(self, **more):
        """A process whose item this test's worker holds."""
        identity = self.submit("job", **more)
        jobs = []
        def get():
            jobs.extend(self.worker.claim("job"))
            return jobs
        rig.wait_until(get, 10, "a phone for the job")
        self.assertEqual(jobs[0]["process_id"], identity)
        return identity, jobs[0]

    def running(self, **more):
        identity, job = self.claimed(**more)
        answer = self.worker.start(job)
        self.assertEqual(answer.status, 200, answer)
        return identity, job

    def events(self, identity):
        return self.client.get("/processes/%s/events?limit=200" % identity).body["events"]

    def code(self, answer):
        return answer.status, answer.body["error"]["code"]
