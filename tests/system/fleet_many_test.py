"""Fifty hubs behind HAProxy, two upstreamd on one PostgreSQL: each of them is killed under load."""

import os
import unittest

import fleet_postgres_rig
import fleet_rig
import hub_rig
import rig

HUBS = int(os.environ.get("HUB_FLEET", "50"))

setUpModule = fleet_postgres_rig.start_server
tearDownModule = fleet_postgres_rig.remove_server


class Many(fleet_postgres_rig.BalancedCase, fleet_rig.FleetCase):
    NAMES = tuple("hub-%d" % number for number in range(1, HUBS + 1))
    limit_seconds = 600

    def start_many(self):
        """Hubs of one phone each; one program plays all the phones."""
        self.start_upstream()
        phones, port = self.start_phones(HUBS, serial="P-001")
        hubs = []
        for place, name in enumerate(self.NAMES):
            hubs.append(fleet_rig.Hub(self, name, 0, ports=[port + place]).start())
        rig.wait_until(lambda: self.rows("SELECT count(*) AS n FROM fleet_phones WHERE state = 5")
                       == [(HUBS,)], 120, "upstream knows every phone ready", 0.5)
        self.assertTrue(phones.is_running())
        return hubs

    def body(self, count):
        """Every fourth request is for phones of five hubs, in an order of its own."""
        if count % 4:
            return hub_rig.order("quick", "r-%d" % count)
        places = [(count * 7 + step * 11) % HUBS for step in range(5)]
        return hub_rig.order("quick", "r-%d" % count,
                             phones=["P-%03d" % (place + 1) for place in places])

    def connected(self, place):
        """Hubs on that upstreamd now."""
        client = hub_rig.Client(self.api_ports[place])
        try:
            text = client.get("/metrics").body
        finally:
            client.close()
        name = 'upstream_http_connections{server="sync"} '
        line = next(x for x in text.splitlines() if x.startswith(name))
        return int(line.split()[1])

    def test_everything_is_killed_in_turn_and_nothing_is_lost(self):
        hubs = self.start_many()
        rig.wait_until(lambda: self.connected(0) > HUBS // 4 and self.connected(1) > HUBS // 4, 60,
                       "both have their share of the hubs", 0.5)
        load = fleet_rig.Load(self, self.body, pause=0.05)
        load.wait_more(20)
        self.upstream.programs[0].kill()
        load.wait_more(20)
        rig.wait_until(lambda: self.connected(1) > HUBS * 3 // 4, 90,
                       "the hubs have moved to the other one", 0.5)
        self.restart_one(0)
        for hub in hubs[::10]:
            hub.kill()
            load.wait_more(3)
            hub.start()
        fleet_postgres_rig.server.kill()
        fleet_postgres_rig.server.start()
        load.wait_more(20, 90)
        self.upstream.programs[1].kill()
        load.wait_more(20)
        self.restart_one(1)
        load.wait_more(10)
        load.stop()
        self.assert_all_ran_once_per_attempt(load.ids, hubs, 240)
        print("note: %d requests, %s" % (len(load.ids), self.conflicts()), flush=True)

    def conflicts(self):
        lines = []
        for port in self.api_ports:
            client = hub_rig.Client(port)
            lines += [x for x in client.get("/metrics").body.splitlines()
                      if x.startswith(("upstream_database_conflicts_total ",
                                       "upstream_notices_total "))]
            client.close()
        return lines


if __name__ == "__main__":
    unittest.main()
