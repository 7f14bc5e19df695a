"""The image without an operating system, on an emulated board: what it does for a person and a carrier.
HUB_SEED chooses another run."""

import os
import random
import subprocess
import tempfile
import time
import unittest

import board_rig
import rig
import store_reader

SEED = int(os.environ.get("HUB_SEED", str(int(time.time()))))


class Board(board_rig.BoardCase):
    def test_a_board_makes_no_store_by_itself(self):
        self.board.start()
        self.board.console.wait_for("no hub runs here")
        self.assertIn("there is no such object", self.board.console.ask("status", "store:")[-1])
        self.assertIn("refused", self.board.console.ask("submit maintenance", "refused")[-1])
        self.assertEqual(os.path.getsize(self.board.flash), board_rig.CHIP)
        with open(self.board.flash, "rb") as chip:
            self.assertEqual(chip.read(board_rig.STORE).strip(b"\xff"), b"")

    def test_another_hubs_store_and_a_strange_chip_are_left_alone(self):
        self.board.format("hub-one")
        self.submit("maintenance 8")
        self.cut()
        other = os.urandom(1000) + b"HUBD" + os.urandom(5000)
        with open(self.board.flash, "r+b") as chip:  # what some other program has written
            for block in range(32):
                chip.seek(block * board_rig.SECTOR)
                chip.write(other)
        self.board.start()
        self.board.console.wait_for("no hub runs here")
        self.assertIn("there is no such object", self.board.console.ask("status", "store:")[-1])
        self.assertIn("refused", self.board.console.ask("format hub-two", "refused")[-1])
        with open(self.board.flash, "rb") as chip:
            for block in range(32):
                chip.seek(block * board_rig.SECTOR)
                self.assertEqual(chip.read(len(other)), other)

    def test_maintenance_runs_on_eight_phones_and_upstream_hears_all_of_it(self):
        self.board.format("hub-nine")
        self.connect()
        self.assertIn("1 to 16", self.board.console.ask("submit maintenance 17", "refused")[-1])
        number, _ = self.submit("maintenance 8")
        self.wait_for_process(number, "completed")
        reboot, _ = self.submit("reboot")
        self.wait_for_process(reboot, "completed")
        self.wait_for_upstream()
        self.assertEqual(self.carrier.names, {"hub-nine"})
        states = self.states()
        self.assertEqual(sum(1 for key in states if key[0] == number), 8)
        self.assertEqual(set(states.values()), {board_rig.COMPLETED})
        _, _, groups = store_reader.read_groups(self.board.store())
        kept = [body for group in groups for body in group.bodies]
        self.assertEqual(self.upstream.records[-len(kept):], kept, "flash says the same")

    def test_a_phone_that_leaves_or_hangs_costs_a_try_and_no_more(self):
        self.board.format("hub-three")
        self.connect()
        rig.wait_until(lambda: any(" ready " in line for line in self.board.console.ask("phones", "phones=")),
                       20, "phones")
        number, _ = self.submit("maintenance 8")
        self.board.console.ask("unplug 2", "ok")
        self.board.console.ask("unplug 5", "ok")
        self.board.console.ask("plug 5", "ok")
        self.wait_for_process(number, "completed")
        self.board.console.ask("plug 2", "ok")
        self.wait_for_upstream()

    def test_a_failed_check_is_kept_in_flash_and_restarts_the_board(self):
        self.board.format("hub-four")
        number, _ = self.submit("maintenance 8")
        self.wait_for_process(number, "completed")
        self.board.console.ask("fail", "the board restarts")
        self.board.console.wait_for("hub ready")
        self.wait_for_process(number, "completed")
        lines = self.board.console.ask("status", "restarted itself")
        self.assertIn("check failed: image == NULL at image/console.c", lines[-1])
        self.cut()
        self.board.start()
        self.board.console.wait_for("hub ready")
        self.assertIn("check failed", self.board.console.ask("status", "restarted itself")[-1])

    def test_noise_floods_and_pieces_on_the_line_lose_nothing(self):
        dice = random.Random(SEED)
        print("note: HUB_SEED=%d" % SEED)
        self.board.format("hub-five")
        self.connect()
        bad = board_rig.frame(board_rig.REPLY, b"\x80")  # a frame that is whole, and no reply
        for turn in range(12):
            self.submit("maintenance 2")
            noise = bytes(dice.randrange(256) for _ in range(dice.randrange(1, 3000)))
            whole = board_rig.frame(dice.choice([2, 3, 77]), noise[:200])
            for data in (noise, whole[:dice.randrange(1, len(whole))], b"\x01" * 9000, bad, whole):
                self.carrier.send(data)
            self.carrier.send(board_rig.frame(board_rig.AWAY) + board_rig.frame(board_rig.READY))
        rig.wait_until(lambda: set(self.states().values()) == {board_rig.COMPLETED}
                       and len({key[0] for key in self.states()}) == 12, 90, "every item ends", step=0.2)
        self.wait_for_upstream(90)
        found = self.status()
        for counter in ("damaged", "too_long", "unknown"):
            self.assertGreater(int(found[counter]), 0, counter)
        self.assertEqual(set(self.states().values()), {board_rig.COMPLETED})

    def test_the_page_says_what_tables_and_stack_take(self):
        with open(os.path.join(rig.ROOT, "docs", "porting.md"), encoding="utf-8") as file:
            page = {cells[1].strip(): cells[2].replace(",", "") for cells in
                    (line.split("|") for line in file) if len(cells) > 3}
        self.board.format("hub-ten")
        self.connect()
        number, _ = self.submit("maintenance 8")
        self.wait_for_process(number, "completed")
        tables = board_rig.fields(self.board.console.ask("memory", "tables=")[-1])["tables"]
        self.assert_near(page["tables of the core (console: `memory`)"], tables)
        chain, seen = page["stack: deepest chain / seen in tests"].split("/")
        self.assert_near(seen, self.status()["stack"])
        self.assertLess(int(self.status()["stack"]), int(chain), "no chain is deeper than was found")

    def assert_near(self, said, measured):
        self.assertLessEqual(abs(int(said) - int(measured)) * 10, int(measured), (said, measured))

    def test_a_console_that_is_typed_nonsense_refuses_each_line(self):
        self.board.format("hub-six")
        for line in ("submit", "submit nothing", "submit maintenance 0", "submit maintenance 17",
                     "submit maintenance 1 1", "submit maintenance x", "cancel", "cancel 99999",
                     "cancel 1x", "plug 0", "plug 9", "hang", "format other", "x" * 121,
                     "\x00\xff\x80 odd", "statusx"):
            self.assertIn("refused", self.board.console.ask(line, "refused")[-1], line)
        number, _ = self.submit("maintenance")
        self.wait_for_process(number, "completed")


