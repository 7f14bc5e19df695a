"""`hubctl lease`: an ordinary process that holds a phone for a command of this machine."""

import json
import os
import re
import signal
import socket
import time
import unittest

import adb_rig
import rig


class Lease(adb_rig.LeaseCase):
    def setUp(self):
        super().setUp()
        with open(os.path.join(rig.ROOT, "capabilities", "lease.ini"), encoding="utf-8") as file:
            self.write("capabilities/lease.ini", file.read().replace(
                "lease_seconds = 30", "lease_seconds = 3"))
        self.write("tokens", "all submit,read,worker,operate %s\n" % adb_rig.hub_rig.SECRET)
        os.chmod(self.token_file, 0o600)
        self.start_farm(2)

    def arguments(self, *more):
        return ("hubctl", "--url", "http://127.0.0.1:%d" % self.port, "--token-file",
                self.token_file, "lease", *more)

    def run_lease(self, *more, seconds=60):
        status, out, err = self.run_program(*self.arguments(*more), seconds=seconds)
        return status, out.decode(), err.decode()

    def start_lease(self, *more):
        return self.start(*self.arguments(*more))

    def lease_processes(self):
        body = self.client.get("/processes?type=lease&limit=50").body
        return body["processes"]

    def wait_free(self, *serials):
        self.wait_phones(*serials, state="ready")

    def test_a_command_finds_its_phone_and_gives_its_exit_status(self):
        status, out, _ = self.run_lease("--phone", "SIM002", "--", "sh", "-c",
                                        "adb shell getprop ro.serialno; echo $ANDROID_SERIAL; exit 7")
        self.assertEqual((7, "SIM002\nSIM002\n"), (status, out))
        self.wait_free("SIM002")
        process = self.lease_processes()[0]
        self.assertEqual("failed_terminal", process["status"])
        self.assertEqual((0, "fine\n"), self.run_lease("--", "echo", "fine")[:2])
        self.assertEqual("completed", self.lease_processes()[0]["status"])

    def test_labels_choose_the_phone(self):
        for serial, labels in (("SIM001", ["lab-a"]), ("SIM002", ["lab-a", "pixel"])):
            answer = self.client.post("/phones/%s/label" % serial, {"labels": labels})
            self.assertEqual(200, answer.status, answer)
        for _ in range(3):
            self.assertEqual((0, "SIM002\n"), self.run_lease("--label", "lab-a,pixel", "--", "adb",
                                                             "get-serialno")[:2])
        first = self.start_lease("--label", "lab-a", "--", "sh", "-c",
                                 "adb get-serialno; exec sleep 600")
        second = self.start_lease("--label", "lab-a", "--", "sh", "-c",
                                  "adb get-serialno; exec sleep 600")
        self.assertEqual({"SIM001", "SIM002"}, {first.wait_for("SIM00", 30).strip(),
                                                second.wait_for("SIM00", 30).strip()})
        status, _, err = self.run_lease("--label", "pixel", "--wait", "1", "--", "true")
        self.assertEqual((1, True), (status, "no phone was free in 1 s" in err))
        status, _, err = self.run_lease("--label", "nowhere", "--wait", "1", "--", "true")
        self.assertNotEqual(0, status)
        first.signal(signal.SIGTERM)
        second.signal(signal.SIGTERM)

    def test_gives_the_phone_back_whatever_ends_it(self):
        # No child of the shell: one that ends well would have it go on in spite of the signal.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            lease = self.start_lease("--phone", "SIM001", "--", "sh", "-c",
                                     "echo $ANDROID_SERIAL; exec sleep 600")
            lease.wait_for("SIM001", 30)
            began = time.monotonic()
            lease.signal(number)
            self.assertEqual(128 + number, lease.wait())
            self.wait_phones("SIM001", state="ready", seconds=10)
            self.assertLess(time.monotonic() - began, 10 * rig.SLOW)

    def test_a_command_that_is_not_there_is_said(self):
        status, _, err = self.run_lease("--", "/no/such/program")
        self.assertEqual(127, status)
        self.assertIn("cannot be run", err)
        self.wait_free("SIM001", "SIM002")

    def test_renews_longer_than_the_lease_time(self):
        status, out, err = self.run_lease("--phone", "SIM001", "--", "sh", "-c",
                                          "sleep 8; adb shell echo still mine")
        self.assertEqual((0, "still mine\n"), (status, out), err)

    def test_waits_for_its_turn(self):
        first = self.start_lease("--phone", "SIM001", "--", "sh", "-c", "echo has; exec sleep 600")
        first.wait_for("has", 30)
        second = self.start_lease("--phone", "SIM001", "--", "echo", "now mine")
        second.wait_for("waiting for a phone", 30)
        first.signal(signal.SIGTERM)
        second.wait_for("now mine", 30)
        self.assertEqual(0, second.wait())
        self.assertEqual(128 + signal.SIGTERM, first.wait())

    def test_two_at_once_get_two_phones(self):
        one = self.start_lease("--", "sh", "-c", "adb get-serialno; exec sleep 600")
        two = self.start_lease("--", "sh", "-c", "adb get-serialno; exec sleep 600")
        serials = {one.wait_for("SIM00", 30).strip(), two.wait_for("SIM00", 30).strip()}
        self.assertEqual({"SIM001", "SIM002"}, serials)

    def test_gives_up_waiting(self):
        self.hold("SIM001")
        began = time.monotonic()
        status, _, err = self.run_lease("--phone", "SIM001", "--wait", "1", "--", "true")
        self.assertEqual((1, True), (status, "no phone was free in 1 s" in err))
        self.assertLess(time.monotonic() - began, 15 * rig.SLOW)
        rig.wait_until(lambda: self.lease_processes()[0]["status"] == "cancelled", 10, "cancelled")

    def test_ends_after_its_ttl(self):
        status, _, err = self.run_lease("--phone", "SIM001", "--ttl", "1", "--", "sleep", "600")
        self.assertEqual((128 + signal.SIGTERM, True), (status, "--ttl are over" in err))
        self.wait_free("SIM001")

    def test_a_cancel_ends_the_command_and_its_streams(self):
        lease = self.start_lease("--phone", "SIM001", "--", "adb", "shell", "sleep 600")
        rig.wait_until(lambda: self.lease_processes() and
                       self.lease_processes()[0]["status"] == "executing", 20, "it runs")
        self.client.post("/processes/%s/cancel" % self.lease_processes()[0]["process_id"], {})
        self.assertEqual(3, lease.wait(30))
        self.wait_free("SIM001")

    def test_a_killed_hubctl_loses_the_phone_when_its_lease_expires(self):
        lease = self.start_lease("--phone", "SIM001", "--", "sh", "-c", "echo has; exec sleep 600")
        lease.wait_for("has", 30)
        lease.signal(signal.SIGKILL)
        lease.wait()
        self.wait_phones("SIM001", state="ready", seconds=30)

    def test_without_a_command_prints_the_socket_and_holds(self):
        lease = self.start_lease("--phone", "SIM001")
        line = lease.wait_for("export ADB_SERVER_SOCKET=", 30)
        found = re.search(r"ADB_SERVER_SOCKET=(localfilesystem:\S+) ANDROID_SERIAL=SIM001", line)
        path = found.group(1)
        self.assertEqual("SIM001\tdevice\n\n", self.assert_adb(path, "devices").split("\n", 1)[1])
        lease.signal(signal.SIGINT)
        self.assertEqual(0, lease.wait())
        rig.wait_until(lambda: not os.path.exists(path.removeprefix("localfilesystem:")), 10,
                       "the socket is gone")

    def test_json_for_machines(self):
        lease = self.start(*self.arguments("--phone", "SIM001", "--json"))
        body = json.loads(lease.wait_for("{", 30))
        self.assertEqual("SIM001", body["android_serial"])
        self.assertTrue(body["adb_server_socket"].startswith("localfilesystem:/"))

    def test_survives_a_restart_of_hubd(self):
        lease = self.start_lease("--phone", "SIM001", "--", "sh", "-c",
                                 "adb shell echo before; sleep 6; adb wait-for-device shell echo after")
        lease.wait_for("before", 30)
        self.hub.signal(signal.SIGKILL)
        self.hub.wait()
        self.restart_hub()
        lease.wait_for("after", 60)
        self.assertEqual(0, lease.wait())

    def test_another_workers_lease_opens_nothing(self):
        lease = self.start(*self.arguments("--phone", "SIM001", "--json"))
        body = json.loads(lease.wait_for("{", 30))
        for worker in ({}, {"worker": "another"}):
            answer = self.client.post("/phones/SIM001/adb", dict(
                worker, lease_token=body["lease_token"]))
            self.assertEqual(409, answer.status)

    def test_wrong_options_are_refused(self):
        for wrong in (("--ttl", "x"), ("--wait", "-1"), ("--phone", "A", "--label", "b")):
            self.assertEqual(2, self.run_lease(*wrong, "--", "true")[0], wrong)
        status, _, err = self.run_lease("--phone", "NOBODY", "--", "true")
        self.assertEqual((1, True), (status, "422" in err))


if __name__ == "__main__":
    unittest.main()
