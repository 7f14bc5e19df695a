"""Callbacks: what a receiver is told, signed how, again when, and that it never holds anything up."""

import hashlib
import hmac
import http.server
import json
import os
import re
import ssl
import subprocess
import threading

import hub_rig
import rig

SECRET = "a-secret-of-both"


class Receiver:
    """An HTTP server that keeps what it is sent; `answers` are the next statuses, then 200."""

    def __init__(self, tls=None):
        self.calls = []
        self.answers = []
        self.hold = threading.Event()
        self.hold.set()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.hold.wait(30)
                receiver.calls.append((self.path, dict(self.headers), body))
                status = receiver.answers.pop(0) if receiver.answers else 200
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def milestones(self):
        return [json.loads(body)["milestone"] for _, _, body in list(self.calls)]

    def close(self):
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()


class Callbacks(hub_rig.HubCase):
    limit_seconds = 90

    def receiver(self, tls=None):
        receiver = Receiver(tls)
        self.addCleanup(receiver.close)
        return receiver

    def start_with(self, *allow, ca=None, phones=()):
        self.write("secret", SECRET + "\n")
        self.config = self.write("hub.ini", self.config_text(phones) + (
            "[callbacks]\nallow = %s\nsecret_file = %s\n%s" % (
                ", ".join(allow), self.path("secret"), "ca = %s\n" % ca if ca else "")))
        self.restart_hub()

    def allowed(self, receiver):
        return "127.0.0.1:%d" % receiver.port

    def with_callback(self, receiver, path="/hook", scheme="http", **more):
        url = "%s://127.0.0.1:%d%s" % (scheme, receiver.port, path)
        return self.submit("maintenance", callback={"url": url, "metadata": {"a": 1}}, **more)

    def test_each_public_change_is_told_once_in_order_and_signed(self):
        receiver = self.receiver()
        _, port = self.start_phones(1)
        self.start_with(self.allowed(receiver), phones=[port])
        identity = self.with_callback(receiver, "/hook?x=1")
        self.wait_end(identity)
        rig.wait_until(lambda: "completed" in receiver.milestones(), 10, "the last callback")
        self.assertEqual(receiver.milestones(), ["accepted", "executing", "completed"])
        path, headers, body = receiver.calls[-1]
        self.assertEqual(path, "/hook?x=1")
        self.assertEqual(headers["Content-Type"], "application/json")
        self.assertEqual(headers["User-Agent"], "phonefarm-callback/1.0")
        stamp = headers["X-PhoneFarm-Timestamp"]
        expected = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256)
        self.assertEqual(headers["X-PhoneFarm-Signature"], expected.hexdigest())
        told = json.loads(body)
        self.assertEqual(told["event_type"], "process.updated")
        self.assertRegex(told["emitted_at"], hub_rig.TIME)
        self.assertEqual(told["process"]["process_id"], identity)
        self.assertEqual(told["process"]["status"], "completed")
        self.assertEqual(told["process"]["callback"]["metadata"], {"a": 1})

    def test_cancel_is_told_as_asked_for_and_as_done(self):
        receiver = self.receiver()
        self.start_with(self.allowed(receiver))
        identity = self.with_callback(receiver)
        rig.wait_until(receiver.milestones, 10, "accepted")
        self.client.post("/processes/%s/cancel" % identity)
        rig.wait_until(lambda: len(receiver.calls) == 3, 10, "the last callback")
        self.assertEqual(receiver.milestones(), ["accepted", "cancel_requested", "cancelled"])

    def test_a_failure_is_tried_again_and_the_order_stays(self):
        receiver = self.receiver()
        receiver.answers = [500, 503]
        self.start_with(self.allowed(receiver))
        identity = self.with_callback(receiver)
        self.client.post("/processes/%s/cancel" % identity)
        rig.wait_until(lambda: "cancelled" in receiver.milestones(), 30, "the last callback")
        self.assertEqual(receiver.milestones(),
                         ["accepted", "accepted", "accepted", "cancel_requested", "cancelled"])
        self.assertEqual(self.metric("hub_callbacks_failed_total"), 2)
        self.assertEqual(self.metric("hub_callbacks_delivered_total"), 3)

    def test_410_ends_it(self):
        receiver = self.receiver()
        receiver.answers = [410]
        self.start_with(self.allowed(receiver))
        identity = self.with_callback(receiver)
        rig.wait_until(lambda: receiver.calls, 10, "the callback")
        self.client.post("/processes/%s/cancel" % identity)
        rig.wait_until(lambda: self.metric("hub_callbacks_given_up_total") == 1, 10, "given up")
        self.assertEqual(receiver.milestones(), ["accepted"])

    def test_a_host_that_hangs_holds_up_neither_processes_nor_other_hosts(self):
        slow, quick = self.receiver(), self.receiver()
        slow.hold.clear()
        _, port = self.start_phones(1)
        self.start_with(self.allowed(slow), self.allowed(quick), phones=[port])
        held = [self.with_callback(slow) for _ in range(12)]
        identity = self.with_callback(quick)
        self.wait_end(identity)
        rig.wait_until(lambda: "completed" in quick.milestones(), 10, "the other host")
        for one in held:
            self.assertEqual(self.wait_end(one)["status"], "completed")
        self.assertEqual(slow.calls, [])

    def test_a_host_that_is_not_allowed_is_said_and_never_called(self):
        receiver = self.receiver()
        self.start_with("127.0.0.1:1")
        body = hub_rig.order("maintenance", callback={"url": "http://127.0.0.1:%d/" % receiver.port})
        answer = self.client.post("/capability-requests/enqueue", body)
        self.assertEqual((answer.status, answer.body["callback_status"]), (202, "host_not_allowed"))
        self.client.post("/processes/%s/cancel" % answer.body["process_id"])
        self.assertEqual(receiver.calls, [])
        for url in ("ftp://127.0.0.1/", "http://", "http://a:b@127.0.0.1:1/", "http://x y/", 7):
            body["callback"] = {"url": url}
            answer = self.client.post("/capability-requests/enqueue", body)
            self.assertEqual((answer.status, answer.body["error"]["pointer"]),
                             (422, "/callback/url"), url)

    def test_after_a_restart_the_newest_state_is_told_again(self):
        receiver = self.receiver()
        self.start_with(self.allowed(receiver))
        identity = self.with_callback(receiver)
        rig.wait_until(lambda: receiver.milestones() == ["accepted"], 10, "the first callback")
        self.hub.kill()
        self.restart_hub()
        rig.wait_until(lambda: len(receiver.calls) == 2, 10, "told again")
        self.client.post("/processes/%s/cancel" % identity)
        rig.wait_until(lambda: "cancelled" in receiver.milestones(), 10, "the last callback")
        self.assertEqual(receiver.milestones(),
                         ["accepted", "queued", "cancel_requested", "cancelled"])

    def make_certificate(self, name, address):
        key, cert = self.path(name + ".key"), self.path(name + ".crt")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=" + name,
             "-addext", "subjectAltName=IP:" + address], check=True, capture_output=True)
        return cert, key

    def test_https_needs_a_certificate_of_the_ca_for_this_host(self):
        good = self.make_certificate("good", "127.0.0.1")
        other = self.make_certificate("other", "127.0.0.1")
        trusted, stranger = self.receiver(good), self.receiver(other)
        self.start_with(self.allowed(trusted), self.allowed(stranger), ca=good[0])
        self.with_callback(trusted, scheme="https")
        rig.wait_until(lambda: trusted.milestones() == ["accepted"], 10, "the callback")
        self.with_callback(stranger, scheme="https")
        rig.wait_until(lambda: self.metric("hub_callbacks_failed_total") > 0, 10, "a failed try")
        self.assertEqual(stranger.calls, [])
        rig.wait_until(lambda: re.search("callback_failed .*certificate", self.hub.output()), 10,
                       "the reason in the log")
        self.assertTrue(os.path.exists(good[0]))

    def test_ingest_has_a_callback_too(self):
        receiver = self.receiver()
        with open(os.path.join(rig.ROOT, "capabilities/examples/post_video.ini"),
                  encoding="utf-8") as file:
            self.write("capabilities/post_video.ini", file.read())
        self.start_with(self.allowed(receiver))
        answer = self.client.post("/ingest", {
            "content_id": "c", "account_id": "a", "video_path": "http://v/x.mp4", "caption": "x",
            "callback_url": "http://127.0.0.1:%d/i" % receiver.port})
        self.assertEqual(answer.status, 202, answer)
        rig.wait_until(lambda: receiver.milestones() == ["accepted"], 10, "the callback")
