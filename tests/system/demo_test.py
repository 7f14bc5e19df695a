"""What `make run` runs: the demo, once."""

import glob
import os
import subprocess
import tempfile

import rig


class Demo(rig.Case):
    limit_seconds = 120

    def run_demo(self, **changes):
        env = dict(os.environ, ONCE="1", TMPDIR=self.scratch, **changes)
        done = subprocess.run(
            ["bash", os.path.join(rig.ROOT, "scripts", "demo.sh")], env=env, cwd=self.scratch,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=100 * rig.SLOW, check=False)
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def test_once_completes_in_both_places_and_leaves_nothing(self):
        code, out = self.run_demo()
        self.assertEqual(code, 0, out)
        self.assertIn("SIM003", out)
        self.assertIn("demo-hub-1-1 completed", out)
        self.assertIn("kill -9", out)
        self.assertIn("host_restarted", out)
        self.assertIn("demo-hub-1-2 completed", out)
        self.assertRegex(out, r"up-1-1 completed")  # hubctl run, against the upstream
        self.assertRegex(out, r"(?m)^up-1-1\.1 ")  # the hub's list
        self.assertIn("done: all requests completed on the hub and on the upstream", out)
        self.assertEqual(os.listdir(self.scratch), [], "the scratch directory stays behind")
        self.assertEqual(self.running_in(self.scratch), [])

    def running_in(self, folder):
        """Processes whose command line names the folder."""
        found = []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as file:
                    line = file.read()
            except OSError:
                continue
            if folder.encode() in line:
                found.append(line)
        return found

    def test_a_failure_shows_the_logs_and_is_not_status_0(self):
        with tempfile.TemporaryDirectory(dir=self.scratch) as tools:
            openssl = os.path.join(tools, "openssl")
            with open(openssl, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\nexit 1\n")
            os.chmod(openssl, 0o755)
            code, out = self.run_demo(PATH=tools + ":" + os.environ["PATH"])
        self.assertEqual(code, 1)
        self.assertIn("demo: no certificates", out)
