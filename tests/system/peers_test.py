"""Two upstreamd on one PostgreSQL: what one stores, the other hears of at once; and what becomes of
transactions that wait for each other."""

import subprocess
import unittest

import fleet_postgres_rig
import fleet_rig
import hub_client
import hub_rig
import rig

setUpModule = fleet_postgres_rig.start_server
tearDownModule = fleet_postgres_rig.remove_server


class Peers(fleet_postgres_rig.PairCase, fleet_rig.FleetCase):
    """Hubs are written in Python here; `first` and `second` are callers of either upstreamd."""

    def setUp(self):
        super().setUp()
        self.start_upstream()
        self.first, self.second = (hub_rig.Client(port) for port in self.api_ports)
        self.addCleanup(self.first.close)
        self.addCleanup(self.second.close)

    def link(self, place, name="hub-1"):
        link = hub_client.PipelinedLink(self.sync_ports[place], self.certs, name)
        self.addCleanup(link.close)
        return link

    def push(self, link, store, cursor, **changed):
        link.send(hub_client.message(store, cursor, store.behind(cursor), **changed))
        reply = link.receive()
        self.assertEqual((reply.status, reply.result, reply.cursor), (200, hub_client.OK,
                                                                      store.head_seq), reply.text)
        return reply

    def running(self, number=1):
        """A hub's log with a phone and a process that runs on it."""
        store = hub_client.Store()
        store.append(hub_client.hub_booted())
        store.append(hub_client.phone(1, "SIM001"))
        for group in hub_client.life(number)[:3]:
            store.append(*group)
        return store

    def metric(self, client, name):
        lines = client.get("/metrics").body.splitlines()
        return int(next(x for x in lines if x.startswith(name + " ")).split()[1])


class Heard(Peers):
    def test_a_command_given_at_one_wakes_the_poll_that_waits_at_the_other(self):
        store, link = self.running(), self.link(0)
        self.push(link, store, 0)
        link.send(hub_client.poll(store, store.head_seq, 50000))
        held = 'upstream_held_pushes_total'
        rig.wait_until(lambda: self.metric(self.first, held) == 1, 20, "the poll is held")
        heard = self.metric(self.first, "upstream_notices_total")
        answer = self.second.post("/processes/hub-1-1-1/cancel")
        self.assertEqual(answer.status, 202, answer)
        reply = link.receive()
        self.assertEqual([command[1] for command in reply.commands], [2], "a cancel")
        self.assertGreater(self.metric(self.first, "upstream_notices_total"), heard)

    def test_a_stream_at_one_follows_the_hub_that_pushes_to_the_other(self):
        store, link = self.running(), self.link(0)
        self.push(link, store, 0)
        stream = hub_rig.Stream(self.api_ports[1], "hub-1-1-1")
        self.addCleanup(stream.close)
        types = []
        while not types or types[-1] != "started":
            types.append(stream.next()[1]["type"])
        before = store.head_seq
        store.append(*hub_client.life(1)[3])
        self.push(link, store, before)
        self.assertEqual([event[1]["type"] for event in stream.rest()],
                         ["attempt_ended", "succeeded", "finished"])

    def test_a_request_given_at_one_is_offered_by_the_other(self):
        store, link = self.running(), self.link(0)
        self.push(link, store, 0)
        fields, _ = hub_client.decode(hub_client.poll(store, store.head_seq, 50000))
        fields[13:15] = 1, 1  # of its epoch, idle phones
        link.send(hub_client.encode(fields))
        rig.wait_until(lambda: self.metric(self.first, "upstream_held_pushes_total") == 1, 20,
                       "the poll is held")
        answer = self.second.post("/capability-requests/enqueue", hub_rig.order("quick", "r-1"))
        self.assertEqual(answer.status, 202, answer)
        self.assertEqual([command[1] for command in link.receive().commands], [1], "an offer")


class Session:
    """A psql that holds a transaction open."""

    def __init__(self, server):
        self.process = subprocess.Popen(
            server.as_user + [server.bin + "/psql", "-q", "-At", "-v", "ON_ERROR_STOP=0",
                              server.place], cwd="/", text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=1)

    def tell(self, text):
        self.process.stdin.write(text + ";\n")
        self.process.stdin.flush()

    def ask(self, text):
        self.tell(text)
        return self.process.stdout.readline().strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


