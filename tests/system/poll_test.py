"""How a hub uses its one connection: a poll that upstream holds, and pushes that do not wait for it.

Upstream is played by this test, so that it sees what the hub does between answers."""

import re
import socket
import ssl
import threading
import time
import unittest

import hub_client
import rig
import sync_rig

REPLY = (b"HTTP/1.1 200 OK\r\nContent-Type: application/cbor\r\nContent-Length: %d\r\n"
         b"%b\r\n%b")


class Upstream(threading.Thread):
    """Takes pushes of one hub, acknowledges everything, and holds polls or not."""

    def __init__(self, certs, holds, closes=False):
        super().__init__(daemon=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.context.load_cert_chain(certs + "/server.crt", certs + "/server.key")
        self.context.load_verify_locations(certs + "/ca.crt")
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.holds, self.closes, self.is_deaf = holds, closes, False
        self.cursor = [0, bytes(8)]
        self.pushes = []  # (time, fields) as they came
        self.outstanding = []
        self.most = 0
        self.connections = 0
        self.stream = None
        self.lock = threading.Lock()

    def run(self):
        while True:
            plain, _ = self.listener.accept()
            try:
                self.stream = self.context.wrap_socket(plain, server_side=True)
                self.connections += 1
                self.outstanding = []
                self.serve(b"")
            except (OSError, ssl.SSLError):
                pass
            finally:
                plain.close()

    def serve(self, data):
        while piece := self.stream.recv(65536):
            data += piece
            while taken := self.take(data):
                data = data[taken:]

    def take(self, data):
        """How long the first whole push is; 0: there is none."""
        head, mark, body = data.partition(b"\r\n\r\n")
        if not mark:
            return 0
        length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
        if len(body) < length:
            return 0
        fields, _ = hub_client.decode(body[:length])
        with self.lock:
            self.pushes.append((time.monotonic(), fields))
            self.outstanding.append(fields)
            self.most = max(self.most, len(self.outstanding))
            for _ in range(len(self.outstanding) - 1):
                self.answer()
            if fields[10]:
                self.cursor = [fields[9] - 1 + sum(len(one[1]) for one in fields[10]),
                               fields[10][-1][0]]
            if not self.is_deaf and (fields[10] or fields[1] or not self.holds):
                self.answer()
        return len(head) + 4 + length

    def answer(self):
        self.outstanding.pop(0)
        body = hub_client.encode([1, 0, "", self.cursor, 1, 1 << 20, 0, []])
        extra = b"Connection: close\r\n" if self.closes else b""
        self.stream.sendall(REPLY % (len(body), extra, body))

    def polls(self):
        return [when for when, fields in self.pushes if not fields[10] and not fields[1]]

    def close(self):
        self.listener.close()


class Poll(sync_rig.SyncCase):
    def begin(self, **ways):
        _, phone_port = self.start_phones(1)
        upstream = Upstream(self.certs, **ways)
        upstream.start()
        self.addCleanup(upstream.close)
        self.start_hub([phone_port], sync_port=upstream.port)
        self.wait_phones("SIM001")
        return upstream

    def wait_polling(self, upstream):
        """The hub has said everything, and its poll is held."""
        rig.wait_until(lambda: self.metric("hub_sync_lag_records") == 0 and
                       len(upstream.outstanding) == 1 and not upstream.outstanding[0][10],
                       20, "a poll is held")

    def test_a_status_does_not_wait_for_the_poll(self):
        upstream = self.begin(holds=True)
        for _ in range(5):
            self.wait_polling(upstream)
            self.assertEqual(20000, upstream.outstanding[0][12])
            began = time.monotonic()
            self.assertEqual(self.wait_end(self.submit("small"))["status"], "completed")
            rig.wait_until(lambda: self.metric("hub_sync_lag_records") == 0, 10, "all is told")
            self.assertLess(time.monotonic() - began, 10)
        self.assertEqual(2, upstream.most)
        self.assertEqual(1, upstream.connections)

    def test_two_pushes_at_most_are_on_their_way_under_load(self):
        upstream = self.begin(holds=True)
        workers = self.start_workers(4)
        rig.wait_until(lambda: sum(len(one.acknowledged) for one in workers) >= 40, 40, "requests")
        self.stop_workers(workers)
        self.wait_caught_up()
        self.assertEqual(2, upstream.most)
        self.assertEqual(1, upstream.connections)

    def test_a_poll_that_was_answered_is_followed_by_the_next_at_once(self):
        upstream = self.begin(holds=True)
        for _ in range(5):
            self.wait_polling(upstream)
            time.sleep(1.1)  # held for so long, it was no refusal to hold
            with upstream.lock:
                count, began = len(upstream.polls()), time.monotonic()
                upstream.answer()
            rig.wait_until(lambda: len(upstream.polls()) > count, 10, "the next poll", 0.01)
            self.assertLess(upstream.polls()[count] - began, 5)

    def test_an_endpoint_that_holds_nothing_is_not_asked_in_a_loop(self):
        upstream = self.begin(holds=False)
        rig.wait_until(lambda: upstream.polls(), 20, "a first poll")
        time.sleep(5)
        polls = upstream.polls()
        self.assertLessEqual(len(polls), 6)
        count = len(polls)
        self.assertEqual(self.wait_end(self.submit("small"))["status"], "completed")
        rig.wait_until(lambda: self.metric("hub_sync_lag_records") == 0, 10, "all is told")
        rig.wait_until(lambda: len(upstream.polls()) > count, 40, "it still says that it lives")
        self.assertEqual(1, upstream.connections)

    def test_an_endpoint_that_ends_every_connection_gets_everything(self):
        upstream = self.begin(holds=True, closes=True)
        self.assertEqual(self.wait_end(self.submit("small"))["status"], "completed")
        rig.wait_until(lambda: self.metric("hub_sync_lag_records") == 0, 20, "all is told")
        self.assertGreater(upstream.connections, 1)

    def test_a_poll_that_nobody_answers_ends_the_connection(self):
        upstream = self.begin(holds=True)
        self.wait_polling(upstream)
        upstream.is_deaf = True
        self.hub.wait_for("event=upstream_failed reason=\"poll", 45)
        upstream.is_deaf = False
        rig.wait_until(lambda: upstream.connections == 2, 20, "it comes back")

    def test_records_behind_a_dead_poll_are_pushed_anew(self):
        upstream = self.begin(holds=True)
        self.wait_polling(upstream)
        upstream.is_deaf = True
        with upstream.lock:
            upstream.outstanding = []  # so that the push does not make it answer the poll
        self.assertEqual(self.wait_end(self.submit("small"))["status"], "completed")
        self.hub.wait_for("event=upstream_failed", 45)
        upstream.is_deaf = False
        rig.wait_until(lambda: self.metric("hub_sync_lag_records") == 0, 30, "all is told")


if __name__ == "__main__":
    unittest.main()
