"""What tests of an upstream endpoint share: its certificates, and hubs written in Python."""

import os
import subprocess

import hub_client
import rig

READER = "reader-secret-0123456789"


class EndpointCase(rig.Case):
    """An endpoint on loopback, with certificates for hub-1 and hub-2; `launch` starts it."""

    sync_lines = ()  # more of upstreamd's [sync]

    def setUp(self):
        super().setUp()
        self.certs = self.path("certs")
        self.make_certs(self.certs, 30, "hub-1", "hub-2")
        base = rig.free_ports(2)
        self.sync_port, self.api_port = base, base + 1
        self.launch()

    def make_certs(self, folder, days, *hubs):
        script = os.path.join(rig.ROOT, "scripts", "demo-certs.sh")
        subprocess.run(["bash", script, folder, str(days), *hubs], check=True)

    def store_line(self):
        """Where upstreamd keeps its tables; a kind of test overrides it."""
        return "sqlite = " + self.path("fleet.db")

    def start_upstreamd(self):
        tokens = self.write("tokens", "reader read %s\nworker worker worker-secret-01\n"
                            "caller submit caller-secret-01\n" % READER)
        os.chmod(tokens, 0o600)
        self.config = self.write("upstreamd.ini", "\n".join([
            "[api]", "listen = tcp:127.0.0.1:%d" % self.api_port, "token_file = " + tokens,
            "[sync]", "listen = tcp:127.0.0.1:%d" % self.sync_port,
            "ca = %s/ca.crt" % self.certs, "cert = %s/server.crt" % self.certs,
            "key = %s/server.key" % self.certs, *self.sync_lines,
            "[store]", self.store_line(), ""]))
        upstream = self.start("upstreamd", "--config", self.config)
        upstream.wait_for("event=ready", 20)
        return upstream

    def link(self, name="hub-1", certs=None):
        link = hub_client.Link(self.sync_port, certs or self.certs, name)
        self.addCleanup(link.close)
        return link

    def farm(self, processes=1):
        """A store with a hub, a phone and the whole lives of some processes."""
        store = hub_client.Store()
        store.append(hub_client.hub_booted())
        store.append(hub_client.phone(1, "SIM001"))
        for number in range(1, processes + 1):
            for group in hub_client.life(number):
                store.append(*group)
        return store
