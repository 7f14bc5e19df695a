"""Who on this machine may use a lease: users at its Unix socket, its TCP port, its forwards."""

import contextlib
import os
import re
import signal
import socket
import unittest

import adb_rig
import rig

MINE, OTHER = 61001, 61002  # users without a name; only root can be them
WRONG = "this phone is leased to another user of this machine"

def connect(kind, where):
    if kind == "unix":
        peer = socket.socket(socket.AF_UNIX)
    else:
        peer = socket.socket(socket.AF_INET6 if kind == "mapped" else socket.AF_INET)
        where = ("::ffff:127.0.0.1" if kind == "mapped" else "127.0.0.1", int(where))
    peer.connect(where)
    peer.settimeout(20)
    return peer


def ask(kind, where, request):
    """What is answered at an address, or why nothing is."""
    try:
        with connect(kind, where) as peer:
            peer.sendall(request.encode())
            said = peer.recv(4096)
            peer.settimeout(1 if said.startswith(b"there") else 20)  # an echo has no end
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while part := peer.recv(4096):
                    said += part
            return "got " + said.decode()
    except OSError as error:
        return "error " + type(error).__name__


class As:
    """A process of another user that runs `work`, says what it gave, and stays until the end."""

    def __init__(self, user, work, *arguments):
        self.said, saying = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
                self.gave = work(*arguments)
                os.write(saying, str(self.gave).encode())
                signal.pause()
            finally:
                os._exit(1)
        os.close(saying)

    def __enter__(self):
        return os.read(self.said, 1000).decode()

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.said)


@unittest.skipUnless(os.geteuid() == 0, "only root can be other users")
class UserCase(adb_rig.LeaseCase):
    def setUp(self):
        super().setUp()
        os.chmod(self.scratch, 0o711)

    def ask(self, user, kind, where, request="000chost:version"):
        """What this user is told there."""
        with As(user, ask, kind, where, request) as told:
            return told

    def open_for(self, serial, token, **wishes):
        answer = self.client.post("/phones/%s/adb" % serial, dict(wishes, lease_token=token))
        self.assertEqual(200, answer.status, answer)
        body = answer.body
        port = body.get("adb_server_tcp", ":0").rsplit(":", 1)[1]
        return body["adb_server_socket"].removeprefix("localfilesystem:"), int(port)

    def assert_served(self, *where):
        self.assertEqual("got OKAY00040029", self.ask(*where))

    def assert_refused(self, *where):
        self.assertEqual("got FAIL%04x%s" % (len(WRONG), WRONG), self.ask(*where))


