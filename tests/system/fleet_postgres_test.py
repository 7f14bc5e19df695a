"""The fleet on PostgreSQL, with two upstreamd on one database: some of what fleet_test and
fleet_loss_test ask of one upstreamd with SQLite, and what only two can show."""

import unittest

import fleet_loss_test
import fleet_postgres_rig
import fleet_test
from fleet_postgres_rig import some

setUpModule = fleet_postgres_rig.start_server
tearDownModule = fleet_postgres_rig.remove_server


class Requests(fleet_postgres_rig.PairCase, some(
        fleet_test.Requests, "direct_runs", "queue_takes", "group_is_spread", "a_key_holds",
        "idempotency")):
    pass


class Control(fleet_postgres_rig.PairCase, some(
        fleet_test.Control, "cancel_of_what_runs", "review_is_settled", "retry_supersedes",
        "orders_for_a_hubs_own")):
    pass


class Killed(fleet_postgres_rig.PairCase, some(
        fleet_loss_test.Killed, "hubs_and_upstream_killed", "a_hub_that_dies")):
    limit_seconds = 240


class Told(fleet_postgres_rig.PairCase, some(fleet_loss_test.Told, "a_stream_replays")):
    pass


if __name__ == "__main__":
    unittest.main()
