"""The servers of the bench: hubd and the peers that Debian ships, each on loopback with a scratch
directory of its own on one disk. Whatever is started is ended by its process id."""

import glob
import http.client
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import rig  # noqa: E402

TOKENS = "bench submit,read,worker,operate bench-secret\n"
CAPABILITY = """[capability]
name = bench
routing = queue, direct
attempts = 3
attempt_seconds = 600
runner = external
"""
HUB = """[hub]
id = bench-hub
board = %(board)s
[store]
path = %(dir)s/store
size = %(size)s
[api]
listen = tcp:127.0.0.1:%(port)d
token_file = %(dir)s/tokens
[capabilities]
dir = %(dir)s/capabilities
"""
UPSTREAM = """[api]
listen = tcp:127.0.0.1:%(port)d
token_file = %(dir)s/tokens
[sync]
listen = tcp:127.0.0.1:%(sync)d
ca = %(dir)s/certs/ca.crt
cert = %(dir)s/certs/server.crt
key = %(dir)s/certs/server.key
ticket_key_file = %(dir)s/ticket-key
[store]
%(place)s
"""
LINK = """[upstream]
url = https://127.0.0.1:%(sync)d
ca = %(dir)s/certs/ca.crt
cert = %(dir)s/certs/%(hub)s.crt
key = %(dir)s/certs/%(hub)s.key
"""


def scratch():
    """A directory on the disk that is measured, open to other users (PostgreSQL's is not root)."""
    os.makedirs("build", exist_ok=True)
    path = tempfile.mkdtemp(prefix="bench-", dir=os.path.abspath("build"))
    os.chmod(path, 0o755)
    return path


