"""hubctl against a real hub, an upstream that is not there, and store files on disk."""

import json
import os
import pty
import signal
import struct
import subprocess

import hub_rig
import rig
import store_reader


class HubctlCase(hub_rig.HubCase):
    def hubctl(self, *arguments, seconds=30.0, env=None):
        """(exit status, stdout, stderr) as text."""
        where = ["--url", "http://127.0.0.1:%d" % self.port, "--token-file", self.token_file]
        code, out, err = self.run_program("hubctl", *where, *arguments, seconds=seconds, env=env)
        return code, out.decode("utf-8"), err.decode("utf-8")

    def ok(self, *arguments):
        code, out, err = self.hubctl(*arguments)
        self.assertEqual(code, 0, out + err)
        return out

    def start_farm(self, count=2, *options):
        _, port = self.start_phones(count, *options)
        self.start_hub([port + i for i in range(count)])
        self.wait_phones(*["SIM%03d" % (i + 1) for i in range(count)])

    def offline(self, *arguments):
        code, out, err = self.run_program("hubctl", *arguments)
        return code, out.decode(), err.decode()


class Online(HubctlCase):
    def test_lists_are_aligned_tables(self):
        self.start_farm(2)
        lines = self.ok("phones").splitlines()
        self.assertEqual(lines[0].split(), ["PHONE", "STATE", "SLOT", "HUB", "MODEL", "ITEM",
                                            "REASON"])
        self.assertEqual(len(lines), 3)
        column = lines[0].index("STATE")
        for line, phone in zip(lines[1:], ("SIM001", "SIM002")):
            self.assertTrue(line.startswith(phone))
            self.assertEqual(line[column:column + 5], "ready")
        self.assertIn("maintenance", self.ok("capabilities"))
        self.assertIn("127.0.0.1", self.ok("slots"))
        self.assertIn("hub_sync_state", self.ok("sync"))
        self.assertIn("/readyz", self.ok("health"))

    def test_a_process_is_held_resumed_cancelled_and_retried(self):
        self.start_farm(1, "--fault", "fail@id")
        process = self.ok("run", "nap", "--input", "seconds=30", "--no-wait").split()[0]
        self.wait_status(process, "executing")
        self.assertEqual(self.ok("suspend", process).split()[0], process)
        rig.wait_until(lambda: self.process(process)["items"][0]["state"] == "suspended", 10,
                       "it is suspended")
        self.assertEqual(self.ok("resume", process).split(), [process, "queued"])
        answer = json.loads(self.ok("--json", "cancel", process))
        self.assertTrue(answer["cancel_requested"])
        self.wait_status(process, "cancelled")
        for command in ("cancel", "suspend", "resume", "retry"):
            code, _, err = self.hubctl(command, process)
            self.assertEqual((code, err.startswith("hubctl %s: " % command)), (1, True), err)
        self.assertEqual(self.hubctl("run", "final")[0], 1)
        failed = self.ok("--json", "ps", "--limit", "1")
        failed = json.loads(failed)["processes"][0]["process_id"]
        self.assertEqual(self.ok("retry", failed).split()[0], failed)
        self.assertEqual(self.wait_end(failed)["generation"], 2)
        self.assertEqual(self.hubctl("settle", failed)[0], 2)
        self.assertEqual(self.hubctl("settle", failed, "--done")[0], 1)

    def test_a_phone_is_quarantined_released_and_labelled(self):
        self.start_farm(1)
        self.assertEqual(self.ok("quarantine", "SIM001", "--reason", "hot").split(),
                         ["SIM001", "quarantined", "hot"])
        self.assertIn("quarantined", self.ok("phones"))
        self.assertEqual(self.hubctl("quarantine", "SIM001")[0], 1)
        self.ok("release", "SIM001")
        self.wait_phones("SIM001")
        self.assertIn("fast", self.ok("label", "SIM001", "fast", "rack-2"))
        self.assertEqual(self.phone("SIM001")["labels"], ["fast", "rack-2"])
        self.assertEqual(self.hubctl("release", "NO")[0], 1)

    def test_json_is_the_api_s_own(self):
        self.start_farm(1)
        for command, path in (("phones", "/phones"), ("capabilities", "/capabilities"),
                              ("ps", "/processes?limit=50")):
            self.assertEqual(json.loads(self.ok("--json", command)), self.client.get(path).body)

    def test_run_follows_to_the_end(self):
        self.start_farm(1)
        out = self.ok("run", "maintenance", "--phone", "SIM001", "--step", "battery")
        process = out.split()[0]
        self.assertIn(" started ", out)
        self.assertTrue(out.rstrip().endswith(process + " completed"), out)
        self.assertNotIn("\x1b", out)
        self.assertIn(process, self.ok("ps", "--status", "completed", "--type", "maintenance"))
        self.assertNotIn(process, self.ok("ps", "--status", "cancelled"))
        shown = json.loads(self.ok("--json", "show", process))
        self.assertEqual(shown["status"], "completed")
        self.assertEqual(list(shown["inputs"]["steps"][0].values()), ["battery"])
        self.assertIn("finished_at", self.ok("show", process))
        self.assertIn("succeeded", self.ok("events", process))
        self.assertIn("    | ", self.ok("logs", process))
        self.assertIn("succeeded", self.ok("logs", "-f", process))

    def test_group_fans_out_and_inputs_are_sent(self):
        self.start_farm(2)
        shown = json.loads(self.ok("--json", "run", "nap", "--group", "SIM001,SIM002",
                                   "--input", "seconds=0", "--input", "note=a b"))
        self.assertEqual(shown["status"], "completed")
        self.assertEqual(len(shown["items"]), 2)
        self.assertEqual(shown["inputs"], {"seconds": 0, "note": "a b"})

    def test_labels_say_which_phone_a_request_wants(self):
        self.start_farm(2)
        self.ok("label", "SIM002", "pixel", "shelf2")
        shown = json.loads(self.ok("--json", "run", "nap", "--label", "shelf2,pixel", "--input",
                                   "seconds=0"))
        self.assertEqual("SIM002", shown["items"][0]["phone_id"], shown)
        steps = json.loads(self.ok("--json", "run", "maintenance", "--label", "pixel", "--step",
                                   "battery"))
        self.assertEqual("SIM002", steps["items"][0]["phone_id"], steps)

    def test_exit_status_says_how_it_ended(self):
        self.start_farm(1)
        code, out, err = self.hubctl("run", "final", "--queue")
        self.assertEqual(code, 1)
        self.assertIn("failed_terminal", out)
        self.assertIn("exit_7", err)
        process = self.ok("run", "nap", "--input", "seconds=60", "--no-wait").strip()
        follower = self.start("hubctl", "--url", "http://127.0.0.1:%d" % self.port,
                              "--token-file", self.token_file, "logs", "-f", process)
        follower.wait_for(" started ")
        self.assertIn("cancel", self.ok("cancel", process))
        self.assertEqual(follower.wait(20), 3)
        code, _, err = self.hubctl("cancel", process)
        self.assertEqual(code, 1)
        self.assertIn("already_terminal", err)

    def test_the_same_request_id_finds_the_same_process(self):
        self.start_farm(1)
        first = self.ok("run", "nap", "--input", "seconds=0", "--request-id", "r1").split()[0]
        again = self.ok("run", "nap", "--input", "seconds=0", "--request-id", "r1", "--no-wait")
        self.assertEqual(again.split()[0], first)
        self.assertIn("asked for before", again)

    def test_run_outlives_a_kill_of_the_hub(self):
        self.start_farm(1)
        runner = self.start("hubctl", "--url", "http://127.0.0.1:%d" % self.port, "--token-file",
                            self.token_file, "run", "nap", "--input", "seconds=1")
        runner.wait_for(" started ")
        self.hub.kill()
        runner.wait_for("trying again")
        self.restart_hub()
        self.assertEqual(runner.wait(30), 0, runner.output())
        events = [line.split()[2] for line in runner.lines if line[2:3] == ":"]
        self.assertEqual(events.count("finished"), 1)
        self.assertEqual(events.count("accepted"), 1, "told twice")

    def test_a_terminal_sees_live_progress(self):
        self.start_farm(1)
        leader, follower = pty.openpty()
        self.addCleanup(os.close, leader)
        child = subprocess.Popen(
            [rig.program("hubctl"), "--url", "http://127.0.0.1:%d" % self.port, "--token-file",
             self.token_file, "run", "nap", "--input", "seconds=1"],
            stdin=subprocess.DEVNULL, stdout=follower, stderr=follower)
        os.close(follower)
        seen = b""
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:
                break
            if not part:
                break
            seen += part
        self.assertEqual(child.wait(30), 0)
        self.assertIn(b"\r[", seen)
        self.assertIn(b"nap on SIM001, attempt 1", seen)
        self.assertIn(b"100 %  completed", seen)

    def test_refusals_say_what_where_and_what_to_do(self):
        self.start_farm(1)
        code, out, err = self.hubctl("show", "hub-1-1-99")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("404 not_found", err)
        code, _, err = self.hubctl("run", "nap", "--phone", "NOBODY")
        self.assertEqual(code, 1)
        self.assertIn("unknown_phone", err)
        self.assertIn("/target/phone_id", err)
        code, out, err = self.offline("--url", "http://127.0.0.1:%d" % self.port, "ps")
        self.assertEqual((code, out), (4, ""))
        self.assertIn("--token-file", err)

    def test_text_of_phones_cannot_move_the_cursor(self):
        self.start_farm(1)
        body = hub_rig.order("nap", "evil\x1b[2J\u202e", inputs={"seconds": 0})
        process = self.client.post("/capability-requests/enqueue", body).body["process_id"]
        out = self.ok("show", process)
        self.assertNotIn("\x1b", out)
        self.assertNotIn("\u202e", out)
        self.assertIn("evil\\x1b[2J\\u{202e}", out)


