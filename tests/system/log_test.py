"""The log of the daemons: every line can be read, storms are bounded, nothing secret is in it."""

import glob
import json
import os
import re
import socket
import time

import hub_rig
import rig
import sync_rig

LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
FORMAT = re.compile(r"[a-z][a-z0-9_]*( [a-z][a-z0-9_]*=%(\.\*s|s|c|(l|ll|z)?[diux]))*")
PAIR = re.compile(r'([a-z][a-z0-9_]*)=((?:"(?:[^"\\]|\\.)*")|[^" =]*)(?: |$)')
SUPPRESSED = re.compile(r"suppressed=(\d+)|kind=\w+ lines=(\d+)")


def log_calls():
    """(place, format) of every call in the sources of the programs."""
    for path in glob.glob(os.path.join(rig.ROOT, "host/**/*.c"), recursive=True):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for call in re.finditer(r"\blog_(?:error|warn|info|debug)\(", text):
            literals = []
            at = call.end()
            while found := re.compile(r'\s*"((?:[^"\\]|\\.)*)"').match(text, at):
                literals.append(found.group(1))
                at = found.end()
            yield "%s:%d" % (path, text.count("\n", 0, call.start()) + 1), "".join(literals)


def is_pairs(line):
    """The whole line is key=value pairs that begin with time, level and event."""
    keys, at = [], 0
    while at < len(line):
        found = PAIR.match(line, at)
        if not found:
            return False
        keys.append(found.group(1))
        at = found.end()
    return keys[:3] == ["time", "level", "event"]


def wrap_in_tls(test, text):
    return text.replace("[api]\n", "[api]\ncert = %s/server.crt\nkey = %s/server.key\n" % (
        test.certs, test.certs), 1)


class Log(hub_rig.HubCase):
    def test_every_log_call_is_an_event_and_pairs(self):
        calls = list(log_calls())
        self.assertGreater(len(calls), 50)
        self.assertEqual([], [call for call in calls if not FORMAT.fullmatch(call[1])])

    def test_a_wrong_level_or_format_is_refused(self):
        for option, expected in (("--log-level=loud", "error|warn|info|debug"),
                                 ("--log-format=xml", "text|json")):
            for program in ("hubd", "upstreamd"):
                status, _, said = self.run_program(program, "--config", "x", option)
                self.assertEqual(2, status)
                self.assertIn(expected, said.decode())

    def test_a_start_that_fails_is_a_json_line_as_well(self):
        status, _, said = self.run_program("hubd", "--config", "/none", "--log-format", "json")
        self.assertEqual(2, status)
        line = json.loads(said)
        self.assertEqual(("error", "fatal", "hubd"),
                         (line["level"], line["event"], line["program"]))
        self.assertIn("/none", line["reason"])


class Lines(sync_rig.SyncCase):
    """Hub and upstream with work, errors and a reload, at the level that says most."""

    def config_text(self, phones=(), **changes):
        return super().config_text(phones, **changes) + (
            "[callbacks]\nallow = 127.0.0.1:%d\nsecret_file = %s\n" % (
                rig.free_ports(1), self.write("callback_secret", "callback-canary-secret\n")))

    def run_a_while(self, *options):
        options = ("--log-level", "debug", *options)
        self.upstream = self.start("upstreamd", "--config", self.upstream_config, *options)
        _, port = self.start_phones(2)
        self.config = self.write("hub.ini", self.config_text([port, port + 1]))
        self.hub = self.start("hubd", "--config", self.config, *options)
        self.hub.wait_for("listening", 30)
        self.client = self.new_client()
        self.wait_phones("SIM001", "SIM002")
        self.wait_end(self.submit("maintenance", phone="SIM001"))
        self.wait_end(self.submit("final", phone="SIM002"))
        self.assertEqual(401, self.new_client("wrong-canary-token").get("/phones").status)
        self.write("tokens", "broken line\n")
        for daemon in (self.hub, self.upstream):
            daemon.signal(rig.signal.SIGHUP)
            daemon.wait_for("reloaded")
        self.wait_caught_up()
        for daemon in (self.hub, self.upstream):
            self.assertEqual(0, daemon.stop())
        return [line for daemon in (self.hub, self.upstream) for line in daemon.lines]

    def secrets(self):
        with open(self.path("certs/hub-1.key"), encoding="utf-8") as file:
            key = file.read().splitlines()[1]
        return [hub_rig.SECRET, "callback-canary-secret", "wrong-canary-token", key]

    def test_text_lines_are_pairs_and_hold_no_secret(self):
        lines = self.run_a_while()
        self.assertEqual([], [line for line in lines if not is_pairs(line)])
        for secret in self.secrets():
            self.assertNotIn(secret, "\n".join(lines))
        self.assertIn("event=tokens_not_reloaded", "\n".join(lines))

    def test_json_lines_parse_and_hold_no_secret(self):
        lines = self.run_a_while("--log-format", "json")
        for line in lines:
            self.assertEqual(["time", "level", "event"], list(json.loads(line))[:3])
        for secret in self.secrets():
            self.assertNotIn(secret, "\n".join(lines))


class Storm(sync_rig.SyncCase):
    def config_text(self, phones=(), **changes):
        return wrap_in_tls(self, hub_rig.HubCase.config_text(self, phones, **changes))

    def test_a_storm_of_faults_is_bounded_and_every_line_left_out_is_counted(self):
        self.config = self.write("hub.ini", self.config_text())
        self.hub = self.start("hubd", "--config", self.config)
        self.hub.wait_for("listening", 30)
        begin = time.monotonic()
        count = 1500
        for _ in range(count):
            with socket.create_connection(("127.0.0.1", self.port), timeout=20) as peer:
                peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
                peer.settimeout(20 * rig.SLOW)
                try:
                    while peer.recv(100):
                        pass
                except ConnectionResetError:
                    pass
        self.assertEqual(0, self.hub.stop())
        seconds = time.monotonic() - begin
        shown = [line for line in self.hub.lines if "event=tls_" in line]
        hidden = sum(int(one or other) for one, other in SUPPRESSED.findall(self.hub.output()))
        self.assertEqual(count, len(shown) + hidden)
        self.assertLessEqual(len(shown), 100 + seconds + 1)
        self.assertEqual([], [line for line in self.hub.lines if not is_pairs(line)])


if __name__ == "__main__":
    rig.unittest.main()