class Sockets(UserCase):
    def test_a_lease_that_names_a_user_serves_no_other(self):
        self.start_farm(1)
        path, _ = self.open_for("SIM001", self.hold("SIM001")[1], user=MINE)
        self.assert_served(MINE, "unix", path)
        self.assert_served(0, "unix", path)
        self.assert_refused(OTHER, "unix", path)
        request = "host:transport:SIM001"
        self.assertIn("FAIL", self.ask(OTHER, "unix", path, "%04x%s" % (len(request), request)))
        self.assertIn("adb_user_refused phone=SIM001 user=%d" % OTHER, self.hub.output())

    def test_without_a_rule_the_files_mode_decides(self):
        self.start_farm(1)
        path, _ = self.open_for("SIM001", self.hold("SIM001")[1])
        self.assertEqual("error PermissionError", self.ask(MINE, "unix", path))
        self.assert_served(0, "unix", path)

    def test_the_configuration_names_users_for_all_leases(self):
        self.start_farm(2, adb="users = %d\n" % MINE)
        path, _ = self.open_for("SIM001", self.hold("SIM001")[1])
        self.assert_served(MINE, "unix", path)
        self.assert_refused(OTHER, "unix", path)
        token = self.hold("SIM002")[1]
        answer = self.client.post("/phones/SIM002/adb", {"lease_token": token, "user": OTHER})
        self.assertEqual((403, "forbidden"), (answer.status, answer.body["error"]["code"]))
        self.open_for("SIM002", token, user=MINE)

    def test_two_users_with_two_leases_reach_only_their_own(self):
        self.start_farm(2)
        mine, _ = self.open_for("SIM001", self.hold("SIM001")[1], user=MINE)
        others, _ = self.open_for("SIM002", self.hold("SIM002")[1], user=OTHER)
        self.assert_served(MINE, "unix", mine)
        self.assert_served(OTHER, "unix", others)
        self.assert_refused(MINE, "unix", others)
        self.assert_refused(OTHER, "unix", mine)
        guesses = {os.path.dirname(mine) + "/" + name for name in (
            "0" * 24, os.path.basename(mine)[::-1], ".secret", ".wishes", "")}
        for guess in guesses:
            self.assertRegex(self.ask(OTHER, "unix", guess), "^error ", guess)

    def test_refused_users_do_not_fill_the_table(self):
        self.start_farm(1)
        path, _ = self.open_for("SIM001", self.hold("SIM001")[1], user=MINE)
        with As(OTHER, lambda: len([connect("unix", path) for _ in range(300)])) as held:
            self.assertEqual("300", held)
            self.assert_served(MINE, "unix", path)

    def test_the_user_outlives_a_restart_of_hubd(self):
        self.write("tokens", "all submit,read,worker,operate %s\n" % adb_rig.hub_rig.SECRET)
        os.chmod(self.token_file, 0o600)
        self.write("capabilities/lease.ini", open(os.path.join(
            rig.ROOT, "capabilities", "lease.ini"), encoding="utf-8").read())
        self.start_farm(1, adb="tcp = on\n")
        lease = self.start("hubctl", "--url", "http://127.0.0.1:%d" % self.port, "--token-file",
                           self.token_file, "lease", "--phone", "SIM001", "--user", MINE)
        found = re.search(r"localfilesystem:(\S+)", lease.wait_for("export", 30))
        path = found.group(1)
        self.assert_refused(OTHER, "unix", path)
        self.hub.signal(9)
        self.hub.wait()
        self.restart_hub()
        self.wait_phones("SIM001", state="leased")
        self.assert_served(MINE, "unix", path)
        self.assert_refused(OTHER, "unix", path)


