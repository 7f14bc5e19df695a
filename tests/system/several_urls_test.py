"""A hub that knows several processes of its upstream: they share a database and ticket keys."""

import os
import re
import socket
import subprocess
import unittest

import rig
import sync_rig


class SeveralUrls(sync_rig.SyncCase):
    limit_seconds = 240

    def setUp(self):
        super().setUp()
        self.other_port = rig.free_ports(1)
        tickets = self.path("tickets")
        with open(tickets, "wb") as file:
            file.write(os.urandom(64))
        with open(self.upstream_config, encoding="utf-8") as file:
            text = file.read()
        text = text.replace("[store]", "ticket_key_file = %s\n[store]" % tickets)
        self.upstream_config = self.write("upstream.ini", text)
        self.other_config = self.write("other.ini", text.replace(
            "127.0.0.1:%d" % self.sync_port, "127.0.0.1:%d" % self.other_port))

    def url(self, port):
        return "url = https://127.0.0.1:%d\n" % port

    def config_text(self, phones=(), **changes):
        text = super().config_text(phones, **changes)
        return text.replace("[upstream]\n", "[upstream]\n" + self.url(self.other_port))

    def start_other(self):
        self.upstream = self.start("upstreamd", "--config", self.other_config)
        self.upstream.wait_for("event=ready", 20)

    def hosts(self, event):
        return re.findall(r"event=%s .*?\bhost=127\.0\.0\.1:(\d+)" % event, self.hub.output())

    def test_the_next_one_is_tried_and_nothing_is_lost(self):
        _, port = self.start_phones(1)
        self.start_upstream()
        self.start_hub([port])
        self.wait_phones("SIM001")
        workers = self.start_workers(2, 0.1)
        line = self.hub.wait_for("event=upstream_failed", 30)
        self.assertIn("host=127.0.0.1:%d" % self.other_port, line)
        self.assertIn("next=127.0.0.1:%d" % self.sync_port, line)
        self.hub.wait_for("event=upstream_connected host=127.0.0.1:%d" % self.sync_port, 30)
        for start, there in ((self.start_other, self.other_port),
                             (self.start_upstream, self.sync_port)):
            self.upstream.kill()
            start()
            line = self.hub.wait_for("event=upstream_connected host=127.0.0.1:%d" % there, 60)
            self.assertIn("resumed=1", line)
        acknowledged = self.stop_workers(workers)
        self.wait_caught_up()
        self.assert_lives(self.wait_same_history(), acknowledged)

    def test_the_pause_grows_by_rounds_and_the_order_is_kept(self):
        held = []
        for port in (self.other_port, self.sync_port):  # nobody listens, and nobody else will
            held.append(socket.socket())
            self.addCleanup(held[-1].close)
            held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held[-1].bind(("127.0.0.1", port))
        self.start_hub()
        rig.wait_until(lambda: len(self.hosts("upstream_failed")) >= 6, 60, "six failures")
        self.assertEqual([str(self.other_port), str(self.sync_port)] * 3,
                         self.hosts("upstream_failed")[:6])
        waits = [int(one) for one in re.findall(r"retry_ms=(\d+)", self.hub.output())]
        for number, wait in enumerate(waits[:6]):
            self.assertLessEqual(wait, 100 + 500 * 2 ** (number // 2), waits)

    def test_a_url_stands_there_once_and_four_at_most(self):
        good = self.config_text()
        more = "".join(self.url(port) for port in range(20001, 20004))
        for added in (self.url(self.other_port), more, "url = https://unix:/tmp/x\n"):
            config = self.write("wrong.ini", good.replace("[upstream]\n", "[upstream]\n" + added))
            done = subprocess.run([rig.program("hubd"), "--config", config, "--check-config"],
                                  capture_output=True, text=True, timeout=30)
            self.assertEqual(2, done.returncode, done.stderr)
            self.assertIn("[upstream] url: expected https://HOST:PORT, each once", done.stderr)


if __name__ == "__main__":
    unittest.main()
