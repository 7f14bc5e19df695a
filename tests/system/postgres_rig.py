"""A PostgreSQL of the test's own: in a scratch directory, on a Unix socket and loopback."""

import glob
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile

import rig


class Postgres:
    """A cluster with the database `postgres` and the user `farm`, who has a password. PostgreSQL
    refuses to run as root: then it runs as its package's user. `options` are server settings."""

    PASSWORD = "pg-secret-37"

    def __init__(self, *options):
        self.folder = tempfile.mkdtemp(prefix="pg-")
        self.port = rig.free_ports()
        self.options = options
        self.process = None
        self.as_user = []
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.as_user = ["setpriv", "--reuid", "postgres", "--regid", "postgres",
                            "--clear-groups"]
        password = os.path.join(self.folder, "password")
        with open(password, "w", encoding="ascii") as file:
            file.write(self.PASSWORD)
        os.chmod(password, 0o644)
        self.run("initdb", "-D", self.folder + "/data", "-A", "scram-sha-256", "-U", "farm", "-E",
                 "UTF8", "--no-locale", "--no-sync", "--pwfile", password)
        self.log = open(self.folder + "/log", "ab")  # closed by remove()

    def run(self, name, *arguments):
        return subprocess.run(self.as_user + [os.path.join(self.bin, name), *arguments],
                              check=True, cwd=self.folder, stdout=subprocess.PIPE, timeout=120,
                              env={**os.environ, "PGPASSWORD": self.PASSWORD,
                                   "PGOPTIONS": "-c client_min_messages=warning"}).stdout.decode()

    @property
    def place(self):
        return self.place_at(self.port)

    def place_at(self, port):
        return "postgresql://farm:%s@127.0.0.1:%d/postgres" % (self.PASSWORD, port)

    def start(self):
        settings = ["listen_addresses=127.0.0.1", "port=%d" % self.port,
                    "unix_socket_directories=" + self.folder, *self.options]
        command = self.as_user + [self.bin + "/postgres", "-D", self.folder + "/data"]
        for one in settings:
            command += ["-c", one]
        self.command = command
        self.launch()
        rig.wait_until(self.is_up, 60, "PostgreSQL takes connections", 0.1)
        return self

    def launch(self):
        self.process = subprocess.Popen(self.command, cwd=self.folder, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)

    def is_up(self):
        if self.process.poll() is not None:
            self.launch()  # what was killed before it may not have left yet: it holds the folder
            return False
        return subprocess.run([self.bin + "/pg_isready", "-q", "-h", "127.0.0.1", "-p",
                               str(self.port)], check=False, cwd="/").returncode == 0

    def query(self, text):
        """The rows of a query, each a list of text."""
        lines = self.run("psql", "-q", "-At", "-F", "\t", "-h", "127.0.0.1", "-p", str(self.port),
                         "-U", "farm", "-c", text, "postgres").splitlines()
        return [line.split("\t") for line in lines]

    def rows(self, text, *values):
        """The rows of a query with `?` for each value, as SQLite gives them: numbers, text, bytes."""
        for value in values:
            literal = str(value) if isinstance(value, int) else "'%s'" % value.replace("'", "''")
            text = text.replace("?", literal, 1)
        lines = self.run("psql", "-q", "-At", "-h", "127.0.0.1", "-p", str(self.port), "-U", "farm",
                         "-c", "SELECT to_json(q) FROM (%s) q" % text, "postgres").splitlines()
        return [tuple(bytes.fromhex(value[2:]) if str(value).startswith("\\x") else value
                      for value in json.loads(line).values()) for line in lines]

    def empty(self):
        """Drops every table: a new database."""
        self.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    def save(self, name):
        """A copy of the database, for restore()."""
        self.run("pg_dump", "-h", "127.0.0.1", "-p", str(self.port), "-U", "farm", "-f",
                 os.path.join(self.folder, name), "postgres")

    def restore(self, name):
        self.empty()
        self.run("psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
                 "-U", "farm", "-f", os.path.join(self.folder, name), "postgres")

    def kill(self):
        """The way a machine dies, but for its disk: no process of it is left."""
        with open(self.folder + "/data/postmaster.pid", encoding="ascii") as file:
            head = int(file.readline())
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(head)], check=False,
                                  stdout=subprocess.PIPE).stdout.split()
        for pid in [head, *map(int, children)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(30)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # its fast shutdown
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()

    def remove(self):
        self.stop()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
