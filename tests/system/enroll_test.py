"""How a host becomes a hub, stays one, and is one no longer: enrolment, renewal, revocation."""

import datetime
import os
import re
import signal
import ssl
import stat
import subprocess
import unittest

import hub_client
import rig
import sync_rig


class Enroll(sync_rig.SyncCase):
    def setUp(self):
        super().setUp()
        self.made = self.path("made")  # what `hubd enroll` makes
        os.mkdir(self.made)
        self.enroll_port = rig.free_ports(1)
        with open(self.upstream_config, encoding="utf-8") as file:
            text = file.read()
        ticket_key = self.write("ticket.key", "a secret that all upstreamd share, 32 bytes or more")
        self.upstream_config = self.write("upstream.ini", text.replace("[store]", (
            "ca_key = %s/ca.key\nenroll_listen = tcp:127.0.0.1:%d\nhub_days = 30\n"
            "ticket_key_file = %s\n[store]" % (self.certs, self.enroll_port, ticket_key))))

    def upstreamd(self, *words):
        return subprocess.run([rig.program("upstreamd"), "--config", self.upstream_config, *words],
                              capture_output=True, text=True, timeout=60)

    def token(self, hub="hub-1", *words):
        done = self.upstreamd("enroll", hub, *words)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertRegex(done.stdout, "^[0-9a-f]{48}\n$")
        return done.stdout.strip()

    def fingerprint(self):
        out = subprocess.run(["openssl", "x509", "-in", self.certs + "/ca.crt", "-noout",
                              "-fingerprint", "-sha256"], capture_output=True, text=True, check=True)
        return out.stdout.strip().split("=")[1]

    def config_for(self, folder):
        text = self.config_text([])
        for name in ("ca", "cert", "key"):
            text = re.sub(r"(?m)^(%s = )%s/.*$" % (name, re.escape(self.certs)),
                          r"\1%s/hub.%s" % (folder, {"cert": "crt", "ca": "ca"}.get(name, name)),
                          text)
        return self.write("enroll.ini", text)

    def enroll(self, token, *words, url=None):
        config = self.config_for(self.made)
        return subprocess.run(
            [rig.program("hubd"), "--config", config, "enroll", "--url",
             url or "https://127.0.0.1:%d" % self.enroll_port,
             "--token-file", self.write("token", token + "\n"), *words],
            capture_output=True, text=True, timeout=90)

    def in_place(self, name):
        return os.path.exists(os.path.join(self.made, "hub." + name))

    def short_certificate(self, ago, left):
        """hub-1's certificate, of the same key, from `ago` days ago, for `left` more."""
        def utc(days):
            moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
            return moment.strftime("%Y%m%d%H%M%SZ")
        work = self.path("ca-work")
        os.makedirs(work, exist_ok=True)
        self.write("ca-work/index", "")
        self.write("ca-work/ext", "extendedKeyUsage = clientAuth\n")
        config = self.write("ca-work/conf", (
            "[ca]\ndefault_ca = d\n[d]\ndatabase = %s/index\nnew_certs_dir = %s\ncertificate = "
            "%s/ca.crt\nprivate_key = %s/ca.key\nrand_serial = yes\nunique_subject = no\n"
            "default_md = sha256\npolicy = p\n[p]\ncommonName = supplied\n" % (
                work, work, self.certs, self.certs)))
        key = self.certs + "/hub-1.key"
        for arguments in (
                ["req", "-new", "-key", key, "-subj", "/CN=hub-1", "-out", work + "/csr"],
                ["ca", "-batch", "-notext", "-config", config, "-in", work + "/csr", "-extfile",
                 work + "/ext", "-startdate", utc(-ago), "-enddate", utc(left), "-out",
                 self.certs + "/hub-1.crt"]):
            subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    def serial(self, path):
        out = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-serial"],
                             capture_output=True, text=True, check=True)
        return out.stdout.strip()

    def test_a_host_becomes_a_hub_by_a_token_and_a_fingerprint(self):
        self.start_upstream()
        done = self.enroll(self.token(), "--fingerprint", self.fingerprint())
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(0o600, stat.S_IMODE(os.stat(self.made + "/hub.key").st_mode))
        judged = subprocess.run(["openssl", "verify", "-purpose", "sslclient", "-CAfile",
                                 self.certs + "/ca.crt", self.made + "/hub.crt"],
                                capture_output=True, text=True)
        self.assertEqual(0, judged.returncode, judged.stderr)
        text = subprocess.run(["openssl", "x509", "-in", self.made + "/hub.crt", "-noout", "-text"],
                              capture_output=True, text=True).stdout
        self.assertRegex(text, "Subject: CN = hub-1\n")
        self.assertIn("TLS Web Client Authentication", text)
        with open(self.made + "/hub.ca", encoding="ascii") as mine, \
                open(self.certs + "/ca.crt", encoding="ascii") as theirs:
            self.assertEqual(theirs.read(), mine.read())
        hub = self.start("hubd", "--config", self.config_for(self.made))
        hub.wait_for("upstream_connected", 30)

    def test_a_token_is_good_once_and_for_one_hub(self):
        self.start_upstream()
        token, pin = self.token(), self.fingerprint()
        self.assertEqual(0, self.enroll(token, "--fingerprint", pin).returncode)
        os.remove(self.made + "/hub.crt")
        again = self.enroll(token)
        self.assertEqual(1, again.returncode)
        self.assertIn("403", again.stderr)
        other = self.enroll(self.token("hub-2"))
        self.assertEqual(1, other.returncode)
        self.assertFalse(self.in_place("crt"))
        self.assertEqual(0, self.enroll(self.token()).returncode)

    def test_a_newer_token_ends_the_one_before(self):
        self.start_upstream()
        first, second = self.token(), self.token()
        self.assertEqual(1, self.enroll(first, "--fingerprint", self.fingerprint()).returncode)
        self.assertEqual(0, self.enroll(second).returncode)

    def test_another_fingerprint_gets_no_token(self):
        self.start_upstream()
        token = self.token()
        done = self.enroll(token, "--fingerprint", "00" * 32)
        self.assertEqual(1, done.returncode)
        self.assertIn("fingerprint", done.stderr)
        self.assertFalse(self.in_place("ca"))
        self.assertEqual(0, self.enroll(token, "--fingerprint", self.fingerprint()).returncode)

    def test_wrong_words_are_refused_before_anything_is_done(self):
        pin = ("--fingerprint", "00" * 32)
        for words, url in (((), None), (("--fingerprint", "zz" * 32), None), (pin, "http://x:1")):
            done = self.enroll("0" * 48, *words, url=url)
            self.assertEqual(2, done.returncode, done.stderr)
        self.assertEqual([], os.listdir(self.made))
        for words in (("enroll",), ("enroll", "a/b"), ("enroll", "hub-1", "--minutes", "0"),
                      ("revoke",), ("other",)):
            self.assertEqual(2, self.upstreamd(*words).returncode, words)

    def test_the_ca_is_kept_where_it_is(self):
        self.start_upstream()
        other = self.path("other")
        subprocess.run(["bash", os.path.join(rig.ROOT, "scripts/demo-certs.sh"), other, "5"],
                       check=True, capture_output=True)
        os.link(other + "/ca.crt", self.made + "/hub.ca")
        done = self.enroll(self.token(), "--fingerprint", self.fingerprint())
        self.assertEqual(1, done.returncode)
        self.assertFalse(self.in_place("crt"))

    def test_init_ca_makes_what_is_missing_and_never_another_ca(self):
        folder = self.path("authority")
        os.mkdir(folder)

        def init_ca():
            return subprocess.run([rig.program("upstreamd"), "init-ca", folder, "127.0.0.1"],
                                  capture_output=True, text=True, timeout=60)

        def verify():
            subprocess.run(["openssl", "verify", "-CAfile", folder + "/ca.crt", "-verify_ip",
                            "127.0.0.1", folder + "/server.crt"], check=True, capture_output=True)
        self.assertEqual(0, init_ca().returncode)
        verify()
        ca, server = (self.serial(folder + "/%s.crt" % name) for name in ("ca", "server"))
        again = init_ca()
        self.assertEqual(1, again.returncode)
        self.assertIn("server.crt: is there already", again.stderr)
        # The server's certificate ends one day: a new one of the same CA, whom the hubs know.
        os.remove(folder + "/server.crt")
        os.remove(folder + "/server.key")
        self.assertEqual(0, init_ca().returncode)
        verify()
        self.assertEqual(ca, self.serial(folder + "/ca.crt"))
        self.assertNotEqual(server, self.serial(folder + "/server.crt"))
        os.remove(folder + "/ca.key")
        os.remove(folder + "/server.crt")
        half = init_ca()
        self.assertEqual(1, half.returncode)
        self.assertIn("ca.crt: is there already", half.stderr)

    def test_a_certificate_in_the_last_third_of_its_life_is_renewed(self):
        self.short_certificate(ago=20, left=5)
        before = self.serial(self.certs + "/hub-1.crt")
        self.start_upstream()
        self.start_hub([])
        self.hub.wait_for("certificate_renewed", 40)
        self.upstream.wait_for("certificate_signed hub=hub-1 renewal=1", 10)
        self.assertNotEqual(before, self.serial(self.certs + "/hub-1.crt"))
        self.hub.wait_for("upstream_connected", 30)
        rig.wait_until(lambda: self.metric("hub_sync_lag_records") == 0, 20, "the link goes on")

    def test_a_certificate_with_time_left_is_not(self):
        self.short_certificate(ago=10, left=40)
        before = self.serial(self.certs + "/hub-1.crt")
        self.start_upstream()
        self.start_hub([])
        self.hub.wait_for("upstream_connected", 30)
        rig.wait_until(lambda: self.metric("hub_sync_lag_records") == 0, 20, "it syncs")
        self.assertEqual(before, self.serial(self.certs + "/hub-1.crt"))

    def test_a_hub_that_is_revoked_is_cut_and_does_not_come_back(self):
        self.start_upstream()
        self.start_hub([])
        self.hub.wait_for("upstream_connected", 30)
        rig.wait_until(lambda: self.metric("hub_sync_lag_records") == 0, 20, "it syncs")
        other = hub_client.Link(self.sync_port, self.certs, "hub-2")
        self.addCleanup(other.close)
        store = hub_client.Store()
        store.append(hub_client.hub_booted())
        self.assertEqual(1, other.push(store, 0, store.groups).cursor)
        done = self.upstreamd("revoke", "hub-1")
        self.assertEqual(0, done.returncode, done.stderr)
        self.hub.wait_for("upstream_failed", 30)
        # It shows its ticket first; that is worth no more than its certificate.
        self.hub.wait_for("our certificate is revoked", 60)
        self.assertEqual(1, other.push(store, 1, []).cursor)
        self.upstream.stop()
        self.start_upstream()
        with self.assertRaises((ssl.SSLError, OSError)):
            hub_client.Link(self.sync_port, self.certs, "hub-1").push(store, 1, [])
        # A new token, and it is a hub again.
        self.assertEqual(0, self.enroll(self.token(), "--fingerprint",
                                        self.fingerprint()).returncode)
        for end in ("crt", "key"):
            os.replace(self.made + "/hub." + end, self.certs + "/hub-1." + end)
        self.hub.signal(signal.SIGHUP)
        self.hub.wait_for("event=upstream_connected host=127.0.0.1:%d resumed=0" % self.sync_port,
                          60)
        rig.wait_until(lambda: self.metric('hub_sync_state{state="online"}') == 1, 60, "it is back")


if __name__ == "__main__":
    unittest.main()
