"""A Debian 12 with systemd as its first process, in namespaces of this machine, from a folder that
debootstrap made. No network but its own loopback."""

import os
import shutil
import subprocess
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
# What the packages depend on and what systemd needs; the packages themselves come later.
INCLUDED = ("systemd,dbus,udev,adduser,bubblewrap,libinih1,libmbedtls14,libmbedx509-1,"
            "libmbedcrypto7,libserialport0,libusb-1.0-0,libsqlite3-0,libpq5,iproute2,openssl,"
            "sqlite3")
TRIES = 3
# On a disk each of dpkg's thousand syncs would be waited for.
IN_MEMORY = """mkdir "$0/memory"; mount -t tmpfs tmpfs "$0/memory"
debootstrap --variant=minbase --cache-dir="$1" --include="$2" bookworm "$0/memory/base" "$3"
mv "$0"/memory/base/* "$0"; umount "$0/memory"; rmdir "$0/memory"
"""
AWAY = ("Failed getting release file", "Couldn't download", "Unable to resolve")


def archive():
    """The archive of this machine's own sources."""
    text = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)"],
                          check=True, capture_output=True, text=True).stdout
    for line in text.splitlines():
        site, _, codename = line.partition(" ")
        if codename == "bookworm" and "security" not in site:
            return site
    raise SystemExit("no source of bookworm is configured")


def make_base(folder):
    """Made once for each list of packages; what was fetched is kept. An archive that is not to be
    reached, several times in a row, is a failure like any other: nothing was tested then."""
    folder = "%s-%08x" % (folder, zlib.crc32(INCLUDED.encode()))
    new, cache, path = folder + ".new", os.path.dirname(folder) + "/cache", folder + ".log"
    os.makedirs(cache, exist_ok=True)
    for left in reversed(range(0 if os.path.isdir(folder) else TRIES)):
        shutil.rmtree(new, ignore_errors=True)
        os.makedirs(new)
        with open(path, "wb") as log:
            done = subprocess.run(["unshare", "--mount", "bash", "-ec", IN_MEMORY, new,
                                   os.path.abspath(cache), INCLUDED, archive()],
                                  stdout=log, stderr=log)
        if done.returncode == 0:
            os.rename(new, folder)
            break
        with open(path, encoding="utf-8", errors="replace") as log:
            is_away = any(words in log.read() for words in AWAY)
        if not is_away or left == 0:
            raise SystemExit("package: nothing was installed: %s: see %s" % (
                "the archive cannot be reached" if is_away else "debootstrap failed", path))
    return folder


class Machine:
    def __init__(self, base, work):
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work + "/debs")
        self.work = work
        self.unshare = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--cgroup",
             "--net", "--propagation", "private", "bash", HERE + "/machine.sh", base, work],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = None
        self.wait_until(self.is_up, 60, "systemd is up")

    def is_up(self):
        path = "/proc/%d/task/%d/children" % (self.unshare.pid, self.unshare.pid)
        with open(path, encoding="ascii") as file:
            children = file.read().split()
        if not children:
            return False
        self.pid = int(children[0])
        state = self.run("systemctl", "is-system-running", check=False)
        return state.strip() in ("running", "degraded")

    def wait_until(self, condition, seconds, what):
        deadline = time.monotonic() + seconds * 4  # busy machines
        while not (value := condition()):
            if self.unshare.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("not seen: " + what)
            time.sleep(0.1)
        return value

    def run(self, *words, check=True, status=None):
        """Runs it inside; gives what it said, and raises when its exit status is another."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", "-n", "-C", "env", "-i",
             "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C",
             *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=600)
        expected = status if status is not None else 0
        if (check or status is not None) and done.returncode != expected:
            raise AssertionError("%s: exit status %d, not %d:\n%s" % (
                " ".join(words), done.returncode, expected, done.stdout[-4000:]))
        return done.stdout

    def shell(self, text, **more):
        return self.run("/bin/sh", "-ec", text, **more)

    def close(self):
        if self.pid:
            subprocess.run(["kill", "-KILL", str(self.pid)], check=False)
        self.unshare.kill()
        self.unshare.wait()
