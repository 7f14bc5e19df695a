#!/usr/bin/env python3
"""run.py DEBS BASE WORK - installs the packages of DEBS on a Debian 12 of its own (machine.py) as
docs/install.md says, word by word: a hub, a phone, an upstream, labels; then upgrades while work
runs, removes, purges, and installs again."""

import glob
import json
import os
import re
import shutil
import subprocess
import sys

from machine import Machine, make_base

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HUB = "hubctl --token-file /etc/hubd/tokens "
UP = "hubctl --url http://127.0.0.1:7800 --token-file /etc/upstreamd/tokens "
FENCE = re.compile(r"(?ms)^```sh (install|upgrade|remove|backup|restore)\n(.*?)^```$")
NAP = "[capability]\nname = nap\n[action.nap]\ntype = shell\ncommand = sleep 4\n"


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def build_upgrade(debs, into):
    """The same packages with the next version."""
    for path in glob.glob(debs + "/*_*.deb"):
        name = os.path.basename(path).split("_")[0]
        if name.endswith("-dbgsym"):
            continue
        folder = "%s/%s" % (into, name)
        subprocess.run(["dpkg-deb", "-R", path, folder], check=True)
        control = folder + "/DEBIAN/control"
        with open(control, encoding="utf-8") as file:
            text = re.sub(r"(?m)^Version: (.*)$", r"Version: \1+next", file.read())
        with open(control, "w", encoding="utf-8") as file:
            file.write(text)
        subprocess.run(["dpkg-deb", "-b", "-Znone", "--root-owner-group", folder, into], check=True,
                       stdout=subprocess.DEVNULL)
        shutil.rmtree(folder)


def blocks(kind):
    found = []
    for name in ("install.md", "backup.md"):
        with open(ROOT + "/docs/" + name, encoding="utf-8") as file:
            found += [text for tag, text in FENCE.findall(file.read()) if tag == kind]
    return found


def follow(machine, text, folder="now"):
    """A block of the documentation, in the folder of the packages; what it exports stays."""
    with open(machine.work + "/debs/block", "w", encoding="utf-8") as file:
        file.write("set -eu\n[ ! -e /run/exported ] || . /run/exported\ncd /debs/%s\n%s"
                   "export -p | grep HUBCTL_ >/run/exported || true\n" % (folder, text))
    return machine.run("/bin/bash", "-x", "/debs/block")


def installs(machine):
    # The archive is not there: what is recommended stays away, and nobody answers questions.
    machine.shell("printf 'APT::Install-Recommends \"false\";\\nAPT::Get::Assume-Yes \"true\";\\n' "
                  ">/etc/apt/apt.conf.d/test; ip address add 192.0.2.10/32 dev lo")
    said = follow(machine, blocks("install")[0])
    check("systemctl enable --now hubd" in said, "the installation does not say what comes next")
    check(machine.run("stat", "-c", "%a %U:%G", "/etc/hubd/tokens").split() ==
          ["640", "root:hubd"], "the token file's mode")
    check(machine.run("stat", "-c", "%a %U:%G", "/var/lib/hubd").split() ==
          ["750", "hubd:hubd"], "the store's folder")
    machine.run("systemctl", "is-enabled", "hubd", status=1)
    said = machine.run("hubd", "--config", "/etc/hubd/hubd.conf", "--check-config", status=2)
    check("[hub] id" in said, said)


def is_set_up_as_documented(machine):
    for text in blocks("install")[1:]:
        follow(machine, text)
    one = machine.shell("grep -v '^#' /etc/hubd/tokens /etc/upstreamd/tokens | grep -oE '[0-9a-f]{32}'")
    check(len(set(one.split())) == 2, "two daemons have one token")
    for unit in ("upstreamd", "hubd"):
        owner = machine.shell("stat -c %%U /proc/$(systemctl show -P MainPID %s)" % unit).strip()
        check(owner == unit, "%s runs as %s" % (unit, owner))
    check(machine.run("stat", "-c", "%a %U", "/var/lib/hubd/tls/hub.key").split() ==
          ["600", "hubd"], "the key's mode")


