"""A hub whose leases serve adb, and Debian's adb as its client."""

import os
import re

import hub_rig
import rig

ADB = "/usr/bin/adb"

SHORT = """[capability]
name = short
routing = direct, queue
attempts = 1
attempt_seconds = 3
retry_on = none
[action.nap]
type = shell
command = sleep 600
timeout_seconds = 600
"""


def last_token(hub, serial):
    """The token of the newest lease of this phone, as the hub's log has it."""
    found = re.findall(r"attempt_started process=\S+ .*phone=%s token=(\d+)" % serial, hub.output())
    return found[-1] if found else None


class LeaseCase(hub_rig.HubCase):
    """A hub with phones; `lease` holds one and gives what adb needs to reach it."""

    def setUp(self):
        super().setUp()
        self.home = self.path("home")
        os.mkdir(self.home)

    def config_text(self, phones=(), **changes):
        text = super().config_text(phones, **changes)
        text += "[adb]\ndir = %s\noperators = unix:%s\n" % (self.adb_dir(), self.path("operators"))
        return text + changes.get("adb", "")

    def adb_dir(self):
        return self.path("adb")

    def start_farm(self, count=1, *options, **changes):
        """Phones SIM001..., each on a port of its own, and the hub they are on."""
        self.phones, first = self.start_phones(count, *options, serial="SIM001")
        self.ports = [first + index for index in range(count)]
        self.start_hub(self.ports, **changes)
        self.wait_phones(*["SIM%03d" % (index + 1) for index in range(count)])

    def hold(self, serial, seconds=600):
        """A running lease of this phone: its process and its token."""
        before = last_token(self.hub, serial)
        process = self.nap(seconds, phone=serial)
        self.wait_status(process, "executing")
        rig.wait_until(lambda: last_token(self.hub, serial) != before, 10, "the log has the lease")
        return process, last_token(self.hub, serial)

    def open_endpoint(self, serial, token):
        answer = self.client.post("/phones/%s/adb" % serial, {"lease_token": token})
        self.assertEqual(200, answer.status, answer)
        return answer.body["adb_server_socket"]

    def lease(self, serial, seconds=600):
        process, token = self.hold(serial, seconds)
        return process, self.open_endpoint(serial, token)

    def env(self, socket):
        return {"HOME": self.home, "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                "TMPDIR": self.scratch, "ADB_SERVER_SOCKET": socket}

    def adb(self, socket, *arguments, seconds=30.0, stdin=None):
        """Status, output and errors of Debian's adb on this socket."""
        status, out, err = self.run_program(ADB, *arguments, env=self.env(socket),
                                            seconds=seconds, input_bytes=stdin)
        return status, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def assert_adb(self, socket, *arguments, **more):
        status, out, err = self.adb(socket, *arguments, **more)
        self.assertEqual(0, status, (arguments, out, err))
        return out
