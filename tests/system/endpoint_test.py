"""What any upstream endpoint must do, asked of upstreamd and of the example in docs/examples: the
contract of docs/sync.md, with a hub written in Python, and a real hub at the end."""

import hashlib
import http.client
import os
import re
import shutil
import signal
import sqlite3
import ssl
import sys
import threading
import time
import unittest

import endpoint_rig
import hub_client
import hub_rig
import rig
import store_reader
import sync_rig
sys.path.insert(0, os.path.join(rig.ROOT, "docs", "examples"))
import endpoint  # noqa: E402
from hub_client import FORK, GAP, OK, REFUSED, Store, message


def digest(record):
    return hashlib.sha256(record).digest()[:8]


class Contract:
    """Tests that know the wire only; a subclass starts its endpoint."""

    limit_seconds = 180

    def test_groups_are_acknowledged_in_order_and_once(self):
        store, link, cursor = self.farm(), self.link(), 0
        for group in store.groups:
            reply = link.push(store, cursor, [group], hello=cursor == 0)
            cursor += len(group[2])
            self.assertEqual((200, OK, cursor, group[1]),
                             (reply.status, reply.result, reply.cursor, reply.chain))
        again = link.push(store, 0, store.groups)
        self.assertEqual((OK, store.head_seq), (again.result, again.cursor))
        store.append(hub_client.phone(2, "SIM002"))
        overlap = link.push(store, 0, store.groups)
        self.assertEqual((OK, store.head_seq, store.chain),
                         (overlap.result, overlap.cursor, overlap.chain))
        empty = link.push(store, store.head_seq, [])
        self.assertEqual((OK, store.head_seq), (empty.result, empty.cursor))

    def test_missing_groups_are_asked_for(self):
        store, link = self.farm(), self.link()
        link.push(store, 0, store.groups[:1])
        reply = link.push(store, 1, store.groups[2:])
        self.assertEqual((200, GAP, 1, store.chain_at(1)),
                         (reply.status, reply.result, reply.cursor, reply.chain))
        self.assertEqual(OK, link.push(store, 1, store.groups[1:]).result)

    def test_another_history_is_a_fork_and_stores_nothing(self):
        store, link = self.farm(), self.link()
        link.push(store, 0, store.groups[:2])
        wrong = [(first, b"wrong!!!", records) for first, _, records in store.groups[2:3]]
        self.assertEqual((FORK, 2), (link.push(store, 2, wrong).result, 2))
        other = Store()
        other.append(hub_client.hub_booted())
        other.append(hub_client.phone(1, "ANOTHER"))
        other.append(hub_client.phone(2, "SIM002"))
        self.assertEqual(FORK, link.push(other, 2, other.groups[2:]).result)
        self.assertEqual(FORK, link.push(other, 0, other.groups).result)
        self.assertEqual(FORK, link.push(store, store.head_seq, []).result)
        first, chain, _ = store.groups[0]
        forged = [(first, chain, [hub_client.hub_booted(hub_client.WALL_MS + 5)])]
        self.assertEqual(FORK, link.push(store, 0, forged).result)
        self.assertEqual(OK, link.push(store, 2, store.groups[2:]).result)

    def test_a_push_whose_last_group_is_wrong_stores_none_of_it(self):
        store, link = self.farm(), self.link()
        groups = store.groups[:3] + [(store.groups[3][0], b"wrong!!!", store.groups[3][2])]
        self.assertEqual(FORK, link.push(store, 0, groups).result)
        reply = link.push(store, 0, store.groups[:1])
        self.assertEqual((OK, 1), (reply.result, reply.cursor))

    def test_a_newer_epoch_counts_and_an_older_one_does_not(self):
        store, link = self.farm(), self.link()
        link.push(store, 0, store.groups)
        newer = Store(epoch=2)
        newer.append(hub_client.hub_booted())
        reply = link.push(newer, 0, newer.groups)
        self.assertEqual((OK, 1), (reply.result, reply.cursor))
        self.assertEqual(FORK, link.push(store, store.head_seq, []).result)
        self.assertEqual(FORK, link.push(store, 0, []).result)

    def test_a_record_is_kept_whatever_it_holds(self):
        store, link = self.farm(), self.link()
        store.append(b"\xff no record at all")
        self.assertEqual(store.head_seq, link.push(store, 0, store.groups).cursor)

    def test_what_a_hub_has_given_up_is_passed_over(self):
        store, link = self.farm(2), self.link()
        link.push(store, 0, store.groups[:2])
        first, last = store.groups[2][0], store.groups[5][0] + len(store.groups[5][2]) - 1
        gap = [first, last, store.chain_at(last), [0] * 8]
        missing = [last + 2, last + 2, b"12345678", [0] * 8]
        self.assertEqual(GAP, self.push_gap(link, store, 2, [], missing).result)
        reply = self.push_gap(link, store, 2, store.groups[6:], gap)
        self.assertEqual((OK, store.head_seq, store.chain),
                         (reply.result, reply.cursor, reply.chain))
        again = self.push_gap(link, store, 2, store.groups[6:], gap)
        self.assertEqual((OK, store.head_seq), (again.result, again.cursor))
        wrong = [first, last, b"wrong!!!", [0] * 8]
        self.assertEqual(FORK, self.push_gap(link, store, 2, [], wrong).result)

    def push_gap(self, link, store, cursor, groups, gap):
        fields, _ = hub_client.decode(message(store, cursor, groups))
        return hub_client.Reply(*link.post(hub_client.encode(fields[:11] + [gap])))

    def fork(self, link, store):
        """Until an epoch is named, and named again; the hub's store in it."""
        other = Store(store.store_id, store.epoch)
        other.append(hub_client.phone(9, "ANOTHER"))
        named = [link.push(other, 1, []) for _ in range(2)]
        self.assertEqual([(FORK, store.epoch + 1)] * 2, [(one.result, one.epoch) for one in named])
        return Store(store.store_id, store.epoch + 1)

    def page(self, link, store, former, rows):
        """Pushes one page of an inventory in the new epoch, behind the gap over what was."""
        fields, _ = hub_client.decode(message(store, 0, [], first_seq=former.head_seq + 1))
        gap = [1, former.head_seq, former.chain, [0] * 8]
        body = hub_client.encode(fields[:11] + [gap, 0, 0, 0, [1, False, rows]])
        reply = hub_client.Reply(*link.post(body))
        self.assertEqual((OK, former.head_seq), (reply.result, reply.cursor))
        self.assertEqual(1, reply.verdicts[0])
        return reply.verdicts[1]

    def test_an_inventory_is_judged_row_by_row(self):
        store, link = self.farm(5), self.link()
        link.push(store, 0, store.groups)
        running = hub_client.life(6)
        store.append(*running[0])
        link.push(store, store.head_seq - 3, store.groups[-1:])
        born = [digest(hub_client.life(number)[0][0]) for number in range(1, 7)]
        last = [digest(hub_client.life(number)[3][2]) for number in range(1, 6)]
        other, none = digest(b"another request"), bytes(8)
        new = self.fork(link, store)
        rows = [[1, 1, 8, 9, last[0], born[0]],       # as it is
                [2, 1, 5, 4, digest(b""), born[1]],   # an older image of what has ended
                [3, 2, 11, 7, digest(b""), born[2]],  # retried since
                [4, 1, 8, 9, last[3], other],         # another process of that number
                [5, 1, 5, 4, digest(b"")],            # of a hub that does not say which process
                [6, 1, 5, 4, none, born[5]],          # has not ended at upstream
                [7, 1, 3, 7, none, other]]            # accepted since
        ended = [2, 8, 1, 1, 1, bytes([hub_client.COMPLETED])]
        expected = [[1, 0], [2, *ended], [3, 1, 8], [4, 1, 8], [5, *ended], [6, 1, 3], [7, 1, 0]]
        self.assertEqual(expected, self.page(link, new, store, rows))
        again = self.page(link, new, store, rows)  # the reply may have been lost
        self.assertEqual([one[:2] for one in expected], [one[:2] for one in again])
        self.assertEqual(FORK, link.push(store, store.head_seq, []).result)

    def test_after_a_fork_the_new_epoch_counts(self):
        store, link = self.farm(), self.link()
        link.push(store, 0, store.groups)
        new = self.fork(link, store)
        self.page(link, new, store, [])
        new.head_seq, new.chain = store.head_seq, store.chain
        new.groups.append((1, store.chain, [b""] * store.head_seq))  # given up
        new.append(hub_client.hub_booted(), hub_client.phone(1, "SIM001", 2))
        reply = link.push(new, store.head_seq, new.behind(store.head_seq))
        self.assertEqual((OK, new.head_seq, new.chain), (reply.result, reply.cursor, reply.chain))
        self.assertEqual(3, self.fork(link, new).epoch)

    def test_a_hub_may_ask_for_a_new_epoch(self):
        store, link = self.farm(), self.link()
        link.push(store, 0, store.groups)
        fields, _ = hub_client.decode(message(store, store.head_seq, []))
        reply = hub_client.Reply(*link.post(hub_client.encode(fields[:11] + [None, 0, 0, 0, True])))
        self.assertEqual((FORK, 2), (reply.result, reply.epoch))

    def test_what_is_no_push_is_refused_and_the_connection_goes_on(self):
        store, link = self.farm(), self.link()
        good = message(store, 0, store.groups)
        wrong = [b"", b"\xa0", good[:-1], good + b"\0", good[:40], b"\x9b" + b"\xff" * 8,
                 message(store, 0, store.groups, version=2),
                 message(store, 0, store.groups, epoch=0),
                 message(store, 0, [], first_seq=0)]
        for body in wrong:
            reply = hub_client.Reply(*link.post(body))
            self.assertEqual((400, REFUSED), (reply.status, reply.result), body[:20])
        self.assertEqual(404, link.post(good, path="/other")[0])
        self.assertEqual(415, link.post(good, content_type="application/json")[0])
        self.assertEqual(OK, link.push(store, 0, store.groups).result)

    def test_a_push_that_is_too_large_is_refused(self):
        link = self.link()
        try:
            status = link.post(bytes(3 << 20))[0]
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError, http.client.IncompleteRead):
            status = 413  # the connection was closed before everything was sent
        self.assertEqual(413, status)
        store = self.farm()
        self.assertEqual(OK, self.link().push(store, 0, store.groups).result)

    def test_only_certificates_of_its_authority_get_in(self):
        foreign, expired = self.path("foreign"), self.path("expired")
        self.make_certs(foreign, 30, "hub-1")
        os.mkdir(expired)
        for name in ("ca.crt", "ca.key"):
            shutil.copy(self.path("certs", name), expired)
        shutil.copy(self.path("certs", "ca.crt"), foreign)  # so that it trusts our server
        self.make_certs(expired, -1, "hub-1")
        store = self.farm()
        for name, certs in ((None, self.certs), ("hub-1", foreign), ("hub-1", expired)):
            with self.assertRaises((ssl.SSLError, OSError, http.client.HTTPException)):
                self.link(name, certs).push(store, 0, store.groups)
        self.assert_refused(3)
        self.assertEqual((OK, 1), (self.link().push(store, 0, store.groups[:1]).result, 1))

    def assert_refused(self, handshakes):
        """Where the endpoint counts them."""

    def test_hubs_are_kept_apart(self):
        one, two = self.farm(), self.farm(2)
        self.assertEqual(OK, self.link("hub-1").push(one, 0, one.groups).result)
        self.assertEqual(OK, self.link("hub-2").push(two, 0, two.groups).result)

    def test_what_was_acknowledged_survives_kills(self):
        store, cursor = self.farm(200), 0
        for _ in range(3):
            link = self.link()
            timer = threading.Timer(0.3, self.endpoint.kill)
            timer.start()
            try:
                for group in store.behind(cursor):
                    cursor = link.push(store, cursor, [group]).cursor
            except (OSError, http.client.HTTPException):
                pass
            timer.join()
            link.close()
            self.endpoint.wait()
            self.launch()
        reply = self.link().push(store, cursor, store.behind(cursor))
        self.assertEqual((OK, store.head_seq, store.chain),
                         (reply.result, reply.cursor, reply.chain))


    def pipelined(self, store, name="hub-1"):
        """A connection that has said hello, and what is acknowledged there."""
        link = hub_client.PipelinedLink(self.sync_port, self.certs, name)
        self.addCleanup(link.close)
        link.send(message(store, 0, store.groups, hello=True))
        self.assertEqual(OK, link.receive().result)
        return link

    def test_a_poll_is_held_until_its_time_is_over(self):
        store = self.farm()
        link = self.pipelined(store)
        began = time.monotonic()
        link.send(hub_client.poll(store, store.head_seq, 1500))
        reply = link.receive()
        self.assertGreaterEqual(time.monotonic() - began, 1.4)
        self.assertEqual((OK, store.head_seq), (reply.result, reply.cursor))

    def test_a_poll_that_may_not_wait_is_answered_at_once(self):
        store = self.farm()
        link = self.pipelined(store)
        for body in (hub_client.poll(store, store.head_seq, 0),
                     hub_client.poll(store, store.head_seq, 600000, hello=True),
                     hub_client.poll(store, 0, 600000)):  # the hub's cursor is old
            link.send(body)
            self.assertEqual(store.head_seq, link.receive().cursor)

    def test_the_next_push_ends_a_poll_before_it(self):
        store = self.farm()
        link, head = self.pipelined(store), store.head_seq
        for turn in range(3):
            link.send(hub_client.poll(store, head, 600000))
            self.assertTrue(link.is_silent(0.3))
            store.append(hub_client.phone(2, "SIM002", revision=turn + 1))
            link.send(message(store, head, store.behind(head)))
            self.assertEqual((OK, head), (link.receive().result, link.receive().cursor - 1))
            head = store.head_seq

    def test_a_push_that_came_with_the_poll_ends_it_too(self):
        store = self.farm()
        link, head = self.pipelined(store), store.head_seq
        store.append(hub_client.phone(2, "SIM002"))
        link.send(hub_client.poll(store, head, 600000), message(store, head, store.behind(head)))
        self.assertEqual([head, head + 1], [link.receive().cursor for _ in range(2)])

    def test_half_a_push_ends_a_poll_and_is_waited_for(self):
        store = self.farm()
        link, head = self.pipelined(store), store.head_seq
        link.send(hub_client.poll(store, head, 600000))
        self.assertTrue(link.is_silent(0.2))
        link.stream.sendall(b"POST /sync HTTP/1.1\r\nHo")
        self.assertEqual(head, link.receive().cursor)

    def test_the_examples_of_the_description_are_what_it_says(self):
        with open(os.path.join(rig.ROOT, "docs/sync.md"), encoding="utf-8") as file:
            blocks = dict(re.findall(r"```(\w+)\n([0-9a-f\n]+)```", file.read()))
        raw = {name: bytes.fromhex(text.replace("\n", "")) for name, text in blocks.items()}
        self.assertEqual({"hello", "push", "reply", "fork", "offer", "gap", "poll", "renewal", "epoch",
                          "inventory", "verdicts"}, set(raw))
        for name, body in raw.items():
            self.assertEqual(body, hub_client.encode(hub_client.decode(body)[0]), name)
        link = self.link()
        hello = hub_client.Reply(*link.post(raw["hello"]))
        self.assertEqual((OK, 0), (hello.result, hello.cursor))
        pushed = hub_client.Reply(*link.post(raw["push"]))
        expected = hub_client.Reply(200, raw["reply"])
        self.assertEqual((expected.result, expected.cursor, expected.chain),
                         (pushed.result, pushed.cursor, pushed.chain))
        self.assertEqual(FORK, hub_client.Reply(200, raw["fork"]).result)
        offer = hub_client.Reply(200, raw["offer"])
        self.assertEqual((1, [[1, 1, 7, 1, 1, 1, 900000]]),
                         (offer.upstream_epoch, [one[:7] for one in offer.commands]))
        polled = hub_client.Reply(*link.post(raw["poll"]))
        self.assertEqual((OK, 2), (polled.result, polled.cursor))
        renewal = hub_client.Reply(200, raw["renewal"])
        self.assertEqual(([[4, 0, 5]], [[7, 1, 1, 900000]]),
                         (renewal.commands, hub_client.decode(raw["renewal"])[0][9]))
        named = hub_client.decode(raw["epoch"])[0]
        self.assertEqual((FORK, 2), (named[1], named[10]))
        page = endpoint.Push(raw["inventory"])
        self.assertEqual((2, 0, [1, 2]), (page.epoch, page.cursor, page.gap[:2]))
        rows = hub_client.decode(raw["inventory"])[0][15][2]
        verdicts = hub_client.decode(raw["verdicts"])[0][11]
        self.assertEqual([row[0] for row in rows], [one[0] for one in verdicts[1]])
        gap = hub_client.Reply(*self.link("hub-2").post(raw["gap"]))
        self.assertEqual((OK, 2, expected.chain), (gap.result, gap.cursor, gap.chain))