class Ports(UserCase):
    def test_there_is_no_tcp_port_unless_the_hub_allows_it_and_the_lease_asks(self):
        self.start_farm(1)
        token = self.hold("SIM001")[1]
        answer = self.client.post("/phones/SIM001/adb", {"lease_token": token, "tcp": True})
        self.assertEqual((403, "forbidden"), (answer.status, answer.body["error"]["code"]))
        self.assertEqual(0, self.open_for("SIM001", token)[1])

    def test_a_port_serves_the_leases_user_and_no_other(self):
        self.start_farm(1, adb="tcp = on\n")
        token = self.hold("SIM001")[1]
        self.assertEqual(0, self.open_for("SIM001", token)[1])
        _, port = self.open_for("SIM001", token, user=MINE, tcp=True)
        for kind in ("inet", "mapped"):  # Java's sockets are of the second kind
            self.assert_served(MINE, kind, port)
            self.assert_served(0, kind, port)
            self.assert_refused(OTHER, kind, port)
        self.assertEqual(port, self.open_for("SIM001", token)[1])  # it keeps it
        environment = dict(self.env(""), ANDROID_ADB_SERVER_PORT=str(port))
        del environment["ADB_SERVER_SOCKET"]
        status, out, _ = self.run_program(adb_rig.ADB, "shell", "echo by tcp", env=environment)
        self.assertEqual((0, b"by tcp\n"), (status, out))
        self.assertEqual((0, b"by option\n"), self.run_program(
            adb_rig.ADB, "-H", "127.0.0.1", "-P", port, "shell", "echo by option",
            env=self.env(""))[:2])

    def test_without_a_named_user_a_port_is_for_nobody_but_root_and_the_hub(self):
        self.start_farm(1, adb="tcp = on\n")
        _, port = self.open_for("SIM001", self.hold("SIM001")[1], tcp=True)
        self.assert_served(0, "inet", port)
        self.assert_refused(MINE, "inet", port)

    def test_a_port_is_on_loopback_only_and_ends_with_its_lease(self):
        self.start_farm(1, adb="tcp = on\n")
        process, token = self.hold("SIM001")
        _, port = self.open_for("SIM001", token, tcp=True)
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = [line.split() for line in table if ":%04X 00000000:0000 0A" % port in line]
        self.assertEqual(["0100007F:%04X" % port], [row[1] for row in rows])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
            self.client.post("/processes/%s/cancel" % process, {})
            self.wait_end(process)
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(b"", peer.recv(1))
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)

    def test_a_forwarded_port_is_for_the_leases_user(self):
        self.start_farm(1)
        path, _ = self.open_for("SIM001", self.hold("SIM001")[1], user=MINE)
        port = self.assert_adb("localfilesystem:" + path, "forward", "tcp:0",
                               "localabstract:echo").strip()
        for kind in ("inet", "mapped"):
            self.assertEqual("got there and back", self.ask(MINE, kind, port, "there and back"))
            self.assertIn(self.ask(OTHER, kind, port, "there and back"),
                          ("got ", "error ConnectionResetError", "error BrokenPipeError"))

    def test_a_reverse_leads_to_no_others_port(self):
        self.start_farm(2, adb="tcp = on\n")
        _, port = self.open_for("SIM002", self.hold("SIM002")[1], tcp=True)
        first = "localfilesystem:" + self.open_for("SIM001", self.hold("SIM001")[1])[0]
        self.assert_adb(first, "reverse", "tcp:6100", "tcp:%d" % port)
        status, _, err = self.adb(first, "shell", "dial 6100 000chost:version")
        self.assertEqual((1, True), (status, "refused by the host" in err))

    def test_ports_off_refuses_forwards_and_reverses_with_the_reason(self):
        self.start_farm(1, adb="ports = off\n")
        path = "localfilesystem:" + self.open_for("SIM001", self.hold("SIM001")[1])[0]
        status, _, err = self.adb(path, "forward", "tcp:0", "localabstract:echo")
        self.assertEqual((1, True), (status, "configuration allows no ports" in err), err)
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(0.3)
            self.assert_adb(path, "reverse", "tcp:6100", "tcp:%d" % server.getsockname()[1])
            status, _, err = self.adb(path, "shell", "dial 6100 hello")
            self.assertEqual((1, True), (status, "refused by the host" in err))
            with self.assertRaises(TimeoutError):
                server.accept()

    def test_hubctl_gives_a_port_to_programs_that_know_no_socket(self):
        self.write("tokens", "all submit,read,worker,operate %s\n" % adb_rig.hub_rig.SECRET)
        os.chmod(self.token_file, 0o600)
        self.write("capabilities/lease.ini", open(os.path.join(
            rig.ROOT, "capabilities", "lease.ini"), encoding="utf-8").read())
        self.start_farm(1, adb="tcp = on\n")
        status, out, err = self.run_program(
            "hubctl", "--url", "http://127.0.0.1:%d" % self.port, "--token-file", self.token_file,
            "lease", "--phone", "SIM001", "--tcp", "--", "sh", "-c",
            "echo $ADB_SERVER_SOCKET; adb shell echo one; unset ADB_SERVER_SOCKET;"
            "adb shell echo two", seconds=60)
        self.assertEqual(0, status, err)
        self.assertRegex(out.decode(), r"^tcp:127\.0\.0\.1:\d+\none\ntwo\n$")


if __name__ == "__main__":
    unittest.main()
