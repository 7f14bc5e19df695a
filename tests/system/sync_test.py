"""The way to upstream is cut, refused and broken; everything arrives once and in order."""

import os
import random
import shutil
import socket
import subprocess
import threading
import time
import unittest

import rig
import sync_rig


class Proxy(threading.Thread):
    """A TCP proxy that hurts connections: `mode` is forward, cut (after some bytes) or hold."""

    def __init__(self, target, dice):
        super().__init__(daemon=True)
        self.target = target
        self.dice = dice
        self.mode = "forward"
        self.connections = 0
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(8)
        self.port = self.listener.getsockname()[1]

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            left = [self.dice.randrange(200, 60000)]
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(one, other, left), daemon=True).start()

    def pump(self, source, sink, left):
        try:
            while True:
                data = source.recv(self.dice.choice((1, 100, 4096, 65536)))
                while self.mode == "hold":
                    time.sleep(0.01)
                left[0] -= len(data)
                if not data or (self.mode == "cut" and left[0] < 0):
                    break
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


class Sync(sync_rig.SyncCase):
    limit_seconds = 150

    def setUp(self):
        super().setUp()
        self.dice = random.Random(7)
        _, first = self.start_phones(4, "--fault", "fail:0.1")
        self.ports = range(first, first + 4)

    def run_to_the_end(self, workers):
        """Ends the load, waits for upstream, and compares both histories."""
        acknowledged = self.stop_workers(workers)
        self.wait_caught_up(90)
        self.assertEqual(self.metric("hub_sync_forks_total"), 0)
        self.assertEqual(self.hub.stop(), 0)
        self.assertEqual(self.upstream.stop(), 0)
        self.assert_lives(self.assert_same_history(), acknowledged)

    def more_requests(self, workers, count):
        start = sum(len(worker.acknowledged) for worker in workers)
        rig.wait_until(lambda: sum(len(w.acknowledged) for w in workers) >= start + count,
                       30, "%d more requests are acknowledged" % count)

    def test_catches_up_in_order_after_upstream_was_away(self):
        self.start_upstream()
        self.start_hub(self.ports, size="64MiB")
        workers = self.start_workers(3)
        self.more_requests(workers, 50)
        self.assertEqual(self.upstream.stop(), 0)
        self.more_requests(workers, 300)  # the hub goes on by itself
        self.assertGreater(self.metric("hub_sync_lag_records"), 300)
        self.start_upstream()
        self.more_requests(workers, 50)
        self.run_to_the_end(workers)

    def test_loses_and_doubles_nothing_when_both_sides_are_killed(self):
        self.start_upstream()
        self.start_hub(self.ports, size="64MiB")
        workers = self.start_workers(3)
        for turn in range(10):
            self.more_requests(workers, self.dice.randrange(1, 40))
            self.upstream.kill()
            if turn % 3 == 0:
                self.hub.kill()
                self.restart_hub()
            self.more_requests(workers, self.dice.randrange(1, 20))
            self.start_upstream()
        self.run_to_the_end(workers)

    def test_survives_connections_that_are_cut_and_held(self):
        self.start_upstream()
        proxy = Proxy(self.sync_port, self.dice)
        proxy.start()
        self.addCleanup(proxy.close)
        self.start_hub(self.ports, size="64MiB", sync_port=proxy.port)
        workers = self.start_workers(2, 0.02)
        proxy.mode = "cut"
        rig.wait_until(lambda: proxy.connections >= 6, 60, "six connections were cut")
        proxy.mode = "hold"
        self.more_requests(workers, 50)
        self.assertGreater(self.metric("hub_sync_lag_records"), 0)
        proxy.mode = "forward"
        self.run_to_the_end(workers)


class Certificates(sync_rig.SyncCase):
    limit_seconds = 90

    def make_certs(self, directory, days="10"):
        path = self.path(directory)
        subprocess.run(["bash", os.path.join(rig.ROOT, "scripts/demo-certs.sh"), path, days,
                        "hub-1"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return path

    def assert_works_alone(self):
        """Without upstream, a request still runs to its end."""
        process = self.submit("small")
        self.assertEqual(self.wait_end(process)["status"], "completed")
        self.assertGreater(self.metric("hub_sync_lag_records"), 0)

    def test_says_why_and_connects_once_its_certificate_is_right(self):
        _, first = self.start_phones(1)
        self.start_upstream()
        mine = self.path("mine")
        shutil.copytree(self.make_certs("other"), mine)  # of another CA with the same name
        self.start_hub([first], certs=mine)
        self.hub.wait_for("upstream_failed", 20)
        self.assertIn("reason", self.hub.lines[-1])
        self.wait_phones("SIM001")
        self.assert_works_alone()
        shutil.rmtree(mine)
        shutil.copytree(self.certs, mine)
        self.hub.signal(1)  # SIGHUP
        self.hub.wait_for("upstream_connected", 20)
        rig.wait_until(lambda: self.metric("hub_sync_lag_records") == 0, 20, "it caught up")

    def test_does_not_trust_an_expired_upstream(self):
        _, first = self.start_phones(1)
        expired = self.make_certs("expired", "-1")
        for name in ("server.crt", "server.key"):
            shutil.copy(os.path.join(expired, name), os.path.join(self.certs, name))
        shutil.copy(os.path.join(expired, "ca.crt"), os.path.join(self.certs, "ca.crt"))
        self.start_upstream()
        self.start_hub([first])
        line = self.hub.wait_for("upstream_failed", 20)
        self.assertRegex(line, "expire|valid|trust|certificate")
        self.wait_phones("SIM001")
        self.assert_works_alone()

    def test_a_certificate_of_another_hub_is_a_wrong_configuration(self):
        config = self.write("hub.ini", self.config_text(hub_id="hub-2"))
        status, _, error = self.run_program("hubd", "--config", config)
        self.assertEqual(status, 2)
        self.assertIn(b"[hub] id", error)
        self.assertFalse(os.path.exists(self.path("hub.store")))


if __name__ == "__main__":
    unittest.main()