class Usage(HubctlCase):
    def test_an_absent_hub_is_exit_status_4(self):
        code, out, err = self.hubctl("ps")
        self.assertEqual((code, out), (4, ""))
        self.assertIn("Connection refused", err)
        self.assertIn("HUBCTL_URL", err)
        code, _, err = self.offline("--url", "unix:" + self.path("no.sock"), "ps")
        self.assertEqual(code, 4)

    def test_wrong_usage_is_exit_status_2(self):
        wrong = (
            ([], "expected a command"),
            (["fly"], "fly: no such command"),
            (["phones", "x"], "expected nothing more"),
            (["show"], "PROCESS"),
            (["ps", "--limit", "none"], "--limit"),
            (["--url", "ftp://x", "ps"], "expected http://HOST:PORT"),
            (["--url", "https://127.0.0.1:1", "ps"], "--ca FILE"),
            (["run", "nap", "--queue", "--phone", "A"], "expected one of"),
            (["run", "nap", "--inputs", "{"], "--inputs"),
            (["run", "nap", "--input", "=1"], "KEY=VALUE"),
            (["run", "nap", "--mode", "x"], "--mode"),
            (["phones", "--fast"], "--fast"),
            (["store", "format", "x", "--board", "moon"], "--board"),
            (["--token-file", self.path("none"), "ps"], "cannot read the token file"),
        )
        for arguments, said in wrong:
            with self.subTest(arguments=arguments):
                code, out, err = self.offline(*arguments)
                self.assertEqual((code, out), (2, ""), err)
                self.assertIn(said, err)

    def test_every_command_has_its_help(self):
        code, out, _ = self.offline("--help")
        self.assertEqual(code, 0)
        commands = [line[2:16].strip() for line in
                    out.split("commands:\n")[1].split("\n\n")[0].splitlines()]
        self.assertGreater(len(commands), 12)
        for command in commands:
            code, text, _ = self.offline(*command.split(), "--help")
            self.assertEqual(code, 0)
            self.assertTrue(text.startswith("usage: hubctl " + command), text)


