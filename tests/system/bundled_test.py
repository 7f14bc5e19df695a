"""The capabilities that come with hubd, each run once against an emulated phone."""

import os
import unittest

import container_test
import rig

BUNDLED = ("bugreport", "exec", "flash", "install", "lease", "maintenance", "provision", "reboot",
           "run-instrumentation", "screenshot", "shell")


class Bundled(container_test.ContainerCase):
    def setUp(self):
        super().setUp()
        for name in BUNDLED:
            with open(os.path.join(rig.ROOT, "capabilities", name + ".ini"),
                      encoding="utf-8") as file:
                self.write("capabilities/%s.ini" % name, file.read())
        os.makedirs(self.path("apks"))
        os.chmod(self.path("apks"), 0o755)
        self.apk = self.write("apks/app.apk", b"PK" + bytes(70000))
        os.chmod(self.apk, 0o644)
        self.start_farm(1, containers="readable = %s\n[artifacts]\ndir = %s\n" % (
            self.path("apks"), self.path("artifacts")))

    def run_one(self, capability, **inputs):
        return self.wait_end(self.submit(capability, phone="SIM001", inputs=inputs), 60)

    def assert_done(self, process):
        self.assertEqual("completed", process["status"], process)
        return process

    def test_every_file_is_loaded(self):
        there = {one["name"] for one in self.client.get("/capabilities").body["capabilities"]}
        self.assertEqual(set(), set(BUNDLED) - there)
        shipped = {name[:-4] for name in os.listdir(os.path.join(rig.ROOT, "capabilities"))
                   if name.endswith(".ini")}
        self.assertEqual(set(BUNDLED), shipped)

    def test_shell_runs_a_line_and_judges_its_status(self):
        self.assert_done(self.run_one("shell", command="true && echo 'it is done'"))
        error = self.run_one("shell", command="echo a; exit 9")["error"]
        self.assertEqual(("exit_code", "exit_9"), (error["category"], error["code"]))

    def test_install_takes_a_file_of_a_readable_folder_only(self):
        self.assert_done(self.run_one("install", apk=self.apk))
        self.assertEqual("failed_terminal", self.run_one("install", apk=self.token_file)["status"])
        self.assertEqual("failed_terminal", self.run_one("install", apk="--help")["status"])

    def test_run_instrumentation_fails_when_a_test_does(self):
        error = self.run_one("run-instrumentation", component="com.nobody/.Runner")["error"]
        self.assertEqual("reported_failure", error["code"])
        self.assert_done(self.run_one("install", apk=self.apk))
        self.assert_done(self.run_one("run-instrumentation",
                                      component="com.example.installed/.Runner"))

    def test_a_screenshot_is_a_picture_and_a_bugreport_an_archive(self):
        picture = self.read_artifact(self.assert_done(self.run_one("screenshot")))
        self.assertTrue(picture.startswith(b"\x89PNG\r\n\x1a\n") and picture.endswith(b"\xaeB`\x82"))
        report = self.read_artifact(self.assert_done(self.run_one("bugreport")))
        self.assertTrue(report.startswith(b"PK"))

    def read_artifact(self, process):
        found = []
        for folder, _, names in os.walk(self.path("artifacts")):
            found += [os.path.join(folder, name) for name in names
                      if process["process_id"] in name]
        self.assertEqual(1, len(found), os.listdir(self.path("artifacts")))
        with open(found[0], "rb") as file:
            return file.read()

    def test_reboot_keeps_the_phone_until_it_is_back(self):
        self.assert_done(self.run_one("reboot"))
        self.assert_done(self.run_one("shell", command="true"))

    def test_provision_removes_packages_and_files(self):
        self.assert_done(self.run_one("install", apk=self.apk))
        self.assert_done(self.run_one("shell", command="echo x > /sdcard/Download/left"))
        self.assert_done(self.run_one("provision"))
        self.assertEqual("failed_terminal",
                         self.run_one("shell", command="ls /sdcard/Download/left")["status"])
        error = self.run_one("run-instrumentation", component="com.example.installed/.R")["error"]
        self.assertEqual("reported_failure", error["code"])


if __name__ == "__main__":
    unittest.main()