def is_listening(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except OSError:
        return False


class Server:
    """A server with its directory; `command` is what starts it, again after a kill."""

    name = protocol = what = ""

    def __init__(self, folder):
        self.folder = os.path.join(folder, self.name)
        self.port = rig.free_ports()
        self.pid = None
        self.process = None

    def prepare(self):
        """Makes its files; called once, when it is certain to be stopped."""

    def command(self):
        raise NotImplementedError

    def is_up(self):
        return is_listening(self.port)

    def start(self):
        with open(self.folder + ".log", "ab") as log:
            self.process = subprocess.Popen(self.command(), cwd=self.folder,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = self.process.pid
        deadline = time.monotonic() + 60
        while not self.is_up():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("%s did not start:\n%s" % (self.name, self.log()))
            time.sleep(0.01)
        return self

    def log(self):
        with open(self.folder + ".log", encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def adopt(self, pid):
        """The server was started anew by somebody else, with the same command."""
        self.pid = pid
        self.process = None

    def end(self, number):
        if self.pid is None:
            return
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass
        if self.process is not None:
            self.process.wait(60)
        else:
            deadline = time.monotonic() + 60
            while is_alive(self.pid) and time.monotonic() < deadline:
                time.sleep(0.005)
        self.pid = self.process = None

    def kill(self):
        self.end(signal.SIGKILL)

    def stop(self):
        self.end(signal.SIGTERM)

    def status(self, field):
        """A number of /proc/PID/status, such as VmRSS in KiB."""
        with open("/proc/%d/status" % self.pid, encoding="ascii") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
        raise KeyError(field)

    def usage(self):
        """Nanoseconds of CPU time, and how often it was woken up."""
        with open("/proc/%d/schedstat" % self.pid, encoding="ascii") as file:
            nanoseconds = int(file.read().split()[0])
        return nanoseconds, self.status("voluntary_ctxt_switches")

    def get(self, path):
        """Status and body of GET, for the servers that speak HTTP."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            client.request("GET", path, headers={"Authorization": "Bearer bench-secret"})
            answer = client.getresponse()
            return answer.status, answer.read()
        finally:
            client.close()


class Hubd(Server):
    name = "hubd"
    protocol = "http"
    what = "hubd"
    phones = None

    def __init__(self, folder, board="linux", size="64MiB", phone_count=0, more=""):
        self.board = board
        self.size = size
        self.phone_count = phone_count
        self.more = more
        super().__init__(folder)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)

    def prepare(self):
        values = {"board": self.board, "size": self.size, "dir": self.folder, "port": self.port}
        os.makedirs(self.folder + "/capabilities")
        self.write("tokens", TOKENS)
        self.write("capabilities/bench.ini", CAPABILITY)
        phones = self.start_phones() if self.phone_count else ""
        self.write("hub.ini", HUB % values + self.more + phones)

    def start_phones(self):
        """Starts them; what the configuration says of them."""
        first = rig.free_ports(self.phone_count)
        self.phones = subprocess.Popen(
            [rig.program("phonesim"), "--count", str(self.phone_count), "--adb-tcp",
             "127.0.0.1:%d" % first, "--serial", "BENCH001"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        lines = ["tcp = 127.0.0.1:%d\n" % (first + i) for i in range(self.phone_count)]
        return "[phones]\n" + "".join(lines)

    def wait_for_phones(self, count):
        def are_ready():
            phones = json.loads(self.get("/phones")[1])["phones"]
            return sum(phone["state"] == "ready" for phone in phones) >= count
        rig.wait_until(are_ready, 60, "%d phones are ready" % count)

    def command(self):
        return [rig.program("hubd"), "--config", self.folder + "/hub.ini", "--log-level", "warn"]

    def end(self, number):
        super().end(number)
        if number == signal.SIGTERM and self.phones is not None:
            self.phones.terminate()
            self.phones.wait(30)
            self.phones = None


class Upstreamd(Server):
    """`place` is PostgreSQL's; without it, SQLite."""

    name = "upstreamd"

    def __init__(self, folder, place=None):
        self.place = place
        super().__init__(folder)

    def prepare(self):
        self.sync_port = rig.free_ports()
        subprocess.run(["bash", os.path.join(rig.ROOT, "scripts", "demo-certs.sh"),
                        self.folder + "/certs", "2", "bench-hub"], check=True,
                       stdout=subprocess.DEVNULL)
        place = "postgres = %s" % self.place if self.place else "sqlite = %s/fleet.db" % self.folder
        values = {"dir": self.folder, "port": self.port, "sync": self.sync_port, "place": place}
        with open(self.folder + "/ticket-key", "wb") as file:
            file.write(os.urandom(64))
        with open(self.folder + "/upstreamd.ini", "w", encoding="utf-8") as file:
            file.write(UPSTREAM % values)
        with open(self.folder + "/tokens", "w", encoding="utf-8") as file:
            file.write(TOKENS)
        os.chmod(self.folder + "/tokens", 0o600)

    def link(self, hub):
        """What a hub's configuration says to reach it."""
        return LINK % {"dir": self.folder, "sync": self.sync_port, "hub": hub}

    def wait_for_hub(self, hub):
        rig.wait_until(lambda: hub.encode() in self.get("/hubs")[1], 30, "the hub is known")

    def command(self):
        return [rig.program("upstreamd"), "--config", self.folder + "/upstreamd.ini"]


class Redis(Server):
    name = protocol = "redis"
    what = "Redis, AOF always"

    def command(self):
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir",
                self.folder, "--appendonly", "yes", "--appendfsync", "always", "--save", ""]


class Beanstalkd(Server):
    name = protocol = "beanstalkd"
    what = "beanstalkd -f0"
    sync_ms = 0  # between two syncs

    def command(self):
        return ["beanstalkd", "-l", "127.0.0.1", "-p", str(self.port), "-b", self.folder,
                "-f%d" % self.sync_ms]


class FilledBeanstalkd(Beanstalkd):
    """Need not sync each of the many jobs that it is filled with before it is measured."""

    what = "beanstalkd"
    sync_ms = 50


class Postgres(Server):
    """Refuses to run as root: then it runs as its package's user."""

    name = protocol = "postgres"
    what = "PostgreSQL"
    table = ("CREATE TABLE jobs (id bigserial PRIMARY KEY, state smallint NOT NULL DEFAULT 0, "
             "attempt int NOT NULL DEFAULT 0, lease_until timestamptz, owner text, "
             "payload text NOT NULL); CREATE INDEX ON jobs (id) WHERE state = 0")

    def prepare(self):
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.as_user = []
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.as_user = ["setpriv", "--reuid", "postgres", "--regid", "postgres",
                            "--clear-groups"]
        self.run("initdb", "-D", self.folder + "/data", "-A", "trust", "-U", "bench", "-E", "UTF8",
                 "--no-locale")
        self.is_new = True

    def run(self, program, *arguments):
        subprocess.run(self.as_user + [os.path.join(self.bin, program), *arguments], check=True,
                       cwd=self.folder, stdout=subprocess.DEVNULL, timeout=120)

    def command(self):
        return self.as_user + [
            self.bin + "/postgres", "-D", self.folder + "/data", "-p", str(self.port), "-k",
            self.folder, "-c", "listen_addresses=127.0.0.1", "-c", "synchronous_commit=on"]

    def is_up(self):
        done = subprocess.run([self.bin + "/pg_isready", "-q", "-h", "127.0.0.1", "-p",
                               str(self.port)], check=False, cwd="/")
        return done.returncode == 0

    def start(self):
        super().start()
        if self.is_new:
            self.run("psql", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "bench", "-c",
                     self.table, "postgres")
            self.is_new = False
        return self

    def stop(self):
        self.end(signal.SIGINT)  # its fast shutdown


PEERS = (Redis, Beanstalkd, Postgres)


class Bench:
    """Servers of one row: `with Bench() as bench`, and none is left behind."""

    def __init__(self):
        self.folder = scratch()
        self.servers = []

    def add(self, kind, *arguments, **named):
        server = kind(self.folder, *arguments, **named)
        self.servers.append(server)
        os.makedirs(server.folder)
        server.prepare()
        return server

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            try:
                server.stop()
            except (OSError, subprocess.SubprocessError) as error:
                print("bench: %s did not stop: %s" % (server.name, error), file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)