def goes_on_without_usb(machine):
    said = machine.shell("journalctl --no-pager -u hubd --since \"$(systemctl show -P ActiveEnterTimestamp hubd)\"")
    check(said.count("event=usb_missing") == 1 and "usb = off" in said, said)
    check("usb_missing" in machine.shell(HUB + "health"), "no warning")
    check(machine.run("systemctl", "show", "-P", "NRestarts", "hubd").strip() == "0", "it was restarted")


def renews_its_certificate_by_itself(machine):
    """With one that ends soon, of the same key and CA."""
    machine.shell("""
        cd "$(mktemp -d)"
        touch index
        printf '%s\\n' '[ca]' 'default_ca = d' '[d]' 'database = index' 'new_certs_dir = .' \
            'rand_serial = yes' 'unique_subject = no' 'default_md = sha256' 'policy = p' '[p]' \
            'commonName = supplied' >conf
        echo 'extendedKeyUsage = clientAuth' >ext
        openssl req -new -key /var/lib/hubd/tls/hub.key -subj /CN=rack1 -out csr
        openssl ca -batch -notext -config conf -cert /etc/upstreamd/tls/ca.crt \
            -keyfile /etc/upstreamd/tls/ca.key -in csr -extfile ext -out short.crt \
            -startdate "$(date -u -d '-20 days' +%Y%m%d%H%M%SZ)" \
            -enddate "$(date -u -d '+5 days' +%Y%m%d%H%M%SZ)"
        install -o hubd -m 644 short.crt /var/lib/hubd/tls/hub.crt
        systemctl reload hubd
        """)
    machine.wait_until(lambda: "certificate_renewed" in machine.shell("journalctl --no-pager -u hubd"),
                       30, "it is renewed")
    machine.shell("openssl x509 -in /var/lib/hubd/tls/hub.crt -noout -checkend 2592000")


def works(machine):
    for unit in ("upstreamd", "hubd"):
        check(machine.run("systemctl", "is-active", unit, check=False).strip() == "active",
              machine.shell("journalctl --no-pager -u " + unit))
    with open(machine.work + "/debs/nap.ini", "w", encoding="utf-8") as file:
        file.write(NAP)
    machine.shell("install -m 644 /debs/nap.ini /etc/hubd/capabilities/; systemctl reload hubd")


def isolates_programs_under_the_units_hardening(machine):
    said = machine.shell("journalctl --no-pager -u hubd")
    check("event=containers_ready" in said, said)
    said = machine.shell(HUB + "run exec --phone SIM001 --input 'script=id -u; ls /etc/hubd || true' 2>&1")
    check("completed" in said, said)


def logs_with_priorities(machine):
    lines = machine.shell("journalctl --no-pager -u hubd -o json").splitlines()
    entries = [json.loads(line) for line in lines]
    ours = [one for one in entries if str(one["MESSAGE"]).startswith("time=")]
    check(ours and all(one["PRIORITY"] in "3467" for one in ours), "lines have no priority")
    check(any(one["PRIORITY"] == "6" for one in ours), "no line of level info")


def is_watched(machine):
    """A daemon that hangs is started again, and knows what it knew."""
    machine.shell("mkdir -p /run/systemd/system/hubd.service.d; printf "
                  "'[Service]\\nWatchdogSec=2\\nTimeoutAbortSec=2\\n' >/run/systemd/system/hubd.service.d/test.conf;"
                  "systemctl daemon-reload; systemctl restart hubd")
    machine.shell("kill -STOP $(systemctl show -P MainPID hubd)")
    machine.wait_until(lambda: machine.run("systemctl", "show", "-P", "NRestarts", "hubd").strip() != "0",
                       30, "the watchdog bites")
    machine.shell("rm -r /run/systemd/system/hubd.service.d; systemctl daemon-reload; systemctl restart hubd")
    machine.wait_until(lambda: "ready" in machine.shell(HUB + "phones", check=False), 20, "the phone is ready")
    check("completed" in machine.shell(HUB + "ps"), "the store was lost")


