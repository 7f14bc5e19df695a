"""Certificates of every bad kind, shown to upstreamd by a hub and to a hub by upstream: each is
refused, with a line that says what is wrong and what to do; nothing is lost by it."""

import errno
import http.client
import re
import socket
import ssl
import threading
import unittest

import cert_rig
import hub_client
import hub_rig
import rig
import sync_rig

# What the log says of each kind: in its reason, and what to do.
SAYS = {
    "expired": ("expired", "renew it"),
    "future": ("future", "set the clock"),
    "other_ca": ("not correctly signed", "compare its issuer"),
    "self_signed": ("not correctly signed", "compare its issuer"),
    "usage": ("keyUsage", "issue it"),
    "extended_usage": ("extendedKeyUsage", "issue it for this end"),
    "sha1": ("unacceptable hash", "SHA-256"),
    "small_rsa": ("unacceptable key", "RSA 2048"),
    "odd_curve": ("unacceptable", "P-256"),
    "deep": ("none that can be used", "compare its issuer"),
    "damaged": ("not correctly signed", "compare its issuer"),
    "name": ("does not match", "a name or address"),
}


def fields(line):
    return {key: quoted or plain
            for key, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|(\S*))', line)}


class BadCertificates(sync_rig.SyncCase):
    limit_seconds = 400

    def context(self, pair, purpose=ssl.PROTOCOL_TLS_CLIENT):
        context = ssl.SSLContext(purpose)
        context.set_ciphers("DEFAULT@SECLEVEL=0")  # that this end takes what the other refuses
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        if purpose == ssl.PROTOCOL_TLS_CLIENT:
            context.load_verify_locations(self.certs + "/ca.crt")
        if pair:
            context.load_cert_chain(*pair)
        return context

    def shake(self, pair):
        """True: the handshake ended well, and upstream answers."""
        try:
            link = http.client.HTTPSConnection("127.0.0.1", self.sync_port, timeout=20,
                                               context=self.context(pair))
            link.request("POST", "/sync", b"", {"Content-Type": "application/cbor"})
            return link.getresponse().status
        except OSError:
            return None

    def shown(self, kind):
        """What stands in a line about that certificate; whose chain is too deep is not looked at."""
        return SAYS[kind][0] if kind == "deep" else "certificate of bad-%s:" % kind

    def assert_line(self, kind, line):
        reason, advice = SAYS[kind]
        said = fields(line)
        self.assertIn(reason, said["reason"])
        self.assertIn(advice, said["do"])
        return said

    def test_upstream_refuses_a_hub_that_shows_one(self):
        self.start_upstream()
        kinds = cert_rig.Kinds(self.path("kinds"), self.certs, cert_rig.CLIENT, cert_rig.SERVER)
        good = hub_client.Link(self.sync_port, self.certs, "hub-1")
        self.addCleanup(good.close)
        store = hub_client.Store()
        store.append(hub_client.hub_booted())
        self.assertEqual(hub_client.OK, good.push(store, 0, store.groups).result)
        for kind, pair in kinds.bad.items():
            with self.subTest(kind):
                self.assertIsNone(self.shake(pair))
                self.assert_line(kind, self.upstream.wait_for(self.shown(kind), 20))
                self.assertEqual(hub_client.OK, good.push(store, store.head_seq, []).result)
        self.assertIsNone(self.shake(None))
        line = self.upstream.wait_for("event=tls_refused", 20)
        self.assertIn("missing", fields(line)["reason"])
        self.assertIn("give the peer a certificate", fields(line)["do"])
        good_one = kinds.ca.issue("good", "/CN=hub-9", (*cert_rig.GOOD, cert_rig.CLIENT))
        self.assertEqual(400, self.shake(good_one))
        nameless = kinds.ca.issue("nameless", "/O=farm", (*cert_rig.GOOD, cert_rig.CLIENT))
        self.assertEqual(403, self.shake(nameless))
        revoked = kinds.ca.issue("revoked", "/CN=bad-revoked", (*cert_rig.GOOD, cert_rig.CLIENT))
        self.assertEqual(400, self.shake(revoked))
        status, _, wrong = self.run_program("upstreamd", "--config", self.upstream_config, "revoke",
                                            "bad-revoked")
        self.assertEqual(0, status, wrong)
        rig.wait_until(lambda: self.shake(revoked) is None, 30, "it is cut")
        self.assertIsNone(self.shake(revoked))
        self.assertIn("revoked", self.upstream.wait_for(self.shown("revoked"), 20))

    def assert_needs_handshake(self, port):
        hello = ssl.MemoryBIO()
        try:
            self.context(None).wrap_bio(ssl.MemoryBIO(), hello,
                                        server_hostname="127.0.0.1").do_handshake()
        except ssl.SSLWantReadError:
            pass
        whole = hello.read()
        self.assertGreater(len(whole), 100)
        for name, data in (("http", b"GET / HTTP/1.1\r\n\r\n"), ("garbage", bytes(range(256))),
                           ("truncated", whole[:60]), ("long", b"\x16\x03\x03\xff\xff" + whole),
                           ("bent", whole[:9] + b"\xff\xff" + whole[11:])):
            with self.subTest(name), socket.create_connection(
                    ("127.0.0.1", port), timeout=20) as plain:
                try:
                    plain.sendall(data)
                    plain.shutdown(socket.SHUT_WR)
                    while plain.recv(4096):
                        pass
                except OSError as error:  # it closed before it had read all of this
                    self.assertIn(error.errno, (errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE))

    def test_upstream_refuses_what_is_no_handshake(self):
        self.start_upstream()
        self.assert_needs_handshake(self.sync_port)
        link = hub_client.Link(self.sync_port, self.certs, "hub-1")
        self.addCleanup(link.close)
        store = hub_client.Store()
        store.append(hub_client.hub_booted())
        self.assertEqual(hub_client.OK, link.push(store, 0, store.groups).result)

    def serve(self, pair, port):
        """A server that shows `pair`, until the test ends it; gives what it was told."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(8)
        listener.settimeout(0.2)
        ended, taken = threading.Event(), []
        context = self.context(pair, ssl.PROTOCOL_TLS_SERVER)

        def work():
            while not ended.is_set():
                try:
                    plain, _ = listener.accept()
                except TimeoutError:
                    continue
                plain.settimeout(5)
                try:
                    with context.wrap_socket(plain, server_side=True) as stream:
                        taken.append(stream.recv(4096))
                except OSError:
                    plain.close()
            listener.close()
        thread = threading.Thread(target=work, daemon=True)
        thread.start()

        def end():
            ended.set()
            thread.join(20)
            return b"".join(taken)
        return end

    def servers(self):
        kinds = cert_rig.Kinds(self.path("kinds"), self.certs, cert_rig.SERVER, cert_rig.CLIENT,
                               (cert_rig.NAMES,))
        kinds.add("name", (*cert_rig.GOOD, cert_rig.SERVER,
                           "subjectAltName = DNS:elsewhere,IP:127.0.0.9"))
        for kind in ("usage", "odd_curve"):  # OpenSSL's server would not show it
            del kinds.bad[kind]
        return kinds

    def assert_no_callback(self, program, post, kinds):
        """A receiver that shows one is told nothing; the process is as without it."""
        port = self.receiver_port
        for kind, pair in kinds.bad.items():
            with self.subTest(kind):
                end = self.serve(pair, port)
                try:
                    answer = post(hub_rig.order("maintenance", callback={
                        "url": "https://127.0.0.1:%d/" % port}))
                    self.assertEqual(202, answer.status, answer)
                    line = program.wait_for(self.shown(kind), 60)
                finally:
                    self.assertEqual(b"", end(), "no byte before the certificate was judged")
                self.assertIn("event=callback_failed", line)
                self.assertIn(SAYS[kind][0], fields(line)["reason"])

    def callbacks(self):
        self.receiver_port = rig.free_ports(1)
        return "[callbacks]\nallow = 127.0.0.1:%d\nca = %s/ca.crt\n" % (self.receiver_port,
                                                                       self.certs)

    def test_callbacks_of_a_hub_refuse_a_receiver_that_shows_one(self):
        kinds = self.servers()
        self.config = self.write("hub.ini", self.config_text([]) + self.callbacks())
        self.restart_hub()
        self.assert_no_callback(self.hub, lambda body: self.client.post(
            "/capability-requests/enqueue", body), kinds)

    def test_callbacks_of_upstream_do_too(self):
        kinds = self.servers()
        with open(self.upstream_config, "a", encoding="utf-8") as file:
            file.write("[capabilities]\ndir = %s\n%s" % (self.path("capabilities"), self.callbacks()))
        self.start_upstream()
        client = hub_rig.Client(self.fleet_port)
        self.addCleanup(client.close)
        self.assert_no_callback(self.upstream, lambda body: client.post(
            "/capability-requests/enqueue", body), kinds)

    def test_hubctl_refuses_an_api_that_shows_one(self):
        port = rig.free_ports(1)
        for kind, pair in self.servers().bad.items():
            with self.subTest(kind):
                end = self.serve(pair, port)
                try:
                    status, _, wrong = self.run_program(
                        "hubctl", "--url", "https://127.0.0.1:%d" % port, "--ca",
                        self.certs + "/ca.crt", "--token-file", self.token_file, "ps")
                finally:
                    self.assertEqual(b"", end(), "no token before the certificate was judged")
                self.assertNotEqual(0, status)
                self.assertIn(SAYS[kind][0], wrong.decode())

    def test_an_api_with_a_certificate_refuses_what_is_no_handshake(self):
        lines = "[api]\ncert = %s/server.crt\nkey = %s/server.key\n" % (self.certs, self.certs)
        with open(self.upstream_config, encoding="utf-8") as file:
            text = file.read()
        self.upstream_config = self.write("upstream.ini", text.replace("[api]\n", lines, 1))
        self.config = self.write("hub.ini", self.config_text([]).replace("[api]\n", lines, 1))
        self.start_upstream()
        self.hub = self.start("hubd", "--config", self.config)
        self.hub.wait_for("listening", 30)
        for port in (self.port, self.fleet_port):
            self.assert_needs_handshake(port)
            status, _, wrong = self.run_program(
                "hubctl", "--url", "https://127.0.0.1:%d" % port, "--ca", self.certs + "/ca.crt",
                "--token-file", self.token_file, "ps")
            self.assertEqual((0, b""), (status, wrong))

    def test_a_hub_with_the_certificate_of_another_is_not_started(self):
        text = self.config_text([]).replace("hub-1.crt", "hub-2.crt").replace("hub-1.key", "hub-2.key")
        config = self.write("hub.ini", text)
        status, _, wrong = self.run_program("hubd", "--config", config)
        self.assertEqual(2, status)
        self.assertIn("[hub] id", wrong.decode())
        self.assertIn("hub-2", wrong.decode())

    def test_a_hub_refuses_an_upstream_that_shows_one_and_goes_on(self):
        kinds = self.servers()
        _, port = self.start_phones(1)
        self.start_hub([port])
        self.wait_phones("SIM001")
        for kind, pair in kinds.bad.items():
            with self.subTest(kind):
                end = self.serve(pair, self.sync_port)
                try:
                    line = self.hub.wait_for(self.shown(kind), 60)
                finally:
                    self.assertEqual(b"", end(), "no byte before the certificate was judged")
                said = self.assert_line(kind, line)
                self.assertIn("event=upstream_failed", line)
                self.assertLessEqual(int(said["retry_ms"]), 30100)
        self.client = self.new_client()  # hubd has closed the other, which was idle
        self.assertEqual("completed", self.wait_end(self.submit("maintenance"))["status"])
        self.start_upstream()
        self.hub.wait_for("event=upstream_connected", 60)
        self.wait_same_history()


if __name__ == "__main__":
    unittest.main()
