"""Two upstreamd on one PostgreSQL. Hubs take turns between them, and so do callers: the client of a
test talks to the second one, to which hub-2 pushes, too."""

import unittest

import hub_rig
import postgres_rig
import rig

server = None


def some(base, *beginnings):
    """A kind of test with those of its tests only whose names begin so, behind `test_`."""
    names = unittest.defaultTestLoader.getTestCaseNames(base)
    kept = [name for name in names if name.startswith(tuple("test_" + one for one in beginnings))]
    assert len(kept) == len(beginnings), (beginnings, kept)
    return type(base.__name__, (base,), {name: None for name in names if name not in kept})


def start_server():
    global server
    server = postgres_rig.Postgres().start()


def remove_server():
    server.remove()


class Pair:
    """The two programs as one: what a test does to its upstream is done to both."""

    def __init__(self, programs):
        self.programs = programs

    def kill(self):
        for one in self.programs:
            one.kill()

    def wait(self):
        for one in self.programs:
            one.wait()

    def stop(self):
        return [one.stop() for one in self.programs]

    def output(self):
        return "\n".join(one.output() for one in self.programs)


class PairCase:
    """A fleet_rig.FleetCase whose upstream is a pair; stands in front of it among the bases."""

    def setUp(self):
        server.empty()
        super().setUp()
        self.sync_ports = [self.sync_port, rig.free_ports(1)]
        self.api_ports = [self.port, rig.free_ports(1)]

    def store_line(self):
        return "postgres = " + server.place

    def rows(self, text, *values):
        return server.rows(text, *values)

    def start_one(self, place, *options, more=""):
        self.sync_port, self.port = self.sync_ports[place], self.api_ports[place]
        config = self.write("upstream-%d.ini" % place, self.upstream_text(more))
        started = self.start("upstreamd", "--config", config, *options)
        started.wait_for("event=ready", 30)
        return started

    def start_upstream(self, *options, more=""):
        self.upstream = Pair([self.start_one(place, *options, more=more) for place in (0, 1)])
        self.hub = self.upstream
        self.client = self.new_client()

    def sync_port_of(self, hub):
        return self.sync_ports[int(hub.name.rsplit("-", 1)[1]) % 2 == 0]


BALANCER = """global
    maxconn 2000
defaults
    mode tcp
    timeout connect 2s
    timeout client 120s
    timeout server 120s
    option redispatch
    option httpchk GET /readyz
    timeout check 10s
    default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
    balance leastconn
"""


class BalancedCase(PairCase):
    """The pair behind a HAProxy that passes TLS through, and knows by /readyz who is well."""

    def start_upstream(self, *options, more=""):
        super().start_upstream(*options, more=more)
        self.balanced_sync, self.balanced_api = rig.free_ports(1), rig.free_ports(1)
        text = BALANCER
        for name, port, ports in (("sync", self.balanced_sync, self.sync_ports),
                                  ("api", self.balanced_api, self.api_ports)):
            text += "listen %s\n    bind 127.0.0.1:%d\n" % (name, port)
            for place in (0, 1):
                text += "    server s%d 127.0.0.1:%d check port %d\n" % (
                    place, ports[place], self.api_ports[place])
        self.balancer = self.start("/usr/sbin/haproxy", "-db", "-f",
                                   self.write("haproxy.cfg", text))
        self.port = self.balanced_api
        self.client = hub_rig.Client(self.port)
        rig.wait_until(self.answers, 20, "the balancer has found both", 0.1)

    def answers(self):
        try:
            return self.client.get("/readyz").status == 200
        except (OSError, hub_rig.http.client.HTTPException):
            self.client = self.new_client()
            return False

    def restart_one(self, place, *options):
        self.upstream.programs[place] = self.start_one(place, *options)
        self.port = self.balanced_api

    def sync_port_of(self, _hub):
        return self.balanced_sync
