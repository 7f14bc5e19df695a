"""hubd is killed at any moment, its own start included, while its store is so small that blocks
are cleaned and used again, and processes evicted, all the time.

HUB_STORE, HUB_KILLS and HUB_EARLY_KILLS make it harder, HUB_SEED chooses another run."""

import os
import random
import time
import unittest

import rig
import store_reader
import sync_rig

KILLS = int(os.environ.get("HUB_KILLS", "40"))
SIZE = os.environ.get("HUB_STORE", "4MiB")
STARTS = int(os.environ.get("HUB_EARLY_KILLS", "2"))  # at most so many in a row
SEED = int(os.environ.get("HUB_SEED", str(int(time.time()))))
COMPLETED, CANCELED = 6, 8  # the first and the last terminal state of an item


class Restart(sync_rig.SyncCase):
    limit_seconds = 90 + 5 * KILLS

    def assert_items_end_once(self, records):
        """A terminal state is entered once and never left, and nothing starts behind it."""
        ended = {}
        for kind, path, _, _, _, _, image in records:
            if kind == sync_rig.ITEM:
                self.assertNotIn(tuple(path), ended, "a record behind the end of its item")
                if COMPLETED <= image[0] <= CANCELED:
                    ended[tuple(path)] = image[0]
            elif kind == sync_rig.ATTEMPT:
                self.assertNotIn(tuple(path[:2]), ended, "an attempt behind the end of its item")
        items = {tuple(path) for kind, path, *_ in records if kind == sync_rig.ITEM}
        self.assertEqual(items, set(ended), "every item ends")

    def test_kills_during_start_and_cleaning_lose_nothing(self):
        print("note: HUB_SEED=%d HUB_KILLS=%d HUB_STORE=%s" % (SEED, KILLS, SIZE))
        dice = random.Random(SEED)
        _, first = self.start_phones(6, "--fault", "fail:0.2", "--fault", "drop:0.004",
                                     "--seed", SEED % 1000 + 1)
        self.start_upstream()
        self.start_hub(range(first, first + 6), size=SIZE)
        workers = self.start_workers(6)
        self.early_kills = 0
        for kill in range(KILLS):
            self.kill_at(time.monotonic() + dice.expovariate(4))
            if kill % 2 == 0:  # before it was ready, again and again
                for _ in range(dice.randint(1, STARTS)):
                    self.kill_at(time.monotonic() + dice.uniform(0, 0.02))
            if kill % 7 == 3:
                self.upstream.kill()
                self.start_upstream()
        self.assertGreater(self.early_kills, 0, "no kill met a hub that was starting")
        self.hub.wait_for("listening", 30)
        self.client = self.new_client()
        acknowledged = self.stop_workers(workers)
        self.wait_caught_up(120)
        for name in ("hub_sync_forks_total", "hub_suspect_objects_total",
                     "hub_store_rotten_frames_total"):
            self.assertEqual(self.metric(name), 0, name)
        self.assertEqual(self.hub.stop(), 0)
        self.assertEqual(self.upstream.stop(), 0)
        records = self.assert_same_history()
        self.assert_lives(records, acknowledged)
        self.assert_items_end_once(records)
        _, _, groups = store_reader.read_groups(self.path("hub.store"))
        self.assertGreater(groups[0].first_seq, 1, "no block was ever cleaned")
        print("note: %d requests, %d records, oldest in the store %d, %d kills before ready" % (
            len(acknowledged), len(records), groups[0].first_seq, self.early_kills))

    def kill_at(self, moment):
        """Kills hubd then, wherever it is, and starts it at once."""
        time.sleep(max(0, moment - time.monotonic()))  # a random moment is what is tested
        self.assertTrue(self.hub.is_running(), self.hub.output())
        self.hub.kill()
        self.early_kills += "listening" not in self.hub.output()
        self.hub = self.start("hubd", "--config", self.config)


if __name__ == "__main__":
    unittest.main()
