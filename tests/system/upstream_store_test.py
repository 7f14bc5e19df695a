"""Where upstreamd keeps its tables: older and newer formats, and what it may say of them."""

import os
import subprocess
import unittest

import hub_client
import rig
import upstream_test
from hub_client import OK, Store

OLD = os.path.join(rig.ROOT, "tests", "data", "upstream_format_2.sql")


def sqlite(path, text):
    return subprocess.run(["sqlite3", "-quote", path, text], check=True,
                          stdout=subprocess.PIPE).stdout.decode()


class Formats(upstream_test.UpstreamCase):
    """Opens a database that the release before wrote: two hubs, two processes."""

    def launch(self):
        self.database = self.path("fleet.db")
        with open(OLD, encoding="ascii") as text:
            subprocess.run(["sqlite3", self.database], stdin=text, check=True)

    def test_brings_the_last_release_s_database_to_this_format_and_loses_nothing(self):
        rows = {}
        for table in ("stores", "hubs", "boots", "records", "objects", "leases", "processes"):
            columns = [line.split(",")[1].strip("'") for line in
                       sqlite(self.database, "PRAGMA table_info(%s)" % table).splitlines()]
            query = "SELECT %s FROM %s" % (", ".join(columns), table)
            rows[query] = set(sqlite(self.database, query).splitlines())
            self.assertTrue(rows[query])
        self.upstream = self.start_upstreamd()
        for query, before in rows.items():
            after = set(sqlite(self.database, query).splitlines())
            self.assertLessEqual(before, after, query)
        hubs = {hub["hub_id"]: hub["cursor"] for hub in self.json("/hubs")["hubs"]}
        self.assertEqual({"hub-1": 19, "hub-2": 2}, hubs)
        self.assertEqual("completed", self.json("/processes/hub-1-1-1")["status"])
        self.assertEqual(9, len(self.json("/processes/hub-1-1-2/events")["events"]))
        store = Store(b"\x33" * 16)
        store.append(hub_client.hub_booted())
        store.append(hub_client.phone(1, "SIM002"))
        store.append(hub_client.phone(2, "SIM003"))
        reply = self.link("hub-2").push(store, 2, store.behind(2))
        self.assertEqual((OK, 3, store.chain), (reply.result, reply.cursor, reply.chain))

    def test_leaves_a_newer_database_untouched(self):
        sqlite(self.database, "PRAGMA user_version = 99; PRAGMA journal_mode = DELETE;")
        with open(self.database, "rb") as file:
            before = file.read()
        tokens = self.write("tokens", "reader read %s\n" % upstream_test.TOKEN)
        config = self.write("newer.ini", "\n".join([
            "[api]", "listen = tcp:127.0.0.1:%d" % self.api_port, "token_file = " + tokens,
            "[sync]", "listen = tcp:127.0.0.1:%d" % self.sync_port,
            "ca = %s/ca.crt" % self.certs, "cert = %s/server.crt" % self.certs,
            "key = %s/server.key" % self.certs, "[store]", "sqlite = " + self.database, ""]))
        status, _, err = self.run_program("upstreamd", "--config", config)
        self.assertEqual(3, status)
        self.assertIn(b"newer format", err)
        self.assertEqual("99\n", sqlite(self.database, "PRAGMA user_version"))
        with open(self.database, "rb") as file:
            after = file.read()
        self.assertEqual(before[100:], after[100:])  # the head holds the journal's mode


class Places(rig.Case):
    def refusal(self, *lines):
        config = self.write("bad.ini", "\n".join([
            "[api]", "listen = tcp:127.0.0.1:1", "token_file = t", "[sync]",
            "listen = tcp:127.0.0.1:2", "ca = a", "cert = b", "key = c", "[store]", *lines, ""]))
        status, _, err = self.run_program("upstreamd", "--check-config", "--config", config)
        self.assertEqual(2, status)
        return err.decode()

    def test_refuses_both_places_none_and_a_bad_one_without_showing_it(self):
        self.assertIn("[store] sqlite, postgres", self.refusal())
        both = self.refusal("sqlite = x.db", "postgres = host=h password=sesame")
        self.assertIn("bad.ini:11", both)
        bad = self.refusal("postgres = host=h password=se same")
        self.assertIn("bad.ini:10", bad)
        for text in (both, bad):
            self.assertNotIn("same", text)


if __name__ == "__main__":
    unittest.main()
