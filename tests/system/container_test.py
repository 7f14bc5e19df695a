"""Run containers: what a program gets, how it ends, and a suite of attempts to get out."""

import os
import re
import signal
import socket
import time
import unittest

import adb_rig
import rig

BOMB = """[capability]
name = exec-short
attempts = 1
retry_on = none
[action.program]
type = exec
command = /bin/sh -c ${script}
timeout_seconds = 2
"""


class ContainerCase(adb_rig.LeaseCase):
    def setUp(self):
        super().setUp()
        os.chmod(self.scratch, 0o711)  # a container's user must reach its socket
        for name in ("exec",):
            with open(os.path.join(rig.ROOT, "capabilities", name + ".ini"),
                      encoding="utf-8") as file:
                self.write("capabilities/%s.ini" % name, file.read())
        self.write("capabilities/exec-short.ini", BOMB)
        self.secret_path = self.write("secret", "top secret\n")

    def config_text(self, phones=(), **changes):
        return super().config_text(phones, **changes) + (
            "[containers]\nprocesses = 64\nmemory = 2GiB\nscratch = 8MiB\nlargest_file = 4MiB\n"
            "open_files = 128\n" + changes.get("containers", ""))

    def begin(self, script, capability="exec", phone="SIM001"):
        return self.submit(capability, phone=phone, inputs={"script": script})

    def run_script(self, script, seconds=40, **more):
        """The ended process of a script."""
        return self.wait_end(self.begin(script, **more), seconds)

    def output_of(self, script, **more):
        process = self.run_script(script, **more)
        return self.output_in(process), process

    def output_in(self, process):
        item = process["process_id"] + ".1"
        text = [event for event in self.events(process["process_id"])
                if event["payload"] and "output" in event["payload"]]
        return text[-1]["payload"]["output"] if text else process.get("error", {}).get(
            "output_tail", "") or item


class OneProgram(ContainerCase):
    def setUp(self):
        super().setUp()
        self.start_farm(1)

    def test_reaches_its_phone_by_adb_and_by_the_usual_port(self):
        script = ("set -e; test \"$(adb shell getprop ro.serialno)\" = SIM001; "
                  "test \"$(adb get-serialno)\" = \"$ANDROID_SERIAL\"; "
                  "unset ADB_SERVER_SOCKET; "
                  "test \"$(adb -P 5037 shell echo port)\" = port; "
                  "echo content > f; adb push f /sdcard/f; adb pull /sdcard/f g; cmp f g; "
                  "p=$(adb forward tcp:0 localabstract:echo); adb forward --list | grep -q $p")
        self.assertEqual("completed", self.run_script(script)["status"])

    def test_an_exit_status_is_a_failure_with_its_number(self):
        error = self.run_script("echo why >&2; exit 7")["error"]
        self.assertEqual(("exit_code", "exit_7", 7),
                         (error["category"], error["code"], error["exit_code"]))
        self.assertIn("why", error["message"])

    def test_a_signal_is_a_failure_with_its_number(self):
        error = self.run_script("kill -SEGV $$")["error"]
        self.assertEqual(("exit_code", "signal_11"), (error["category"], error["code"]))

    def test_a_time_limit_kills_it(self):
        error = self.run_script("sleep 1000", capability="exec-short")["error"]
        self.assertEqual(("timeout", "action_timeout"), (error["category"], error["code"]))
        self.assert_no_process("sleep 1000")

    def test_the_last_output_is_kept(self):
        error = self.run_script("seq 1 200000; exit 1")["error"]
        self.assertTrue(error["output_tail"].endswith("199999\n200000\n"), error)

    def test_an_input_stays_one_word(self):
        process = self.run_script("test $# -eq 0 && echo \"it's $HOME; `echo fine`\"")
        self.assertEqual("completed", process["status"])
        missing = self.wait_end(self.submit("exec", phone="SIM001", inputs={}))
        self.assertEqual("input_missing", missing["error"]["code"])

    def process_lines(self, text):
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open("/proc/%s/cmdline" % name, "rb") as file:
                        line = file.read().replace(b"\0", b" ").decode("utf-8", "replace")
                except OSError:
                    continue
                if text in line:
                    found.append((name, line))
        return found

    def assert_no_process(self, text):
        rig.wait_until(lambda: not self.process_lines(text), 10, "no survivor of " + text)

    # A tree that does not want to die: sessions of their own, ignored signals, double forks.
    TREE = ("trap '' TERM HUP INT; for i in 1 2 3; do setsid sh -c "
            "\"trap '' TERM HUP; sleep %(mark)d; true\" & done; "
            "(setsid nohup sleep %(mark)d >/dev/null 2>&1 &); sleep %(mark)d; true")

    def start_tree(self):
        mark = 100000 + os.getpid()
        process = self.begin(self.TREE % {"mark": mark})
        text = "sleep %d" % mark
        rig.wait_until(lambda: len(self.process_lines(text)) >= 5, 20, "the tree stands")
        return process, text

    def test_a_cancel_kills_the_whole_tree(self):
        process, text = self.start_tree()
        self.client.post("/processes/%s/cancel" % process, {})
        self.wait_status(process, "cancelled")
        self.assert_no_process(text)

    def test_a_kill_of_hubd_kills_the_whole_tree(self):
        _, text = self.start_tree()
        self.hub.signal(signal.SIGKILL)
        self.hub.wait()
        self.assert_no_process(text)

    def test_the_end_of_the_program_kills_what_it_left(self):
        mark = 200000 + os.getpid()
        process = self.run_script("setsid nohup sleep %d >/dev/null 2>&1 & exit 0" % mark)
        self.assertEqual("completed", process["status"])
        self.assert_no_process("sleep %d" % mark)

    def test_a_stop_of_hubd_kills_the_whole_tree(self):
        _, text = self.start_tree()
        self.hub.signal(signal.SIGTERM)
        self.assertEqual(0, self.hub.wait())
        self.assert_no_process(text)


