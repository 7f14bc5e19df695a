"""What a stranger's scanner says of the ports that speak TLS: upstreamd's sync port, and the APIs of
hubd. Versions, cipher suites, groups, renegotiation."""

import shutil
import subprocess
import unittest
import xml.etree.ElementTree

import rig
import sync_rig

SUITES = {"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256",
          "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256",
          "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
          "ECDHE-ECDSA-AES256-CCM", "ECDHE-ECDSA-AES128-CCM",
          "ECDHE-ECDSA-AES256-CCM8", "ECDHE-ECDSA-AES128-CCM8"}
GROUPS = {"secp256r1", "secp384r1", "secp521r1", "x25519", "x448"}


@unittest.skipUnless(shutil.which("sslscan"), "sslscan is not installed")
class TlsProfile(sync_rig.SyncCase):
    limit_seconds = 240

    def config_text(self, phones=(), **changes):
        text = super().config_text(phones, **changes)
        return text.replace("[api]\n", "[api]\ncert = %s/server.crt\nkey = %s/server.key\n" % (
            self.certs, self.certs), 1)

    def scan(self, port):
        out = subprocess.run(["sslscan", "--no-colour", "--xml=-", "--no-failed",
                              "--certs=%s/hub-1.crt" % self.certs, "--pk=%s/hub-1.key" % self.certs,
                              "127.0.0.1:%d" % port], capture_output=True, text=True, timeout=200)
        return xml.etree.ElementTree.fromstring(out.stdout).find("ssltest")

    def assert_profile(self, port):
        found = self.scan(port)
        enabled = {one.get("type") + one.get("version") for one in found.iter("protocol")
                   if one.get("enabled") == "1"}
        self.assertEqual({"tls1.2"}, enabled)
        suites = {one.get("cipher") for one in found.iter("cipher")}
        self.assertTrue(suites and suites <= SUITES, suites)
        groups = {one.get("name").split(" ")[0] for one in found.iter("group")}
        self.assertTrue(groups <= GROUPS, groups)
        self.assertEqual("0", found.find("renegotiation").get("supported"))
        self.assertEqual([], [one.get("sslversion") for one in found.iter("heartbleed")
                              if one.get("vulnerable") != "0"])

    def test_the_sync_port_speaks_tls_1_2_with_forward_secrecy_only(self):
        self.start_upstream()
        self.assert_profile(self.sync_port)

    def test_the_api_does_too(self):
        self.config = self.write("hub.ini", self.config_text())
        self.hub = self.start("hubd", "--config", self.config)
        self.hub.wait_for("listening", 30)
        self.assert_profile(self.port)


if __name__ == "__main__":
    unittest.main()
