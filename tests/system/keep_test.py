"""[store] keep_days: what ended longer ago is deleted, in SQLite and in PostgreSQL."""

import sqlite3
import time
import unittest

import fleet_postgres_rig
import fleet_rig
import hub_client
import hub_rig
import rig

DAY_MS = 86400000


class Keep:
    """A hub written in Python, whose processes ended days ago by its own clock."""

    def setUp(self):
        super().setUp()
        self.keep = ""

    def store_line(self):
        return super().store_line() + self.keep

    def restart(self, keep_days=None):
        self.upstream.kill()
        self.keep = "\nkeep_days = %d" % keep_days if keep_days else ""
        self.start_upstream()

    def link(self):
        link = hub_client.Link(self.sync_port, self.certs, "hub-1")
        self.addCleanup(link.close)
        return link

    def push(self, store, cursor):
        reply = self.link().push(store, cursor, store.behind(cursor))
        self.assertEqual((reply.result, reply.cursor), (hub_client.OK, store.head_seq), reply.text)

    def farm(self, days_ago, count=40):
        """`count` lives that ended so long ago, then one that ended now and one that runs."""
        hub_client.WALL_MS, usual = int(time.time() * 1000) - days_ago * DAY_MS, hub_client.WALL_MS
        self.addCleanup(setattr, hub_client, "WALL_MS", usual)
        store = hub_client.Store()
        store.append(hub_client.hub_booted(hub_client.WALL_MS))
        store.append(hub_client.phone(1, "SIM001"))
        for number in range(1, count + 1):
            store.append(hub_client.phone(1, "SIM001", 2 * number, 6))
            store.append(hub_client.phone(1, "SIM001", 2 * number + 1, 5))
            for group in hub_client.life(number):
                store.append(*group)
        hub_client.WALL_MS = int(time.time() * 1000)
        for group in hub_client.life(count + 1) + hub_client.life(count + 2)[:3]:
            store.append(*group)
        return store

    def deleted(self):
        lines = self.client.get("/metrics").body.splitlines()
        name = "upstream_deleted_processes_total "
        return int(next(x for x in lines if x.startswith(name)).split()[1])

    def count(self, table, where="1 = 1"):
        return self.rows("SELECT count(*) AS n FROM %s WHERE %s" % (table, where))[0][0]

    def test_a_hubs_old_processes_go_and_its_history_still_compares(self):
        self.start_upstream()
        store = self.farm(10)
        self.push(store, 0)
        self.assertEqual(self.count("processes"), 42)
        self.restart(9)
        rig.wait_until(lambda: self.count("processes") == 2, 40, "the old ones are gone")
        listed = [row["process_id"] for row in self.client.get("/processes").body["processes"]]
        self.assertEqual(listed, ["hub-1-1-42", "hub-1-1-41"])
        self.assertEqual(self.client.get("/processes/hub-1-1-7").status, 404)
        self.assertEqual(self.client.get("/processes/hub-1-1-41").body["status"], "completed")
        self.assertEqual(self.client.get("/phones/SIM001").body["state"], "leased")
        self.assertEqual(self.count("objects", "kind IN (2, 3, 4, 5)"), 7)
        # Of each old group one row is left, and it is empty but for its chain hash.
        rows = self.rows("SELECT seq, chain, bytes FROM records ORDER BY seq")
        chains = {first + len(records) - 1: chain for first, chain, records in store.groups}
        self.assertEqual({seq: bytes(chain) for seq, chain, _ in rows if chain}, chains)
        full = [seq for seq, _, content in rows if content]
        self.assertLess(len(full), 30, "records of what is left, and of the hub and its phone")
        # A hub that remembers an old acknowledgement pushes all of it again.
        for cursor in (0, store.groups[50][0] - 1):
            self.push(store, cursor)
        self.assertEqual(self.count("processes"), 2)
        before = store.head_seq
        store.append(*hub_client.life(42)[3])
        self.push(store, before)
        self.assertEqual(self.client.get("/processes/hub-1-1-42").body["status"], "completed")
        forged = [(first, b"wrong!!!", records) for first, _, records in store.groups[20:21]]
        reply = self.link().push(store, forged[0][0] - 1, forged)
        self.assertEqual(reply.result, hub_client.FORK)

    def test_without_keep_days_nothing_is_deleted(self):
        self.start_upstream()
        store = self.farm(4000, 3)
        self.push(store, 0)
        self.restart()
        self.push(store, 0)
        self.assertEqual((self.deleted(), self.count("processes")), (0, 5))

    def test_the_fleets_own_go_and_their_keys_stay_seven_days(self):
        self.start_upstream()
        body = hub_rig.order("quick", "old")
        old = self.client.post("/capability-requests/enqueue", body).body["process_id"]
        plain = self.client.post("/capability-requests/enqueue",
                                 hub_rig.order("quick")).body["process_id"]
        young = self.submit("quick")
        waits = self.submit("quick")
        for identity in (old, plain, young):
            self.assertEqual(self.client.post("/processes/%s/cancel" % identity).status, 200)
        numbers = ", ".join(identity.split("-")[-1] for identity in (old, plain))
        self.change("UPDATE processes SET finished_ms = finished_ms - %d WHERE number IN (%s)" % (
            3 * DAY_MS, numbers))
        self.restart(2)
        rig.wait_until(lambda: self.count("processes") == 2, 40, "the old ones are gone")
        for identity in (old, plain):
            self.assertEqual(self.client.get("/processes/" + identity).status, 404)
            self.assertEqual(self.client.post("/processes/%s/cancel" % identity).status, 404)
        for identity in (young, waits):
            self.assertEqual(self.client.get("/processes/" + identity).status, 200)
        self.assertEqual([self.count(table) for table in ("fleet_items", "objects")], [2, 6])
        again = self.client.post("/capability-requests/enqueue", body)
        self.assertEqual((again.status, again.body["process_id"], again.body["duplicate"],
                          again.body["process_status"]), (200, old, True, "cancelled"))
        rig.wait_until(lambda: self.count("fleet_processes") == 3, 20, "without a key nothing stays")
        self.change("UPDATE fleet_processes SET evicted_ms = evicted_ms - %d WHERE evicted_ms > 0"
                    % (7 * DAY_MS))
        self.restart(2)
        rig.wait_until(lambda: self.count("fleet_processes") == 2, 40, "the key is forgotten")
        new = self.client.post("/capability-requests/enqueue", body)
        self.assertEqual(new.status, 202)
        self.assertNotIn(new.body["process_id"], (old, plain, young, waits))


class OnSqlite(Keep, fleet_rig.FleetCase):
    def change(self, text):
        self.upstream.stop()
        with sqlite3.connect(self.database) as database:
            database.execute(text)
        database.close()


class OnPostgres(Keep, fleet_rig.FleetCase):
    @classmethod
    def setUpClass(cls):
        fleet_postgres_rig.start_server()
        cls.addClassCleanup(fleet_postgres_rig.remove_server)

    def setUp(self):
        fleet_postgres_rig.server.empty()
        super().setUp()

    def store_line(self):
        return "postgres = " + fleet_postgres_rig.server.place + self.keep

    def rows(self, text, *values):
        return fleet_postgres_rig.server.rows(text, *values)

    def change(self, text):
        fleet_postgres_rig.server.query(text)


if __name__ == "__main__":
    unittest.main()
