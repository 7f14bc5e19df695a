"""Forks on PostgreSQL with two upstreamd: a host whose flash is an older copy, a database that is
one, and two hosts with one certificate."""

import unittest

import fleet_postgres_rig
import fork_test
from fleet_postgres_rig import some

setUpModule = fleet_postgres_rig.start_server
tearDownModule = fleet_postgres_rig.remove_server


class Forked(fleet_postgres_rig.PairCase, some(
        fork_test.Forked, "a_store_from_an_older_copy", "an_older_database", "a_host_that_was_copied")):
    limit_seconds = 300

    def save_database(self):
        fleet_postgres_rig.server.save("older")

    def restore_database(self):
        fleet_postgres_rig.server.restore("older")

    def start_one(self, place, *options, more=""):
        """--restored is for one of the programs: each of them begins an epoch by it."""
        return super().start_one(place, *(options if place == 0 else ()), more=more)


if __name__ == "__main__":
    unittest.main()