class Upstreamd(Contract, endpoint_rig.EndpointCase):
    def launch(self):
        self.endpoint = self.start_upstreamd()

    def assert_refused(self, handshakes):
        reader = hub_rig.Client(self.api_port, endpoint_rig.READER)
        text = reader.get("/metrics").body
        reader.close()
        self.assertIn("\nupstream_tls_refused_total %d\n" % handshakes, text)
        self.assertIn("\nupstream_pushes_total 0\n", text)


class FullUpstreamd(endpoint_rig.EndpointCase):
    sync_lines = ("connections = 64",)

    def launch(self):
        self.endpoint = self.start_upstreamd()

    def held(self, store):
        """A connection on which a poll is held."""
        link = hub_client.PipelinedLink(self.sync_port, self.certs, "hub-1")
        self.addCleanup(link.close)
        link.send(message(store, 0, store.groups, hello=True))
        self.assertEqual(OK, link.receive().result)
        link.send(hub_client.poll(store, store.head_seq, 600000))
        self.assertTrue(link.is_silent(0.05))
        return link

    def test_more_hubs_than_configured_are_turned_away_until_one_goes(self):
        store = self.farm()
        links = [self.held(store) for _ in range(64)]
        with self.assertRaises((OSError, http.client.HTTPException)):
            self.link().push(store, 0, store.groups)
        links[0].close()
        self.held(store)
        reader = hub_rig.Client(self.api_port, endpoint_rig.READER)
        self.assertIn('\nupstream_http_overflowed_total{server="sync"} 1\n',
                      reader.get("/metrics").body)
        reader.close()

    def test_a_number_of_hubs_out_of_bounds_is_refused(self):
        with open(self.config, encoding="utf-8") as file:
            text = file.read()
        for number in ("63", "65025", "many"):
            config = self.write("bad.ini", text.replace("= 64", "= " + number))
            status, _, wrong = self.run_program("upstreamd", "--config", config, "--check-config")
            self.assertEqual(2, status)
            self.assertIn("[sync] connections", wrong.decode())