def upgrades_while_work_runs(machine):
    before = machine.run("systemctl", "show", "-P", "MainPID", "hubd")
    machine.shell("systemd-run --quiet --unit job /bin/sh -c '%s run nap --phone SIM001'" % HUB)
    machine.wait_until(lambda: "executing" in machine.shell(HUB + "ps", check=False), 20, "work runs")
    follow(machine, blocks("upgrade")[0], "next")
    check(machine.run("systemctl", "show", "-P", "MainPID", "hubd") != before, "hubd was not restarted")
    check(machine.run("systemctl", "is-active", "hubd", "upstreamd", check=False).split() == ["active"] * 2,
          machine.shell("journalctl --no-pager -n 40"))
    rows = json.loads(machine.shell(HUB + "--json ps"))["processes"]
    states = [(one["status"], one.get("attempts")) for one in rows]
    check(len(rows) >= 3 and all(one["status"] == "completed" for one in rows), states)
    check("+next" in machine.run("dpkg-query", "-W", "hubd"), "no new version")


def is_backed_up_and_restored(machine):
    """A hub's store and upstream's database go back to a copy; both go on, and find the fork."""
    for text in blocks("backup"):
        follow(machine, text)
    machine.shell(HUB + "run maintenance --phone SIM001")
    for text in blocks("restore"):
        follow(machine, text)
    machine.wait_until(lambda: "ready" in machine.shell(HUB + "phones", check=False), 20, "the phone is ready")
    check("event=upstream_restored" in machine.shell("journalctl --no-pager -u upstreamd"), "not restored")
    machine.wait_until(lambda: "event=sync_fork" in machine.shell("journalctl --no-pager -u upstreamd"),
                       40, "the fork is seen")
    machine.shell(HUB + "run maintenance --phone SIM001")
    machine.wait_until(lambda: "completed" in machine.shell(UP + "ps", check=False), 20, "upstream goes on")


def is_removed_and_purged(machine):
    remove, purge = blocks("remove")[0].splitlines()
    machine.shell("cp -a /etc/hubd/hubd.conf /etc/upstreamd/upstreamd.conf /debs/")
    machine.shell(remove)
    check(machine.run("systemctl", "is-active", "hubd", check=False).strip() != "active", "it runs still")
    machine.shell("test -e /etc/hubd/hubd.conf -a -e /etc/hubd/tokens")
    said = machine.shell(purge)
    for kept in ("/var/lib/hubd", "/var/lib/upstreamd", "/etc/upstreamd/tls"):
        check(kept + " stays" in said, said)
    machine.shell("test -e /var/lib/hubd/hub.store -a -e /var/lib/hubd/tls/hub.key -a ! -e /etc/hubd/tokens "
                  "-a ! -e /etc/hubd/hubd.conf -a -e /var/lib/upstreamd/fleet.db")


def comes_back_with_its_store(machine):
    machine.shell("apt-get install /debs/next/*.deb; cp /debs/hubd.conf /etc/hubd/; "
                  "cp /debs/upstreamd.conf /etc/upstreamd/; systemctl enable --now upstreamd hubd")
    machine.wait_until(lambda: "ready" in machine.shell(HUB + "phones", check=False), 20, "the phone is ready")
    check("completed" in machine.shell(HUB + "ps"), "the store was lost")
    def known():
        return machine.shell(UP + "ps", check=False).count("completed")
    before = machine.wait_until(known, 20, "the fleet is known")
    # By the hub: what upstream itself takes may wait for long after --restored.
    machine.shell(HUB + "run maintenance --phone SIM001")
    machine.wait_until(lambda: known() > before, 20, "upstream hears of it")


def main():
    debs, base, work = (os.path.abspath(path) for path in sys.argv[1:])
    machine = Machine(make_base(base), work)
    try:
        shutil.copytree(debs, work + "/debs/now", ignore=lambda folder, names: [
            name for name in names if not name.endswith(".deb") or "-dbgsym" in name])
        os.makedirs(work + "/debs/next")
        build_upgrade(debs, work + "/debs/next")
        for step in (installs, is_set_up_as_documented, goes_on_without_usb, works,
                     renews_its_certificate_by_itself,
                     isolates_programs_under_the_units_hardening, logs_with_priorities, is_watched,
                     upgrades_while_work_runs, is_backed_up_and_restored, is_removed_and_purged, comes_back_with_its_store):
            step(machine)
            print("note: package %s" % step.__name__.replace("_", " "), flush=True)
    finally:
        machine.close()


if __name__ == "__main__":
    main()
