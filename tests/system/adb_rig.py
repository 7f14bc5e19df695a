"""A hub whose leases serve adb, and Debian's adb as its client."""

import os
import re
import select
import socket
import time

import hub_rig
import rig

ADB = "/usr/bin/adb"

SHORT = """[capability]
name = short
routing = direct, queue
attempts = 1
attempt_seconds = 3
retry_on = none
[action.nap]
type = shell
command = sleep 600
timeout_seconds = 600
"""


class Wire:
    """A client that speaks the smart-socket protocol itself."""

    def __init__(self, path, seconds=10):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(seconds * rig.SLOW)
        self.socket.connect(path.removeprefix("localfilesystem:").removeprefix("unix:"))

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, service):
        data = service.encode()
        self.socket.sendall(b"%04x" % len(data) + data)
        return self

    def take(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                break
            data += part
        return data

    def string(self):
        return self.take(int(self.take(4), 16)).decode()

    def answer(self, service):
        """(word, text): the text of a FAIL, else ""."""
        self.ask(service)
        word = self.take(4).decode()
        return word, self.string() if word == "FAIL" else ""

    def transport(self, serial):
        word, text = self.answer("host:transport:" + serial)
        assert word == "OKAY", text
        return self

    def service(self, serial, name):
        word, text = self.transport(serial).answer(name)
        assert word == "OKAY", text
        return self

    def rest(self):
        data = b""
        while True:
            part = self.socket.recv(1 << 16)
            if not part:
                return data
            data += part


def until_dead(wires):
    """When the last of these streams had come to its end; nothing else may come."""
    waiting = {wire.socket if isinstance(wire, Wire) else wire for wire in wires}
    deadline = time.monotonic() + 30 * rig.SLOW
    while waiting:
        ready = select.select(waiting, [], [], max(0, deadline - time.monotonic()))[0]
        assert ready, "%d streams are still open" % len(waiting)
        for one in ready:
            try:
                assert one.recv(1) == b"", "more came"
            except ConnectionResetError:
                pass
            waiting.discard(one)
    return time.monotonic()


class Held:
    """A lease of an external worker, as hubctl holds one."""

    def __init__(self, client, serial, worker):
        self.client, self.worker = client, worker
        body = self.ask("/capability-requests/enqueue", request_id=worker, capability="lease",
                        mode="manual", target={"routing": "direct", "phone_id": serial}, inputs={},
                        requested_by={"system": "tests"})
        self.process = body["process_id"]
        jobs = []
        def claimed():
            jobs[:] = self.ask("/api/internal/jobs/queue", worker=worker, claim_id=worker,
                               process_id=self.process, batch=1)["jobs"]
            return jobs
        rig.wait_until(claimed, 20, "the phone is free")
        self.job, self.token = jobs[0]["id"], jobs[0]["lease_token"]
        self.ask("/api/internal/jobs/status", updates=[{
            "id": self.job, "worker": worker, "lease_token": self.token, "status": "running"}])
        self.socket = self.ask("/phones/%s/adb" % serial, worker=worker,
                               lease_token=self.token)["adb_server_socket"]

    def ask(self, path, **body):
        answer = self.client.post(path, body)
        assert answer.status in (200, 202), answer
        return answer.body

    def beat(self):
        """Renews it; gives the milliseconds until it expires."""
        return self.ask("/api/internal/jobs/%s/heartbeat" % self.job, worker=self.worker,
                        lease_token=self.token)["expires_in_ms"]


def last_token(hub, serial):
    """The token of the newest lease of this phone, as the hub's log has it."""
    found = re.findall(r"attempt_started process=\S+ .*phone=%s token=(\d+)" % serial, hub.output())
    return found[-1] if found else None


class LeaseCase(hub_rig.HubCase):
    """A hub with phones; `lease` holds one and gives what adb needs to reach it."""

    def setUp(self):
        super().setUp()
        self.home = self.path("home")
        os.mkdir(self.home)

    def config_text(self, phones=(), **changes):
        text = super().config_text(phones, **changes)
        text += "[adb]\ndir = %s\noperators = unix:%s\n" % (self.adb_dir(), self.path("operators"))
        return text + changes.get("adb", "")

    def adb_dir(self):
        return self.path("adb")

    def start_farm(self, count=1, *options, **changes):
        """Phones SIM001..., each on a port of its own, and the hub they are on."""
        self.phones, first = self.start_phones(count, *options, serial="SIM001")
        self.ports = [first + index for index in range(count)]
        self.start_hub(self.ports, **changes)
        self.wait_phones(*["SIM%03d" % (index + 1) for index in range(count)])

    def hold(self, serial, seconds=600):
        """A running lease of this phone: its process and its token."""
        before = last_token(self.hub, serial)
        process = self.nap(seconds, phone=serial)
        self.wait_status(process, "executing")
        rig.wait_until(lambda: last_token(self.hub, serial) != before, 10, "the log has the lease")
        return process, last_token(self.hub, serial)

    def open_endpoint(self, serial, token):
        answer = self.client.post("/phones/%s/adb" % serial, {"lease_token": token})
        self.assertEqual(200, answer.status, answer)
        return answer.body["adb_server_socket"]

    def allow_workers(self, lease_seconds):
        """Before the hub starts: a token of every scope, and the bundled lease of so many seconds."""
        with open(os.path.join(rig.ROOT, "capabilities", "lease.ini"), encoding="utf-8") as file:
            self.write("capabilities/lease.ini", file.read().replace(
                "lease_seconds = 30", "lease_seconds = %d" % lease_seconds))
        self.write("tokens", "all submit,read,worker,operate %s\n" % hub_rig.SECRET)
        os.chmod(self.token_file, 0o600)

    def claim(self, serial):
        self.claims = getattr(self, "claims", 0) + 1
        return Held(self.client, serial, "worker-%d" % self.claims)

    def lease(self, serial, seconds=600):
        process, token = self.hold(serial, seconds)
        return process, self.open_endpoint(serial, token)

    def env(self, socket):
        return {"HOME": self.home, "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                "TMPDIR": self.scratch, "ADB_SERVER_SOCKET": socket}

    def adb(self, socket, *arguments, seconds=30.0, stdin=None):
        """Status, output and errors of Debian's adb on this socket."""
        status, out, err = self.run_program(ADB, *arguments, env=self.env(socket),
                                            seconds=seconds, input_bytes=stdin)
        return status, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def assert_adb(self, socket, *arguments, **more):
        status, out, err = self.adb(socket, *arguments, **more)
        self.assertEqual(0, status, (arguments, out, err))
        return out
