"""hubd is killed again and again under load; nothing acknowledged may be lost or done twice."""

import os
import random
import time
import unittest

import rig
import sync_rig

KILLS = int(os.environ.get("HUB_KILLS", "50"))
SEED = int(os.environ.get("HUB_SEED", str(int(time.time()))))


class Kill(sync_rig.SyncCase):
    limit_seconds = 60 + 5 * KILLS

    def test_nothing_acknowledged_is_lost_over_many_kills(self):
        print("note: HUB_SEED=%d HUB_KILLS=%d" % (SEED, KILLS))
        dice = random.Random(SEED)
        _, first = self.start_phones(6, "--fault", "fail:0.1", "--fault", "drop:0.004",
                                     "--seed", SEED % 1000 + 1)
        self.start_upstream()
        self.start_hub(range(first, first + 6), size="64MiB")
        workers = self.start_workers(6)
        for kill in range(KILLS):
            moment = time.monotonic() + dice.uniform(0.02, 0.4)
            count = sum(len(worker.acknowledged) for worker in workers)
            rig.wait_until(lambda: time.monotonic() > moment and  # a random moment, but under load
                           sum(len(worker.acknowledged) for worker in workers) > count,
                           20, "requests are acknowledged before kill %d" % kill, 0.001)
            self.hub.kill()
            self.hub = self.start("hubd", "--config", self.config)
            self.hub.wait_for("listening", 30)
        self.client = self.new_client()
        acknowledged = self.stop_workers(workers)
        self.assertGreater(len(acknowledged), KILLS)
        self.wait_caught_up(120)
        for process in dice.sample(sorted(acknowledged.values()), 20):
            answer = self.client.get("/processes/" + process)
            self.assertIn(answer.status, (200, 404))  # 404: finished, and evicted for newer ones
            if answer.status == 200:
                self.assertIn(answer.body["status"], ("completed", "failed_terminal"))
        self.assertEqual(self.metric("hub_sync_forks_total"), 0)
        self.assertEqual(self.metric("hub_suspect_objects_total"), 0)
        self.assertEqual(self.metric("hub_store_rotten_frames_total"), 0)
        self.assertEqual(self.hub.stop(), 0)
        self.assertEqual(self.upstream.stop(), 0)
        records = self.assert_same_history()
        self.assert_lives(records, acknowledged)
        print("note: %d requests, %d records" % (len(acknowledged), len(records)))


if __name__ == "__main__":
    unittest.main()