class WithoutContainers(ContainerCase):
    def test_exec_is_refused_with_the_reason_and_the_rest_runs(self):
        self.start_farm(1, containers="bubblewrap = /usr/bin/no-such-program\n")
        self.assertIn("capability_refused name=exec ", self.hub.output())
        self.assertIn("/usr/bin/no-such-program", self.hub.output())
        answer = self.client.post("/capability-requests/enqueue", adb_rig.hub_rig.order(
            "exec", phone="SIM001", inputs={"script": "true"}))
        self.assertEqual(422, answer.status, answer)
        process = self.client.post("/maintenance/requests", {
            "target": {"phone_id": "SIM001"}, "requested_by": {"system": "tests"}})
        self.assertEqual(202, process.status, process)
        self.assertEqual("completed", self.wait_end(process.body["process_id"])["status"])


PY = "/usr/bin/python3 -c '%s'"

# Each attempt is a script that prints OUT when it gets what it must not have.
PROBES = {
    # network
    "tcp_to_the_hub": PY % "import socket; socket.create_connection((\"127.0.0.1\", @API), 2); "
                           "print(\"OUT\")",
    "tcp_to_the_phone": PY % "import socket; socket.create_connection((\"127.0.0.1\", @PHONE), 2); "
                             "print(\"OUT\")",
    "tcp_to_the_world": PY % "import socket; socket.create_connection((\"192.0.2.1\", 80), 2); "
                             "print(\"OUT\")",
    "udp_to_the_world": PY % "import socket; s = socket.socket(2, 2); "
                             "s.sendto(b\"x\", (\"192.0.2.1\", 53)); print(\"OUT\")",
    "raw_socket": PY % "import socket; socket.socket(2, 3, 1); print(\"OUT\")",
    "packet_socket": PY % "import socket; socket.socket(17, 3, 3); print(\"OUT\")",
    "interfaces": "test \"$(ls /sys/class/net 2>/dev/null | grep -v '^lo$')\" != '' && echo OUT; "
                  "grep -qvE '^ *(lo|Inter|face)' /proc/net/dev && echo OUT",
    "abstract_socket": PY % "import socket; s = socket.socket(1); s.connect(\"\\0@ABSTRACT\"); "
                            "print(\"OUT\")",
    "listen_for_others": PY % "import socket; s = socket.socket(); s.bind((\"127.0.0.1\", @FREE)); "
                              "s.listen(); s.settimeout(3); s.accept(); print(\"OUT\")",
    # other sockets and files of the host
    "socket_of_another_lease": "test -e @ADBDIR && echo OUT; adb -L localfilesystem:@OTHER devices "
                               "2>/dev/null | grep SIM002 && echo OUT",
    "the_folder_of_sockets": "ls @ADBDIR && echo OUT",
    "unix_sockets_of_the_host": "grep -q @ADBDIR /proc/net/unix && echo OUT",
    "store": "cat @SCRATCH/hub.store >/dev/null && echo OUT",
    "tokens": "cat @SCRATCH/tokens && echo OUT",
    "secret": "cat @SECRET && echo OUT",
    "etc_shadow": "cat /etc/shadow && echo OUT",
    "home": "ls /home/* /root && echo OUT",
    "dot_dot": "cat /tmp/../../../../@SECRET && echo OUT",
    "root_of_another": "for p in /proc/[0-9]*; do test -e $p/root@SECRET && echo OUT; done; true",
    "descriptors": PY % "import os; [print(\"OUT\", f) for f in os.listdir(\"/proc/self/fd\") "
                        "if int(f) > 2 and os.path.exists(\"/proc/self/fd/\" + f)]",
    "write_to_usr": "touch /usr/bin/x && echo OUT",
    "write_to_root": "touch /x && echo OUT",
    "write_to_etc": "touch /etc/x && echo OUT",
    "write_to_dev": "touch /dev/x && echo OUT",
    "remove_the_socket": "rm -f /run/hubd/adb; test -e /run/hubd/adb || echo OUT",
    # processes
    "other_processes": "test $(ls -d /proc/[0-9]* | wc -l) -gt 8 && echo OUT; "
                       "grep -l hubd /proc/[0-9]*/comm && echo OUT",
    "kill_everything": "kill -9 -1; sleep 1; true",
    "kill_hubd": "kill -9 @HUBD && echo OUT",
    "ptrace": PY % "import ctypes; c = ctypes.CDLL(None, use_errno=True); "
                   "print(\"OUT\" if c.ptrace(16, 1, 0, 0) == 0 else \"\")",
    "process_vm_readv": PY % "import ctypes; c = ctypes.CDLL(None, use_errno=True); "
                             "print(\"OUT\" if c.syscall(310, 1, 0, 0, 0, 0, 0) >= 0 else \"\")",
    "setsid_survivor": "setsid sh -c 'sleep 77077' >/dev/null 2>&1 & true",
    "core_pattern": "echo x > /proc/sys/kernel/core_pattern && echo OUT",
    "sysrq": "echo h > /proc/sysrq-trigger && echo OUT",
    "sysctl": "echo 1 > /proc/sys/vm/drop_caches && echo OUT; "
              "echo x > /proc/sys/kernel/hostname && echo OUT",
    "oom_score": "echo -1000 > /proc/self/oom_score_adj && echo OUT",
    # privileges and namespaces
    "become_root": PY % "import os; os.setuid(0); print(\"OUT\")",
    "capabilities": "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | grep -qv "
                    "0000000000000000 && echo OUT",
    "setuid_program": "su -c id 2>/dev/null && echo OUT; "
                      "grep -q 'NoNewPrivs:.1' /proc/self/status || echo OUT",
    "mount": "mount -t tmpfs none /tmp && echo OUT",
    "remount_root": "mount -o remount,rw / && echo OUT; mount -o remount,rw,bind /usr && echo OUT",
    "umount": "umount /tmp && echo OUT; umount -l /proc && echo OUT",
    "new_user_namespace": "unshare -U true && echo OUT; unshare -Urm true && echo OUT",
    "new_namespace_by_clone": PY % "import ctypes; c = ctypes.CDLL(None, use_errno=True); "
                                   "r = c.syscall(56, 0x10000000 | 17, 0, 0, 0, 0); "
                                   "print(\"OUT\" if r > 0 else \"\"); r or __import__(\"os\")._exit(0)",
    "setns": "nsenter -t 1 -n true && echo OUT",
    "pivot_root": "/usr/sbin/pivot_root /tmp /tmp && echo OUT",
    "chroot": "/usr/sbin/chroot /tmp /usr/bin/true && echo OUT; /usr/sbin/chroot / true && echo OUT",
    "open_by_handle": PY % "import ctypes; c = ctypes.CDLL(None, use_errno=True); "
                           "print(\"OUT\" if c.syscall(304, 0, 0, 0) >= 0 or "
                           "ctypes.get_errno() != 1 else \"\")",
    "keys": PY % "import ctypes; c = ctypes.CDLL(None, use_errno=True); "
                 "print(\"OUT\" if c.syscall(248, b\"user\", b\"x\", b\"y\", 1, -4) >= 0 else \"\")",
    "bpf": PY % "import ctypes; c = ctypes.CDLL(None, use_errno=True); "
                "print(\"OUT\" if c.syscall(321, 0, 0, 0) >= 0 or ctypes.get_errno() != 1 "
                "else \"\")",
    "userfaultfd": PY % "import ctypes; c = ctypes.CDLL(None); "
                        "print(\"OUT\" if c.syscall(323, 0) >= 0 else \"\")",
    "io_uring": PY % "import ctypes; c = ctypes.CDLL(None, use_errno=True); "
                     "print(\"OUT\" if c.syscall(425, 1, 0) >= 0 or ctypes.get_errno() != 1 "
                     "else \"\")",
    "perf_events": PY % "import ctypes; c = ctypes.CDLL(None, use_errno=True); "
                        "print(\"OUT\" if c.syscall(298, 0, 0, -1, -1, 0) >= 0 or "
                        "ctypes.get_errno() != 1 else \"\")",
    "clock": "date -s 2001-01-01 2>/dev/null && echo OUT",
    "modules": PY % "import ctypes; c = ctypes.CDLL(None, use_errno=True); "
                    "print(\"OUT\" if c.syscall(313, 0, b\"\", 0) >= 0 or ctypes.get_errno() != 1 "
                    "else \"\")",
    # devices
    "block_devices": "ls /dev/[sv]d* /dev/nvme* /dev/loop* /dev/mem /dev/kmsg /dev/bus 2>/dev/null "
                     "&& echo OUT",
    "make_a_device": "mknod /tmp/d b 8 0 && echo OUT; mknod /tmp/c c 1 1 && echo OUT",
    "terminal_input": PY % "import fcntl, os; "
                           "f = os.open(\"/dev/ptmx\", 2); "
                           "fcntl.ioctl(f, 0x5412, b\"x\"); print(\"OUT\")",
    "controlling_terminal": "exec 3<>/dev/tty && echo OUT",
    # resources: each must leave the hub and the next program alive
    "fork_bomb": "python3 -c '\nimport os\nn = 0\ntry:\n    while n < 2000:\n        if os.fork() == 0:"
                 "\n            __import__(\"time\").sleep(30)\n        n += 1\nexcept OSError:\n"
                 "    pass\nprint(\"OUT\" if n > 100 else \"\")'",
    "disk_fill_tmp": "dd if=/dev/zero of=/tmp/a bs=1M count=3 2>/dev/null; "
                     "for i in 1 2 3 4 5 6; do cp /tmp/a /tmp/a$i 2>/dev/null; done; "
                     "test $(du -sk /tmp | cut -f1) -gt 9000 && echo OUT",
    "disk_fill_shm": "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=/dev/shm/a$i bs=1M count=3 "
                     "2>/dev/null; done; test $(du -sk /dev/shm | cut -f1) -gt 17000 && echo OUT",
    "large_file": "dd if=/dev/zero of=/tmp/large bs=1M count=6 2>/dev/null; "
                  "test $(stat -c %s /tmp/large) -gt 4194304 && echo OUT",
    "memory": PY % "x = bytearray(3 << 30); print(\"OUT\")",
    "memory_lock": PY % "import ctypes, mmap; c = ctypes.CDLL(None); m = mmap.mmap(-1, 1 << 20); "
                        "a = ctypes.addressof(ctypes.c_char.from_buffer(m)); "
                        "print(\"OUT\" if c.mlock(ctypes.c_void_p(a), 1 << 20) == 0 else \"\")",
    "open_files": PY % "import os; n = 0\nwhile n < 1000: os.open(\"/dev/null\", 0); n += 1\n"
                       "print(\"OUT\")",
    "flood_of_output": "timeout 3 cat /dev/zero; true",
    "raise_a_limit": "ulimit -n 4096 && echo OUT; ulimit -f unlimited && echo OUT",
    "real_time_priority": "chrt -f 50 true 2>/dev/null && echo OUT; nice -n -10 true 2>&1 | grep -q "
                          "denied || echo OUT",
    # secrets
    "environment": "env | grep -vE '^(PATH|HOME|TMPDIR|LANG|PWD|SHLVL|OLDPWD|_|ADB_SERVER_SOCKET|"
                   "ANDROID_SERIAL|HUBD_PROCESS|HUBD_ATTEMPT)=' && echo OUT",
    "environment_of_hubd": "cat /proc/1/environ | tr '\\0' '\\n' | grep CANARY && echo OUT; "
                           "env | grep CANARY && echo OUT",
}

