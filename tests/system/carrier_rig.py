"""A board without a network, its line in a hub host's serial port: hubd carries its records upstream."""

import os
import sqlite3
import tempfile

import board_rig
import hub_client
import hub_rig
import rig
import sync_rig
import usb_rig

BOARD = "hub-2"  # the certificates of the tests know hub-1 and hub-2
GRANT_SECONDS = 27  # renewed every 9 s; without a renewal the board stops after 17 s, 10 s before its end


class CarrierCase(sync_rig.SyncCase):
    limit_seconds = 300

    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory(prefix="hub-board-")
        self.board = board_rig.Board(self.folder.name)
        self.section = "[carry.%s]\nport = /dev/ttyBOARD\ncert = %s/%s.crt\nkey = %s/%s.key\n" % (
            BOARD, self.certs, BOARD, self.certs, BOARD)
        self.make_tty()

    def make_tty(self):
        """hubd finds the emulator's pseudo-terminal as a serial adapter: libserialport asks /sys
        for one, which here is the emulated bus's."""
        self.bus = usb_rig.Bus()
        self.addCleanup(self.bus.stop)
        os.makedirs(self.bus.root + "/sys/class/tty", exist_ok=True)
        os.symlink(self.board.path("line"), self.bus.root + "/dev/ttyBOARD")
        os.symlink("../../devices/platform/serial/tty/ttyBOARD",
                   self.bus.root + "/sys/class/tty/ttyBOARD")

    def start(self, name, *arguments, env=None):
        env = usb_rig.environment(self.bus) if name == "hubd" else env
        return super().start(name, *arguments, env=env)

    def tearDown(self):
        self.board.kill()
        super().tearDown()
        self.folder.cleanup()

    def config_text(self, phones=(), **changes):
        return super().config_text(phones, **changes) + changes.get("section", self.section)

    def submit(self, what):
        line = self.board.console.ask("submit " + what, "accepted=", "refused")[-1]
        self.assertIn("accepted=", line)
        return int(board_rig.fields(line)["accepted"])

    def restart_board(self):
        self.board.kill()
        self.board.start(is_pty=True)
        self.board.console.wait_for("hub ready")

    def rows(self):
        """The records that upstream has of the board, as (number, bytes)."""
        with sqlite3.connect("file:%s?mode=ro" % self.database, uri=True) as database:
            return [(seq, bytes(body)) for seq, body in database.execute(
                "SELECT seq, bytes FROM records WHERE store ="
                " (SELECT id FROM stores WHERE hub_id = ?) ORDER BY seq", (BOARD,))]

    def has_all(self):
        found = self.board.status()
        return found["head"] == found["acknowledged"]

    def hang_all_phones(self):
        rig.wait_until(lambda: sum(" ready " in line for line in
                                   self.board.console.ask("phones", "phones=")) == 8, 30, "eight phones")
        for phone in range(1, 9):
            self.board.console.ask("hang %d" % phone, "ok")


class WorkCase(CarrierCase):
    """The board, made a hub, and upstreamd with work for it; hubd is the test's to start."""

    def setUp(self):
        super().setUp()
        with open(self.path("capabilities/maintenance.ini"), encoding="utf-8") as file:
            text = file.read()
        self.write("capabilities/maintenance.ini",
                   text.replace("attempts = 3", "attempts = 3\ngrant_seconds = %d" % GRANT_SECONDS))
        with open(self.upstream_config, "a", encoding="utf-8") as file:
            file.write("[capabilities]\ndir = %s\n" % self.path("capabilities"))
        self.board.format(BOARD, is_pty=True)
        self.start_upstream()
        self.fleet = hub_rig.Client(self.fleet_port)
        self.addCleanup(self.fleet.close)

    # ---- upstream ----

    def request(self, name="m-1", pad=0, **target):
        """`pad` makes it larger by so many bytes."""
        answer = self.fleet.post("/maintenance/requests", {
            "request_id": name, "target": target, "inputs": {"pad": "x" * pad} if pad else {},
            "requested_by": {"system": "tests"}})
        self.assertEqual(answer.status, 202, answer)
        self.assertRegex(answer.body["process_id"], r"^up-1-\d+$")
        return answer.body["process_id"]

    def look(self, identity):
        answer = self.fleet.get("/processes/" + identity)
        self.assertEqual(answer.status, 200, answer)
        return answer.body

    def wait_fleet(self, identity, status, seconds=60):
        def reached():
            process = self.look(identity)
            return process if process["status"] == status else None
        try:
            return rig.wait_until(reached, seconds, identity + " " + status, 0.1)
        except AssertionError as error:
            raise AssertionError("%s; it is %s; the board told\n%s\nupstreamd said\n%s" % (
                error, self.look(identity), self.told(), self.upstream.output())) from None

    def told(self):
        """(event, image) of the board's records of items, as upstream has them."""
        records = [hub_client.decode(body)[0] for _, body in self.rows()]
        return [(hub_client.EVENTS[one[3]], one[6]) for one in records if one[0] == hub_client.ITEM]

    def count(self, event):
        return sum(name == event for name, _ in self.told())