class Locks(Peers):
    def setUp(self):
        server = fleet_postgres_rig.server
        server.query("ALTER ROLE farm SET deadlock_timeout = '3s'")  # of upstreamd's connections
        self.addCleanup(server.query, "ALTER ROLE farm RESET deadlock_timeout")
        super().setUp()
        self.session = Session(server)
        self.addCleanup(self.session.close)
        self.session.tell("SET deadlock_timeout = '600s'")  # so it is never the one that gives way
        self.session.tell("SET client_min_messages = error")

    def wait_blocked(self, count):
        rig.wait_until(lambda: self.rows("SELECT count(*) AS n FROM pg_locks WHERE NOT granted") ==
                       [(count,)], 10, "%d wait for a lock" % count)

    def test_a_deadlock_is_broken_off_and_tried_again_and_nothing_is_answered_before(self):
        store, link = self.running(), self.link(0)
        self.push(link, store, 0)
        self.assertEqual(self.metric(self.first, "upstream_database_conflicts_total"), 0)
        before = store.head_seq
        store.append(*hub_client.life(1)[3])
        # The push locks its hub, and (the hub has booted) what the ledger has of it; the other way
        # round here.
        self.session.tell("BEGIN")
        self.assertEqual(self.session.ask(
            "SELECT hub FROM fleet_hubs WHERE hub = 'hub-1' FOR UPDATE"), "hub-1")
        link.send(hub_client.message(store, before, store.behind(before), now=hub_client.when(5, 2)))
        self.wait_blocked(1)
        self.assertEqual(self.session.ask(
            "SELECT hub_id FROM hubs WHERE hub_id = 'hub-1' FOR UPDATE"), "hub-1")
        self.assertTrue(link.is_silent(0.2))
        self.assertEqual(self.rows("SELECT cursor FROM stores WHERE hub_id = 'hub-1'"),
                         [(before,)])
        self.session.tell("ROLLBACK")
        reply = link.receive()
        self.assertEqual((reply.status, reply.result, reply.cursor),
                         (200, hub_client.OK, store.head_seq))
        self.assertEqual(self.metric(self.first, "upstream_database_conflicts_total"), 1)
        self.assertEqual(self.metric(self.first, "upstream_records_total"), store.head_seq)
        self.assertEqual(self.rows("SELECT cursor FROM stores WHERE hub_id = 'hub-1'"),
                         [(store.head_seq,)])

    def test_a_request_that_meets_a_deadlock_is_tried_again(self):
        identity = self.second.post("/capability-requests/enqueue",
                                    hub_rig.order("quick", "r-1")).body["process_id"]
        number = identity.split("-")[-1]
        self.session.tell("BEGIN")
        self.assertEqual(self.session.ask("SELECT item FROM fleet_items WHERE process = %s "
                                          "FOR UPDATE" % number), "1")
        client = hub_rig.Client(self.api_ports[0])
        self.addCleanup(client.close)
        sent = {"Authorization": "Bearer " + client.secret}
        client.connection.request("POST", "/processes/%s/cancel" % identity, b"", sent)
        self.wait_blocked(1)
        self.assertEqual(self.session.ask("SELECT id FROM fleet_processes WHERE id = %s "
                                          "FOR UPDATE" % number), number)
        self.session.tell("ROLLBACK")
        answer = hub_rig.Answer(client.connection.getresponse())
        self.assertEqual((answer.status, answer.body["status"]), (200, "cancelled"), answer)
        self.assertEqual(self.metric(self.first, "upstream_database_conflicts_total"), 1)

    def test_a_lock_that_somebody_keeps_is_back_pressure(self):
        store, link = self.running(), self.link(0)
        self.push(link, store, 0)
        before = store.head_seq
        store.append(*hub_client.life(1)[3])
        self.session.tell("BEGIN")
        self.assertEqual(self.session.ask(
            "SELECT hub_id FROM hubs WHERE hub_id = 'hub-1' FOR UPDATE"), "hub-1")
        link.send(hub_client.message(store, before, store.behind(before)))
        reply = link.receive()
        self.assertEqual((reply.status, reply.result), (503, hub_client.REFUSED))
        self.assertGreater(reply.retry_after_ms, 0)
        self.session.tell("ROLLBACK")
        self.push(link, store, before)


if __name__ == "__main__":
    unittest.main()