class Store(HubctlCase):
    def filled_store(self):
        self.start_farm(1)
        self.ok("run", "maintenance", "--phone", "SIM001")
        self.assertEqual(self.hub.stop(), 0)
        return self.path("hub.store")

    def test_a_running_hub_s_store_is_left_alone(self):
        self.start_hub()
        code, _, err = self.offline("store", "check", self.path("hub.store"))
        self.assertEqual(code, 1)
        self.assertIn("another process has it open", err)

    def test_check_stats_and_dump_write_nothing(self):
        path = self.filled_store()
        with open(path, "rb") as file:
            before = file.read()
        os.chmod(path, 0o400)
        code, out, err = self.offline("store", "check", path)
        self.assertEqual(code, 0, out + err)
        self.assertIn("good", out)
        stats = json.loads(self.offline("--json", "store", "stats", path)[1])
        self.assertEqual(stats["objects_process"], 1)
        self.assertEqual(stats["objects_phone"], 1)
        code, out, _ = self.offline("--json", "store", "dump", path)
        self.assertEqual(code, 0)
        records = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([r["seq"] for r in records], list(range(1, stats["head_seq"] + 1)))
        request = next(r for r in records if r["kind"] == "request")
        self.assertEqual(request["process_type"], "maintenance")
        code, out, _ = self.offline("store", "dump", path)
        self.assertEqual(code, 0)
        self.assertEqual(len(out.splitlines()), len(records))
        self.assertTrue(out.startswith("1: ["))
        with open(path, "rb") as file:
            self.assertEqual(file.read(), before)

    def test_check_finds_one_flipped_bit_and_says_where(self):
        path = self.filled_store()
        with open(path, "r+b") as file:
            content = file.read()
            place = content.index(b"maintenance")
            file.seek(place)
            file.write(bytes([content[place] ^ 1]))
        code, out, _ = self.offline("store", "check", path)
        self.assertEqual(code, 1)
        self.assertIn("DAMAGED", out)
        self.assertIn("block %d, offset" % (place // 131072), out)
        found = json.loads(self.offline("--json", "store", "check", path)[1])
        self.assertFalse(found["ok"])
        self.assertTrue(found["problems"])

    def damaged(self, content, change):
        """What check, stats and dump say of an image that a change was made to."""
        image = bytearray(content)
        change(image)
        path = self.path("damaged.store")
        with open(path, "wb") as file:
            file.write(image)
        check = self.offline("--json", "store", "check", path)
        stats = self.offline("--json", "store", "stats", path)
        dump = self.offline("--json", "store", "dump", path)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), image)
        return check, stats, dump

    def test_check_stats_and_dump_tell_what_is_left_of_a_damaged_store(self):
        with open(self.filled_store(), "rb") as file:
            content = file.read()
        block = json.loads(self.offline("--json", "store", "stats", self.path("hub.store"))[1])
        size = block["block_bytes"]
        records = len(self.offline("store", "dump", self.path("hub.store"))[1].splitlines())
        used = [at for at in range(0, len(content), size) if content[at:at + 4] == b"HUBD"]
        self.assertGreater(len(used), 1)  # format takes one, the hub's first commit another
        middle = content.index(b"maintenance")

        def flip_header(image):
            image[used[-1] + 8] ^= 1

        def flip_record(image):
            image[middle] ^= 0x80

        def clear_page(image):
            start = middle // 4096 * 4096
            image[start:start + 4096] = bytes(4096)

        def swap_blocks(image):
            first, last = used[0], used[-1]
            image[first:first + size], image[last:last + size] = \
                content[last:last + size], content[first:first + size]

        for change in (flip_record, clear_page):
            (code, out, _), (_, stats, _), (dump_code, dump, err) = self.damaged(content, change)
            found = json.loads(out)
            self.assertEqual(code, 1, change)
            self.assertFalse(found["ok"])
            self.assertTrue(any("block" in problem for problem in found["problems"]), found)
            stats = json.loads(stats)
            self.assertGreater(stats["rotten_frames"] + stats["lost_blocks"]
                               + stats["lost_sequences"], 0)
            self.assertEqual(dump_code, 1)
            self.assertIn("cannot be read", err)
            self.assertLess(len(dump.splitlines()), records)
        for change in (flip_header, swap_blocks):
            (code, out, err), _, (_, dump, _) = self.damaged(content, change)
            self.assertTrue(code == 0 or out + err != "", change)
            self.assertLess(len(dump.splitlines()), records)

    def test_stats_show_fill_and_wear(self):
        path = self.filled_store()
        stats = json.loads(self.offline("--json", "store", "stats", path)[1])
        self.assertEqual(sum(bar["blocks"] for bar in stats["wear"]), stats["blocks"])
        self.assertGreater(stats["amplification_percent"], 0)
        self.assertGreaterEqual(stats["erases"], stats["blocks_used"])
        out = self.offline("store", "stats", path)[1]
        self.assertIn("blocks by how often they were erased", out)
        self.assertRegex(out, r"(?m)^ +\d+ \|#+ \d+$")

    def test_a_store_cut_short_or_of_a_newer_format_is_refused(self):
        with open(self.filled_store(), "rb") as file:
            content = file.read()
        code, _, err = self.offline("store", "check", self.write("short", content[:-4096]))
        self.assertEqual(code, 1)
        self.assertIn("not one of this size", err)
        newer = bytearray(content)
        for at in range(0, len(newer), 4096):
            if newer[at:at + 4] == b"HUBD":
                newer[at + 4] = 99
                newer[at + 124:at + 128] = struct.pack(
                    "<I", store_reader.crc32c(0, bytes(newer[at:at + 124])))
        code, _, err = self.offline("store", "check", self.write("newer", bytes(newer)))
        self.assertEqual(code, 1)
        self.assertIn("a newer format", err)

    def test_format_makes_a_store_a_hub_takes_and_spares_what_is_there(self):
        path = self.path("hub.store")
        code, out, err = self.offline("store", "format", path, "--board", "linux", "--epoch", "7",
                                      "--size", "16MiB")
        self.assertEqual((code, out, err), (0, "", ""))
        self.start_farm(1)
        self.assertEqual(self.ok("run", "nap", "--input", "seconds=0").split()[0], "hub-1-7-1")
        self.hub.signal(signal.SIGTERM)
        self.assertEqual(self.hub.wait(20), 0)
        code, _, err = self.offline("store", "format", path, "--board", "linux")
        self.assertEqual(code, 1)
        self.assertIn("left as it is", err)
        self.assertEqual(self.offline("store", "check", path)[0], 0)

    def test_grow_makes_a_store_larger_and_keeps_what_it_holds(self):
        path = self.filled_store()
        old, new = 16 << 20, 24 << 20
        for size in ("8MiB", "16777217", "65MiB", "16MiB"):
            code, _, err = self.offline("store", "grow", path, "--size", size, "--board", "linux")
            self.assertEqual(code, 0 if size == "16MiB" else 2, err)
            self.assertEqual(os.path.getsize(path), old)
        code, _, err = self.offline("store", "grow", path)
        self.assertEqual(code, 2)
        self.assertIn("--size", err)
        with open(path, "ab") as file:
            file.write(b"\xff" * 5000)  # as one that was cut short
        code, _, err = self.offline("store", "check", path)
        self.assertEqual(code, 1)
        self.assertIn("store grow", err)
        code, out, err = self.offline("store", "grow", path, "--size", "24MiB")
        self.assertEqual(code, 0, err)
        self.assertIn("size = %d" % new, out)
        self.assertEqual(os.path.getsize(path), new)
        self.assertEqual(self.offline("store", "check", path)[0], 0)
        self.start_hub(size="24MiB")
        code, _, err = self.offline("store", "grow", path, "--size", "32MiB")
        self.assertEqual(code, 1)
        self.assertIn("another process has it open", err)
        self.assertIn("maintenance", self.ok("ps"))
        self.submit("nap")
        self.assertEqual(self.hub.stop(), 0)
        self.assertEqual(self.offline("store", "check", path)[0], 0)

    def test_what_is_no_store_is_refused(self):
        for name, content in (("empty", b""), ("noise", os.urandom(1 << 20)), ("zero", bytes(1 << 20))):
            code, _, err = self.offline("store", "check", self.write(name, content))
            self.assertEqual(code, 1)
            self.assertIn("holds no store", err)
        code, _, err = self.offline("store", "check", self.path("absent"))
        self.assertEqual(code, 1)
        self.assertIn("No such file", err)