class SecondPort(board_rig.BoardCase):
    """A Cortex-M4 that has RAM for flash: another folder in boards/, other files of hal/baremetal."""

    def test_the_same_image_runs_on_a_board_of_another_kind(self):
        self.board = board_rig.Board(self.folder.name, "mps2")
        self.board.start()
        self.connect()
        self.board.console.wait_for("no hub runs here")
        self.board.console.ask("format hub-m4", "made")
        self.board.console.ask("restart", "hub ready")
        self.assertIn("1 to 6", self.board.console.ask("submit maintenance 7", "refused")[-1])
        number, _ = self.submit("maintenance 6")
        self.wait_for_process(number, "completed")
        reboot, _ = self.submit("reboot")
        self.wait_for_process(reboot, "completed")
        self.wait_for_upstream()
        self.board.console.ask("fail", "hub ready")
        self.wait_for_process(number, "completed")
        self.assertIn("check failed", self.board.console.ask("status", "restarted itself")[-1])
        self.wait_for_upstream()
        self.assertEqual(set(self.states().values()), {board_rig.COMPLETED})


class OnTheBoard(unittest.TestCase):
    """Programs that are tests themselves, and speak by semihosting."""

    limit_seconds = 600

    def run_on_board(self, program, *arguments):
        with tempfile.TemporaryDirectory(prefix="hub-board-") as folder:
            chip = board_rig.Board(folder).flash
            words = "".join(",arg=" + str(one) for one in (program,) + arguments)
            return subprocess.run(
                ["qemu-system-arm", "-M", "xilinx-zynq-a9", "-m", "128M", "-display", "none",
                 "-monitor", "none", "-no-reboot", "-drive", "if=pflash,format=raw,file=" + chip,
                 "-semihosting-config", "enable=on,target=native" + words,
                 "-kernel", os.path.join(rig.ROOT, "build", "zynq-tests", program)],
                cwd=rig.ROOT, capture_output=True, text=True, timeout=self.limit_seconds)

    def test_the_stores_tests_pass(self):
        ended = self.run_on_board("unit.elf")
        self.assertEqual(ended.returncode, 0, ended.stdout[-2000:])
        self.assertRegex(ended.stdout, r"\n[1-9][0-9]+ passed on the board\n$")
        print("note: " + ended.stdout.splitlines()[-1])

    def test_farms_live_through_the_same_as_on_the_host(self):
        ended = self.run_on_board("sim.elf", 1, 20, 60)
        host = subprocess.run([rig.program("sim"), "--hashes", "20", "--first", "1", "--minutes", "60"],
                              capture_output=True, text=True, timeout=self.limit_seconds)
        self.assertEqual(ended.returncode, 0, ended.stdout[-2000:])
        self.assertEqual(len(host.stdout.splitlines()), 20)
        self.assertEqual(ended.stdout, host.stdout)


if __name__ == "__main__":
    unittest.main()