# These get what they may have: the suite would see a way out.
CONTROLS = {
    "scratch": "echo x > /tmp/x && echo OUT",
    "shared_memory": "echo x > /dev/shm/x && echo OUT",
    "its_phone": "adb shell echo OUT",
    "its_own_network": PY % "import socket; s = socket.create_server((\"127.0.0.1\", 0)); "
                            "c = socket.create_connection(s.getsockname()); print(\"OUT\")",
    "its_own_processes": "sleep 60 & kill -9 $! && echo OUT",
    "the_system": "test -x /usr/bin/python3 && echo OUT",
}


class Escapes(ContainerCase):
    """None of these gets anything; afterwards the hub and the phone are as before."""

    def setUp(self):
        super().setUp()
        os.environ["CANARY_SECRET"] = "never seen inside"
        self.addCleanup(os.environ.pop, "CANARY_SECRET")
        self.start_farm(2)
        _, other = self.lease("SIM002")
        name = "hub-test-%d" % os.getpid()
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind("\0" + name)
        self.abstract.listen()
        self.addCleanup(self.abstract.close)
        self.places = {"@API": str(self.port), "@PHONE": str(self.ports[1]), "@ABSTRACT": name,
                       "@FREE": str(rig.free_ports()), "@ADBDIR": self.path("adb"),
                       "@OTHER": other.removeprefix("localfilesystem:"),
                       "@SCRATCH": self.scratch, "@SECRET": self.secret_path,
                       "@HUBD": str(self.hub.process.pid)}

    def filled(self, script):
        for name, value in self.places.items():
            script = script.replace(name, value)
        return script

    def test_no_attempt_gets_out(self):
        self.assertGreaterEqual(len(PROBES), 40)
        got_out, odd = [], []
        for name, script in PROBES.items():
            began = time.monotonic()
            # What a probe prints decides; `exit 3` makes its output part of the error.
            process = self.run_script(self.filled(script) + "\nexit 3", seconds=60)
            tail = (process["error"] or {}).get("output_tail") or ""
            if re.search(r"^OUT", tail, re.MULTILINE):
                got_out.append((name, tail[-300:]))
            if re.search("SyntaxError|NameError|: not found", tail):
                odd.append((name, tail))
            if process["error"]["category"] not in ("exit_code",):
                odd.append((name, process["error"]))
            if time.monotonic() - began > 20 * rig.SLOW:
                odd.append((name, "took %d s" % (time.monotonic() - began)))
            self.assertTrue(self.hub.is_running(), name)
        for name, script in CONTROLS.items():
            error = self.run_script(script + "\nexit 3")["error"]
            self.assertIn("OUT", error["output_tail"], name)
        self.assertEqual([], got_out)
        self.assertEqual([], odd)
        print("container: %d probes, none got out" % len(PROBES))
        self.assertEqual("completed", self.run_script("adb shell echo alive")["status"])


if __name__ == "__main__":
    unittest.main()
