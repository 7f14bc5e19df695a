"""upstreamd on PostgreSQL: everything that upstream_test asks of it, and what a server adds."""

import http.client
import threading
import unittest

import endpoint_rig
import hub_client
import postgres_rig
import rig
import upstream_test
from hub_client import FORK, OK

_server = None


def setUpModule():
    global _server
    _server = postgres_rig.Postgres().start()


def tearDownModule():
    _server.remove()


class OnPostgres:
    def store_line(self):
        return "postgres = " + _server.place

    def setUp(self):
        _server.empty()
        super().setUp()


class Sync(OnPostgres, upstream_test.Sync):
    pass


class Durability(OnPostgres, upstream_test.Durability):
    pass


class Reading(OnPostgres, upstream_test.Reading):
    pass


class Server(OnPostgres, upstream_test.UpstreamCase):
    """What can happen to a database that is a program of its own."""

    limit_seconds = 240

    def push(self, link, store, cursor):
        """The new cursor; the old one while upstreamd cannot store."""
        status, body = link.post(hub_client.message(store, cursor, store.behind(cursor, 5)))
        reply = hub_client.Reply(status, body)
        if status == 503:
            self.assertEqual(hub_client.REFUSED, reply.result)
            return cursor
        self.assertEqual((200, OK), (status, reply.result), reply.text)
        return reply.cursor

    def rows(self):
        return _server.query("SELECT seq, encode(bytes, 'hex') FROM records r "
                             "JOIN stores s ON s.id = r.store AND s.hub_id = 'hub-1' "
                             "ORDER BY seq")

    def expect_log(self, store):
        log = [bytes(one).hex() for _, _, records in store.groups for one in records]
        self.assertEqual([[str(seq), one] for seq, one in enumerate(log, 1)], self.rows())

    def test_refuses_while_the_database_is_away_and_loses_nothing_of_what_it_acknowledged(self):
        store, link, cursor = self.farm(60), self.link(), 0
        kills = refused = 0
        while cursor < store.head_seq:
            if cursor > kills * store.head_seq // 4 and kills < 3:
                kills += 1
                _server.kill()
                before = cursor
                cursor = self.push(link, store, cursor)
                self.assertEqual(before, cursor)
                refused += 1
                self.assertEqual(503, self.get("/hubs")[0])
                _server.start()
                rig.wait_until(lambda: self.get("/hubs")[0] == 200, 30, "the database is back")
                self.assertGreaterEqual(int(_server.query("SELECT cursor FROM stores "
                                                      "WHERE hub_id = 'hub-1'")[0][0]),
                                        cursor)
                continue
            cursor = self.push(link, store, cursor)
        self.assertEqual(3, refused)
        self.expect_log(store)
        self.assertNotIn(_server.PASSWORD, self.upstream.output())

    def backend(self):
        """upstreamd's connection, and whether a transaction is open in it."""
        return _server.query("SELECT pid, state FROM pg_stat_activity "
                             "WHERE application_name = 'upstreamd'")

    def test_what_the_database_refuses_in_the_middle_of_many_records_changes_nothing(self):
        store, link = self.farm(60), self.link()
        cursor = self.push(link, store, 0)
        before = self.backend()
        _server.query("ALTER TABLE records ADD CONSTRAINT not_this CHECK (seq <> %d)" % (
            store.head_seq - 3))
        status, body = link.post(hub_client.message(store, cursor, store.behind(cursor)))
        self.assertEqual((503, hub_client.REFUSED), (status, hub_client.Reply(status, body).result))
        rig.wait_until(lambda: "not_this" in self.upstream.output(), 10, "it says why")
        self.assertEqual(cursor, len(self.rows()))
        _server.query("ALTER TABLE records DROP CONSTRAINT not_this")
        reply = link.push(store, cursor, store.behind(cursor))
        self.assertEqual((200, OK, store.head_seq), (reply.status, reply.result, reply.cursor))
        self.expect_log(store)
        self.assertEqual(before, self.backend())  # the same connection, and it is idle again

    def second(self):
        """Another upstreamd on the same database; gives its sync port."""
        first = self.sync_port, self.api_port, self.upstream
        base = rig.free_ports(2)
        self.sync_port, self.api_port = base, base + 1
        self.upstream = self.start_upstreamd()
        self.sync_port, self.api_port, self.upstream = first
        return base

    def test_stores_once_and_in_order_what_comes_by_two_upstreamd_at_once(self):
        store = self.farm(60)
        ports = self.sync_port, self.second()
        wrong = []

        def go(port):
            link = hub_client.Link(port, self.certs, "hub-1")
            cursor = 0
            while cursor < store.head_seq:
                reply = link.push(store, 0 if cursor == 0 else cursor, store.behind(cursor, 3))
                if reply.status != 200 or reply.result != OK:
                    wrong.append((reply.status, reply.result, reply.text))
                    break
                cursor = reply.cursor
            link.close()

        threads = [threading.Thread(target=go, args=(port,)) for port in ports]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        self.assertEqual([], wrong)
        self.expect_log(store)
        other = hub_client.Link(ports[1], self.certs, "hub-1")
        self.addCleanup(other.close)
        forged = [(first, b"wrong!!!", records) for first, _, records in store.groups[-1:]]
        self.assertEqual(FORK, other.push(store, store.head_seq - len(forged[0][2]),
                                          forged).result)

    def test_sees_every_hub_from_each_upstreamd(self):
        port = self.second()
        self.link("hub-1").push(self.farm(), 0, self.farm().groups)
        other = hub_client.Link(port, self.certs, "hub-2")
        self.addCleanup(other.close)
        other.push(self.farm(), 0, self.farm().groups)
        for api_port in (self.api_port, port + 1):
            api = http.client.HTTPConnection("127.0.0.1", api_port, timeout=20 * rig.SLOW)
            api.request("GET", "/hubs", None,
                        {"Authorization": "Bearer " + endpoint_rig.READER})
            body = api.getresponse().read().decode()
            api.close()
            self.assertIn('"hub-1"', body)
            self.assertIn('"hub-2"', body)
            self.assertNotIn('"stale":true', body)


if __name__ == "__main__":
    unittest.main()
