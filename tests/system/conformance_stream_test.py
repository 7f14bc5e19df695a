"""Server-sent events, by HTTP alone: replay, live, the end, slow readers, the limit."""

import http.client
import json
import resource
import socket
import time

import hub_rig
import rig
from conformance_rig import ConformanceCase

ITEMS = 120  # of one process, in the tests of slow readers
METRICS = {"noise": "x" * 7900}  # of each: together more than what lies between hub and reader


class Streams(ConformanceCase):
    """Replay, live, the end, a thousand at once."""

    phones = 2
    limit_seconds = 120

    def stream(self, identity, last_id=None):
        stream = hub_rig.Stream(self.port, identity, last_id)
        self.addCleanup(stream.close)
        return stream

    def test_replay_live_and_end(self):
        identity, job = self.running()
        stream = self.stream(identity)
        first = [stream.next() for _ in range(len(self.events(identity)))]
        self.assertEqual([i for i, _ in first], list(range(1, len(first) + 1)))
        self.worker.tell(job, "complete", exitCode=0)
        rest = stream.rest()
        events = first + rest
        self.assertEqual([i for i, _ in events], list(range(1, len(events) + 1)))
        self.assertEqual(events[-1][1]["status"], "completed")
        self.assertEqual([e for _, e in events], self.events(identity))
        for _, event in events:
            self.contract.validate(event, {"$ref": "#/components/schemas/Event"}, "event")
        again = self.stream(identity, last_id=len(events) - 2)
        self.assertEqual([i for i, _ in again.rest()], [len(events) - 1, len(events)])
        self.assertEqual(self.stream(identity, last_id=len(events)).status, 204)

    def test_it_closes_after_25_seconds(self):
        identity = self.submit(not_before=hub_rig.now_text(86400))
        stream = self.stream(identity)
        started = time.monotonic()
        self.assertGreater(len(stream.rest()), 0)
        self.assertGreater(time.monotonic() - started, 20)
        self.assertLess(time.monotonic() - started, 25 + 10 * rig.SLOW)

    def test_as_many_as_the_board_has_and_the_next_is_refused(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        identity, job = self.running()
        count = len(self.events(identity))
        streams = [hub_rig.Stream(self.port, identity, last_id=count) for _ in range(1000)]
        try:
            self.assertEqual({s.status for s in streams}, {200})
            answer = self.client.get("/processes/%s/stream" % identity)
            self.assertEqual(self.code(answer), (503, "capacity_exhausted"))
            self.assertEqual(answer.headers["Retry-After"], "1")
            streams.pop().close()
            rig.wait_until(lambda: self.stream(identity, last_id=count).status == 200, 10,
                           "a place is free again")
            self.worker.tell(job, "complete", exitCode=0)
            ends = [s.rest() for s in streams]
            self.assertEqual({tuple(i for i, _ in end) for end in ends},
                             {tuple(range(count + 1, count + 1 + len(ends[0])))})
        finally:
            for stream in streams:
                stream.close()
        self.assertEqual(len(self.stream(identity).rest()), count + len(ends[0]))


class FewStreams(ConformanceCase):
    """The operator's own limit."""

    phones = 1
    extra_config = "[api]\nstreams = 2\n"

    def test_the_configured_limit_counts(self):
        identity = self.submit(not_before=hub_rig.now_text(86400))
        streams = [hub_rig.Stream(self.port, identity) for _ in range(3)]
        self.assertEqual([s.status for s in streams], [200, 200, 503])
        for stream in streams:
            stream.close()


class SlowReader:
    """A client that asks for a stream and takes nothing of it before it is told to."""

    def __init__(self, port, identity, last_id):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # The other side's buffer grows with the segment size, which is large on loopback.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 600)
        self.socket.settimeout(20 * rig.SLOW)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(
            ("GET /processes/%s/stream HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n"
             "Last-Event-ID: %d\r\n\r\n" % (identity, hub_rig.SECRET, last_id)).encode())

    def take(self, most):
        """At most so many whole events as (id, event), and whether the stream ended in order."""
        response = http.client.HTTPResponse(self.socket)
        response.begin()
        events, event = [], {}
        try:
            while len(events) < most:
                line = response.readline().decode()
                if line == "":
                    return events, True
                if line == "\n" and "data" in event:
                    events.append((int(event["id"]), json.loads(event["data"])))
                    event = {}
                elif line != "\n":
                    name, _, text = line.partition(": ")
                    event[name] = text
        except (http.client.IncompleteRead, OSError):
            pass
        return events, False


class SlowReaders(ConformanceCase):
    """Who does not take what waits for it is dropped; it resumes and has every event once."""

    limit_seconds = 150

    def begin_long(self):
        """A running process that will have megabytes of history."""
        accounts = ["a-%d" % i for i in range(ITEMS)]
        return self.submit(target={"routing": "group", "account_ids": accounts})

    def work(self, count):
        for _ in range(count // self.phones):
            jobs = self.worker.claim("job", self.phones)
            self.assertEqual(len(jobs), self.phones)
            for job in jobs:
                self.assertEqual(self.worker.start(job).status, 200)
                answer = self.worker.tell(job, "complete", exitCode=0, output="y" * 4096,
                                          metrics=METRICS)
                self.assertEqual(answer.status, 200, answer)

    def metric(self, name):
        return int(self.client.get("/metrics").body.split("\n%s " % name)[1].split("\n")[0])

    def resume(self, identity, events):
        """Reconnects as the contract says until nothing is left; a few events at a time."""
        while True:
            reader = SlowReader(self.port, identity, events[-1][0] if events else 0)
            self.addCleanup(reader.socket.close)
            more, _ = reader.take(150)
            reader.socket.close()
            if not more:
                return events
            events += more

    def test_a_slow_reader_is_dropped_and_resumes_without_loss(self):
        identity = self.begin_long()
        self.work(ITEMS // 2)
        slow = SlowReader(self.port, identity, 0)
        self.addCleanup(slow.socket.close)
        rig.wait_until(lambda: self.metric("hub_streams") == 1, 10, "the stream is open")
        dropped = self.metric("hub_http_timed_out_total")
        begun = time.monotonic()
        self.work(ITEMS // 2)
        self.assertLess(time.monotonic() - begun, 15 * rig.SLOW, "nobody waits for it")
        self.assertEqual(self.process(identity)["status"], "completed")
        rig.wait_until(lambda: self.metric("hub_http_timed_out_total") == dropped + 1,
                       40 * rig.SLOW, "it is dropped")
        self.assertEqual(self.metric("hub_streams"), 0)
        events, is_whole = slow.take(100000)
        self.assertFalse(is_whole, "it must not look like an end")
        self.assertGreater(len(events), 0)
        events = self.resume(identity, events)
        self.assertEqual([i for i, _ in events], list(range(1, len(events) + 1)))
        self.assertEqual(events[-1][1]["status"], "completed")
        stream = hub_rig.Stream(self.port, identity)
        self.addCleanup(stream.close)
        self.assertEqual(stream.rest(), events)

    def test_a_reader_that_pauses_is_not_dropped_and_loses_nothing(self):
        identity = self.begin_long()
        self.work(ITEMS // 2)
        slow = SlowReader(self.port, identity, 0)
        self.addCleanup(slow.socket.close)
        self.work(ITEMS // 2)
        events, is_whole = slow.take(100000)
        self.assertTrue(is_whole)
        self.assertEqual([i for i, _ in events], list(range(1, len(events) + 1)))
        self.assertEqual(events[-1][1]["status"], "completed")