def example(case):
    """The arguments of the example, as its first lines give them."""
    return [sys.executable, os.path.join(rig.ROOT, "docs/examples/endpoint.py"),
            "--listen", "127.0.0.1:%d" % case.sync_port, "--ca", case.certs + "/ca.crt",
            "--cert", case.certs + "/server.crt", "--key", case.certs + "/server.key",
            "--database", case.path("example.db")]


class Example(Contract, endpoint_rig.EndpointCase):
    def launch(self):
        self.endpoint = self.start(*example(self))
        self.endpoint.wait_for("ready", 20)


class ExampleWithAHub(sync_rig.SyncCase):
    def test_a_real_hub_syncs_with_it(self):
        self.endpoint = self.start(*example(self))
        self.endpoint.wait_for("ready", 20)
        _, first = self.start_phones(2)
        self.start_hub(range(first, first + 2))
        workers = self.start_workers(2)
        rig.wait_until(lambda: sum(len(one.acknowledged) for one in workers) >= 20, 30, "some requests")
        acknowledged = self.stop_workers(workers)
        self.wait_caught_up()
        with sqlite3.connect("file:%s?mode=ro" % self.path("example.db"), uri=True) as database:
            rows = database.execute("SELECT seq, bytes FROM records ORDER BY seq").fetchall()
        self.assertEqual([seq for seq, _ in rows], list(range(1, len(rows) + 1)))
        _, _, groups = store_reader.read_groups(self.path("hub.store"))
        kept = [body for group in groups for body in group.bodies]
        self.assertEqual([bytes(body) for _, body in rows][-len(kept):], kept)
        self.assert_lives([hub_client.decode(bytes(body))[0] for _, body in rows], acknowledged)

    def test_a_real_hub_with_a_restored_store_finds_its_way_back_to_it(self):
        self.endpoint = self.start(*example(self))
        self.endpoint.wait_for("ready", 20)
        _, first = self.start_phones(1)
        ports = range(first, first + 1)
        self.start_hub(ports)
        self.wait_end(self.submit("small"))
        self.wait_caught_up()
        self.hub.process.send_signal(signal.SIGTERM)
        self.hub.wait()
        shutil.copy(self.path("hub.store"), self.path("older"))
        self.start_hub(ports)
        self.wait_end(self.submit("small"))
        self.wait_caught_up()
        self.hub.kill()
        self.hub.wait()
        shutil.copy(self.path("older"), self.path("hub.store"))
        self.start_hub(ports)
        self.assertEqual("completed", self.wait_end(self.submit("small"))["status"])
        rig.wait_until(lambda: self.metric("hub_store_epoch") == 2, 60, "a new epoch")
        self.assertEqual("completed", self.wait_end(self.submit("small"))["status"])
        self.wait_caught_up()
        fleet = endpoint.Fleet(self.path("example.db"))
        fleet.db.execute("INSERT INTO commands VALUES('hub-1', 9, x'8109')")
        self.assertEqual([[9]], fleet.commands("hub-1", 0))  # it has told all it has
        rows = fleet.db.execute("SELECT seq, bytes FROM records WHERE epoch = 2 ORDER BY seq").fetchall()
        self.assertEqual([seq for seq, _ in rows], list(range(rows[0][0], rows[0][0] + len(rows))))
        self.assertIn("hub-1-2-", self.submit("small"))


if __name__ == "__main__":
    unittest.main()
