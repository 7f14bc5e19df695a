"""What hubd says of a link to upstream that does not come up, and how it gets over it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

import rig
import sync_rig


class BlackHole(threading.Thread):
    """A TCP proxy that can swallow what its connections say without closing them."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.target = target
        self.accepted = 0
        self.swallowed = 0  # the first so many connections are dead
        self.ends = []
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(8)
        self.port = self.listener.getsockname()[1]

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            self.ends += [client, server]
            self.accepted += 1
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(self.accepted, one, other),
                                 daemon=True).start()

    def pump(self, number, source, sink):
        try:
            while data := source.recv(65536):
                if number > self.swallowed:
                    sink.sendall(data)
            if number > self.swallowed:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def swallow(self):
        """From now on nothing passes on the connections that are open."""
        self.swallowed = self.accepted

    def close(self):
        for one in [self.listener] + self.ends:
            one.close()


class Link(sync_rig.SyncCase):
    limit_seconds = 150

    def setUp(self):
        super().setUp()
        _, self.phone_port = self.start_phones(1)

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def demo_certs(self, directory, days):
        subprocess.run(["bash", os.path.join(rig.ROOT, "scripts/demo-certs.sh"), directory, days,
                        "hub-1"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def replace(self, name, source):
        """Puts a certificate and its key into use; gives a folder with what was there."""
        kept = tempfile.mkdtemp(dir=self.scratch)
        for end in (".crt", ".key"):
            if os.path.exists(os.path.join(self.certs, name + end)):
                shutil.copy(os.path.join(self.certs, name + end), kept)
            shutil.copy(os.path.join(source, name + end), self.certs)
        return kept

    def expect_reason(self, *words):
        """hubd says why the link failed, and works on its own meanwhile."""
        line = self.hub.wait_for("upstream_failed", 20)
        for word in words:
            self.assertRegex(line, "(?i)" + word)
        self.wait_phones("SIM001")
        process = self.submit("small")
        self.assertEqual(self.wait_end(process)["status"], "completed")
        self.assertGreater(self.metric("hub_sync_lag_records"), 0)
        self.assertEqual(self.metric('hub_sync_state{state="online"}'), 0)
        rig.wait_until(lambda: self.metric("hub_sync_lag_seconds") > 0, 10, "the lag grows", 0.1)

    def expect_sync(self):
        self.hub.wait_for("upstream_connected", 40)
        for name in ("hub_sync_lag_records", "hub_sync_lag_seconds"):
            rig.wait_until(lambda: self.metric(name) == 0, 20, name + " is 0 again")
        self.assertEqual(self.hub.stop(), 0)
        self.assertEqual(self.upstream.stop(), 0)
        self.assert_same_history()

    def test_upstream_with_a_certificate_for_another_name(self):
        other = self.path("other")
        os.mkdir(other)
        request = os.path.join(other, "request")
        names = self.write("other/names", "subjectAltName = DNS:elsewhere.example,IP:127.0.0.2\n"
                                          "extendedKeyUsage = serverAuth\n")
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                     "-nodes", "-keyout", other + "/server.key", "-out", request, "-subj",
                     "/CN=elsewhere.example")
        self.openssl("x509", "-req", "-in", request, "-CA", self.certs + "/ca.crt", "-CAkey",
                     self.certs + "/ca.key", "-extfile", names, "-days", "5", "-set_serial", "77",
                     "-out", other + "/server.crt")
        right = self.replace("server", other)
        self.start_upstream()
        self.start_hub([self.phone_port])
        self.expect_reason("name")
        self.replace("server", right)
        self.upstream.signal(signal.SIGHUP)
        self.expect_sync()

    def test_upstream_of_another_ca(self):
        other = self.path("other")
        self.demo_certs(other, "5")
        self.start_upstream()
        mine = self.path("mine")  # the hub's, which trusts the wrong one
        shutil.copytree(self.certs, mine)
        shutil.copy(os.path.join(other, "ca.crt"), mine)
        self.start_hub([self.phone_port], certs=mine)
        self.expect_reason("trust|signed")
        shutil.copy(os.path.join(self.certs, "ca.crt"), mine)
        self.hub.signal(signal.SIGHUP)
        self.expect_sync()

    def test_a_hub_whose_own_certificate_has_expired(self):
        old = self.path("old")
        os.mkdir(old)
        for name in ("ca.crt", "ca.key"):
            shutil.copy(os.path.join(self.certs, name), old)
        self.demo_certs(old, "-1")
        right = self.replace("hub-1", old)
        self.start_upstream()
        self.start_hub([self.phone_port])
        self.expect_reason("our certificate has expired")
        self.replace("hub-1", right)
        self.hub.signal(signal.SIGHUP)
        self.expect_sync()

    def test_a_half_open_connection_is_given_up(self):
        self.start_upstream()
        proxy = BlackHole(self.sync_port)
        proxy.start()
        self.addCleanup(proxy.close)
        self.start_hub([self.phone_port], sync_port=proxy.port)
        self.wait_phones("SIM001")
        self.hub.wait_for("upstream_connected", 20)
        rig.wait_until(lambda: self.metric("hub_sync_lag_records") == 0, 20, "all is acknowledged")
        proxy.swallow()
        for _ in range(20):  # they are pushed into nowhere
            self.assertEqual(self.wait_end(self.submit("small"))["status"], "completed")
        self.assertGreater(self.metric("hub_sync_lag_records"), 100)
        self.hub.wait_for("upstream_failed", 45)
        self.assertGreaterEqual(self.metric("hub_sync_lag_seconds"), 20)
        self.expect_sync()


if __name__ == "__main__":
    unittest.main()
