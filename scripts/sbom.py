#!/usr/bin/env python3
"""sbom.py PROGRAM VERSION FOLDER MAP - writes FOLDER/usr/share/doc/PROGRAM/PROGRAM.cdx.json, the
list of what is in FOLDER's program (CycloneDX 1.6), from the linker's own map and the compiler's
lists of headers: nothing is written by hand, so nothing can be forgotten."""

import glob
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import uuid

LOAD = re.compile(r"^LOAD (\S+)$", re.MULTILINE)
MEMBER = re.compile(r"^(\S+\.a)\((\S+\.o)\)", re.MULTILINE)


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def packages_of(paths):
    """The Debian package that each file came with; every foreign file has one. Asked all at once:
    each question reads the lists of all packages."""
    names = {path: [name for one in (os.path.realpath(path), path)
                    for name in (one, one.removeprefix("/usr"))] for path in paths}
    asked = sorted({name for those in names.values() for name in those})
    done = subprocess.run(["dpkg-query", "-S", *asked], capture_output=True, text=True)
    owners = dict(reversed(line.split(": ", 1)) for line in done.stdout.splitlines())
    found = {}
    for path, those in names.items():
        owner = next((owners[name] for name in those if name in owners), None)
        if owner is None:
            sys.exit("sbom: %s belongs to no package" % path)
        found[path] = owner.split(",")[0]
    return found


def licences(package):
    path = "/usr/share/doc/%s/copyright" % package.split(":")[0]
    with open(path, encoding="utf-8", errors="replace") as file:
        names = re.findall(r"^License:[ \t]*(\S.*)$", file.read(), re.MULTILINE)
    return [{"license": {"name": name.strip()}} for name in sorted(set(names))] or \
        [{"license": {"name": "see " + path}}]


def is_ours(path):
    return not path.startswith("/")


def needed(binary):
    return set(re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", binary)))


def soname(path):
    found = re.search(r"\(SONAME\).*\[(.*)\]", run("readelf", "-d", path))
    return found.group(1) if found else os.path.basename(path)


def inputs(map_text, libraries):
    """(our objects, foreign files) of the link; shared libraries only where they are needed."""
    loaded = [os.path.normpath(path) for path in LOAD.findall(map_text)]
    members = {os.path.basename(member) for archive, member in MEMBER.findall(map_text)
               if is_ours(os.path.normpath(archive))}
    ours = {path for path in loaded if is_ours(path) and path.endswith(".o")}
    for path in glob.glob("build/gcc/**/*.o", recursive=True):
        if os.path.basename(path) in members:
            ours.add(path)
    foreign = {path for path in loaded if not is_ours(path)}
    return sorted(ours), sorted(path for path in foreign
                                if ".so" not in path or not is_shared(path)
                                or soname(path) in libraries)


def is_shared(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def headers(objects):
    """Foreign files that were compiled in."""
    found = set()
    for path in objects:
        listed = path[:-2] + ".d"
        if "/llhttp/" in path:
            found.add("/usr/share/llhttp/%s.c" % os.path.basename(path)[:-2])
        elif os.path.exists(listed):
            with open(listed, encoding="utf-8") as file:
                found.update(word for word in re.split(r"[\s\\]+", file.read())
                             if word.startswith("/") and not word.endswith(":"))
    return sorted(path for path in found if not path.startswith("/usr/lib/gcc"))


def component(package, files, use):
    fields = run("dpkg-query", "-W", "-f", "${Version}\t${source:Package}\t${Homepage}\t${Maintainer}",
                 package).split("\t")
    name = package.split(":")[0]
    purl = "pkg:deb/debian/%s@%s" % (name, fields[0].replace(":", "%3A").replace("+", "%2B"))
    return {"type": "library", "bom-ref": purl, "name": name, "version": fields[0], "purl": purl,
            "supplier": {"name": "Debian", "contact": [{"name": fields[3]}]},
            "licenses": licences(package),
            "properties": [{"name": "hubd:source-package", "value": fields[1]},
                           {"name": "hubd:use", "value": use}] +
            [{"name": "hubd:file sha256:" + sha256(path), "value": path} for path in files]}


def grouped(paths):
    by_package = {}
    for path, package in packages_of(paths).items():
        by_package.setdefault(package, []).append(path)
    return by_package


def main():
    program, version, folder, map_path = sys.argv[1:]
    binary = next(path for path in (folder + "/usr/bin/" + program, folder + "/usr/sbin/" + program)
                  if os.path.exists(path))
    with open(map_path, encoding="utf-8") as file:
        objects, linked = inputs(file.read(), needed(binary))
    components = {package: component(package, files, "linked")
                  for package, files in grouped(linked).items()}
    for package, files in grouped(headers(objects)).items():
        if package not in components:
            components[package] = component(package, files, "compiled in")
    own = "pkg:generic/%s@%s" % (program, version)
    digest = sha256(binary)
    listed = sorted(components.values(), key=lambda one: one["bom-ref"])
    tools = [{"type": "application", "name": name, "version": run(
        "dpkg-query", "-W", "-f", "${Version}", name)} for name in ("gcc", "binutils")]
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "serialNumber": "urn:uuid:%s" % uuid.uuid5(uuid.NAMESPACE_URL, own + "#" + digest),
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(
                int(os.environ.get("SOURCE_DATE_EPOCH", time.time())))),
            "tools": {"components": tools},
            "component": {
                "type": "application", "bom-ref": own, "name": program, "version": version,
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "properties": [{"name": "hubd:object", "value": path} for path in objects]}},
        "components": listed,
        "dependencies": [{"ref": own, "dependsOn": [one["bom-ref"] for one in listed]}] +
        [{"ref": one["bom-ref"], "dependsOn": []} for one in listed],
    }
    path = "%s/usr/share/doc/%s/%s.cdx.json" % (folder, program, program)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(bom, file, indent=1)
        file.write("\n")
    os.chmod(path, 0o644)


if __name__ == "__main__":
    main()
