"""What docs/ says of errors, against the sources; and its examples, as an operator would use them."""

import glob
import json
import os
import re
import shutil
import subprocess
import unittest

import hub_rig
import rig

DOCS = os.path.join(rig.ROOT, "docs")
STRING = r'"((?:[^"\\]|\\.)*)"'
# Functions that take an error's code, and where.
TAKERS = {"http_api_refuse": 2, "http_api_refuse_at": 2, "http_respond_error": 2,
          "api_body_refuse": 3}
ATTEMPT_TAKERS = {"executor_fail": 2, "flash_job_refuse": 2}
# Where a code comes in a variable, what gives it is one of these.
PASSED_ON = {"code", "const char *code", "refusal.code", "refusal->code", "refusals[i].name"}


def sources(*folders):
    for folder in folders:
        for path in sorted(glob.glob(os.path.join(rig.ROOT, folder, "**", "*.c"), recursive=True)):
            with open(path, encoding="utf-8") as file:
                yield path, file.read()


def calls(text, name):
    """The arguments of every call."""
    for match in re.finditer(r"\b%s\(" % name, text):
        at = start = match.end()
        arguments, depth, is_quoted = [], 1, False
        while depth > 0:
            char = text[at]
            if is_quoted:
                at += char == "\\"
                is_quoted = char != '"'
            elif char == '"':
                is_quoted = True
            elif char in "([{":
                depth += 1
            elif char in ")]}":
                depth -= 1
            elif char == "," and depth == 1:
                arguments.append(text[start:at].strip())
                start = at + 1
            at += 1
        yield arguments + [text[start:at - 1].strip()]


def taken(takers, folder="host"):
    """(codes, arguments that are none) at the takers' places."""
    codes, others = set(), set()
    for _, text in sources(folder):
        for name, place in takers.items():
            for arguments in calls(text, name):
                if len(arguments) > place:
                    found = re.findall(STRING, arguments[place])
                    codes.update(found)
                    others.update([] if found else [arguments[place]])
    return codes, others


def words(pattern, *folders, flags=re.MULTILINE):
    return {match for _, text in sources(*folders) for match in re.findall(pattern, text, flags)}


def page(name):
    with open(os.path.join(DOCS, name), encoding="utf-8") as file:
        return file.read()


def section(title):
    return page("errors.md").split("\n## %s\n" % title)[1].split("\n## ")[0]


def table(title, column=0):
    """The words of a column of the section's table."""
    rows = [line.split("|") for line in section(title).splitlines() if line.startswith("|")]
    found = [row[column + 1].strip().strip("`") for row in rows[2:]]
    assert len(found) == len(set(found)), "twice: %s" % sorted(found)
    return set(found)


class Errors(unittest.TestCase):
    maxDiff = None

    def assert_same(self, in_sources, in_docs):
        self.assertEqual((set(), set()), (in_sources - in_docs, in_docs - in_sources),
                         "only in the sources, only in docs/errors.md")

    def test_every_code_of_the_api_is_told_and_none_that_is_not(self):
        codes, others = taken(TAKERS)
        self.assertEqual(set(), others - PASSED_ON)
        codes |= words(r'refuse\(parse, \d+, "(\w+)"', "host/shared")
        codes |= words(r'\{\d{3}, "(\w+)"', "host/upstreamd")
        codes |= words(r'\{STATUS_\w+, \d{3}, "(\w+)"', "host/hubd/api")
        codes |= words(r'\\"code\\":\\"(\w+)\\"', "host/shared")
        codes |= words(r'\bcode = "(\w+)"', "host/hubd/api")
        codes |= {name + ":NAME" for name in words(r'sizeof code, "(\w+):%s"', "host/shared")}
        refusals = [text.split("const char *worker_refusal(")[1].split("\n}")[0]
                    for path, text in sources("host/hubd/api") if path.endswith("api_worker.c")]
        codes |= set(re.findall(r'return "(\w+)"', refusals[0]))
        self.assert_same(codes, table("Answers of the API", 1))

    def test_every_category_of_the_specification_is_told(self):
        with open(os.path.join(rig.ROOT, "protocol/record.h"), encoding="utf-8") as file:
            rows = re.findall(r'CATEGORY\([A-Z_]+, "(\w+)"\)', file.read())
        self.assertEqual(17, len(rows))
        self.assert_same(set(rows) - {"none"}, table("Categories of an attempt's error"))

    def test_every_code_of_an_attempt_is_told_and_none_that_is_not(self):
        codes, others = taken(ATTEMPT_TAKERS)
        self.assertEqual(set(), others - PASSED_ON)
        codes |= words(r'\bfail\(attempt, "(\w+)"', "host/hubd/run")
        codes |= words(r'\{RECORD_CATEGORY_\w+, "(\w+)"', "firmware")
        codes |= words(r'is_by_grant \? "(\w+)"', "firmware")
        codes |= words(r'\.code = bytes_of\("(\w+)"\)', "firmware", "host/upstreamd")
        codes |= {name for pair in words(r'\.code = \w+ \? bytes_of\("(\w+)"\) : bytes_of\("(\w+)"\)',
                                         "firmware", "host/upstreamd") for name in pair}
        codes |= {name + "_N" for name in words(r'code, "(\w+)_%d"', "host/hubd/run")}
        codes |= words(r'"exit_%d" : "(\w+)"', "host/hubd/api")
        self.assert_same(codes, table("Codes of an attempt's error"))
        ends = words(r'hub_attempt_force_stop\(hub, \w+, bytes_of\("(\w+)"\)', "firmware")
        ends |= words(r'attempt->code, sizeof attempt->code, "([a-z]+)"', "host/hubd/run")
        last = next(line for line in section("Codes of an attempt's error").splitlines()
                    if "ended on purpose" in line)
        self.assertEqual(ends, set(re.findall(r"`(\w+)`", last)))

    def test_every_word_of_waiting_is_told(self):
        with open(os.path.join(rig.ROOT, "firmware/hub_wait.c"), encoding="utf-8") as file:
            names = re.findall(r'^        "(\w+)",$', file.read(), re.MULTILINE)
        self.assertGreater(len(names), 10)
        self.assert_same(set(names), table("Why a process does not go on"))

    def test_every_warning_of_readyz_is_told(self):
        names = json.loads(page("openapi.json"))["components"]["schemas"]
        enums = re.findall(r'"warnings": \{[^}]*\{[^}]*"enum": \[([^\]]*)\]', json.dumps(names))
        written = words(r'json_write_string\(writer, NULL, "(\w+)"\);\n    \}', "host/hubd/api")
        self.assertEqual(1, len(enums))
        self.assertEqual(set(re.findall(r"\w+", enums[0])), written)
        self.assert_same(written, table("Warnings of `/readyz` and the dashboard"))

    def test_every_warning_and_error_of_the_log_is_told(self):
        self.assert_same(words(r'log_(?:error|warn)\(\s*"(\w+)', "host"),
                         table("Warnings and errors in the log"))


# ---- examples ----

FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
# What a fence may say it holds: a test that runs it, or no example.
KINDS = {
    "sh": "run here, against a hub with phones",
    **{"sh " + step: "tests/package" for step in ("install", "upgrade", "remove", "backup", "restore")},
    "sh build": "targets of make: they are there",
    "ini hubd": "judged by hubd here",
    "ini capability": "loaded by a hub here",
    "text": "no example",
}


def blocks(kind):
    for path in sorted(glob.glob(os.path.join(DOCS, "*.md"))):
        with open(path, encoding="utf-8") as file:
            for found, text in FENCE.findall(file.read()):
                if found == kind:
                    yield os.path.basename(path), text


class Examples(hub_rig.HubCase):
    """Against one hub with three phones, SIM001 to SIM003."""

    def setUp(self):
        super().setUp()
        self.token_file = self.write("tokens", "all submit,read,worker,operate %s\n" % hub_rig.SECRET)
        os.chmod(self.token_file, 0o600)
        for name in os.listdir(os.path.join(rig.ROOT, "capabilities")):
            if name.endswith(".ini"):
                with open(os.path.join(rig.ROOT, "capabilities", name), encoding="utf-8") as file:
                    self.write("capabilities/" + name, file.read())
        for at, (_, text) in enumerate(blocks("ini capability")):
            self.write("capabilities/example-%d.ini" % at, text)

    def check(self, program, text):
        """What --check-config says to it; the paths of the package lead into the scratch folder."""
        for path in ("/etc/hubd", "/etc/upstreamd", "/var/lib/hubd", "/var/lib/upstreamd"):
            text = text.replace(path, self.path(path[1:]))
        done = subprocess.run([rig.program(program), "--config", self.write(program + ".conf", text),
                               "--check-config"], capture_output=True, text=True, timeout=60)
        self.assertEqual(0, done.returncode, done.stderr + "\n" + text)

    def make_files(self):
        """What the configurations name: certificates, tokens, a secret, a folder."""
        certs = self.path("certs")
        subprocess.run(["bash", os.path.join(rig.ROOT, "scripts/demo-certs.sh"), certs, "5", "rack1-hub1",
                        "hub-7"], check=True, capture_output=True)
        for folder, files in {
                "etc/hubd/tls": {"api": "server", "callback-ca": "ca", "hub-7": "hub-7"},
                "etc/hubd": {"hub-7": "hub-7"},
                "var/lib/hubd/tls": {"ca": "ca", "hub": "rack1-hub1"},
                "etc/upstreamd/tls": {"ca": "ca", "server": "server", "callback-ca": "ca"}}.items():
            os.makedirs(self.path(folder, "../capabilities"), exist_ok=True)
            for name, source in files.items():
                for end in ("crt", "key"):
                    self.write("%s/%s.%s" % (folder, name, end),
                               open("%s/%s.%s" % (certs, source, end), encoding="ascii").read())
        for name in ("hubd", "upstreamd"):
            self.write("etc/%s/tokens" % name, "a read %s\n" % ("0" * 32))
            self.write("etc/%s/callback_secret" % name, "a secret\n")
            os.makedirs(self.path("etc", name, "capabilities"), exist_ok=True)
        self.write("etc/upstreamd/tls/ticket.key", "x" * 32)

    def test_every_example_says_how_it_is_kept_true(self):
        paths = glob.glob(os.path.join(DOCS, "*.md"))
        for path in paths + [os.path.join(rig.ROOT, name) for name in ("README.md", "SECURITY.md")]:
            with open(path, encoding="utf-8") as file:
                for kind, text in FENCE.findall(file.read()):
                    # Messages in hexadecimal digits: endpoint_test.py has the list of them.
                    if re.fullmatch(r"[0-9a-f\n]+", text) is None:
                        self.assertIn(kind, KINDS, "%s: %s" % (path, text[:60]))

    def test_the_packages_configurations_are_good_with_every_line_that_is_commented_out(self):
        self.make_files()
        for program in ("hubd", "upstreamd"):
            with open(os.path.join(rig.ROOT, "debian/etc/%s.conf" % program), encoding="utf-8") as file:
                text = file.read()
            self.check(program, re.sub(r"(?m)^;id = ", "id = ", text))
            whole = re.sub(r"(?m)^;(?=\[|[a-z_]+ = )", "", text)
            self.assertGreater(len(whole.splitlines()), 30)
            if program == "upstreamd":
                whole = re.sub(r"(?m)^sqlite = .*", "", whole)
            self.check(program, whole)

    def test_configurations_in_the_documentation_are_good(self):
        self.make_files()
        with open(os.path.join(rig.ROOT, "debian/etc/hubd.conf"), encoding="utf-8") as file:
            base = re.sub(r"(?m)^;(id = |url = |.* = /var/lib/hubd/tls/)", r"\1", file.read())
        found = list(blocks("ini hubd"))
        for _, text in found:
            self.check("hubd", base + text)
        self.assertTrue(found)

    @unittest.skipUnless(shutil.which("adb"), "adb is not installed")
    def test_lines_and_capabilities_in_the_documentation_run(self):
        first = rig.free_ports(3)
        self.start("phonesim", "--count", "3", "--adb-tcp", "127.0.0.1:%d" % first)
        self.start_hub([first, first + 1, first + 2])
        self.wait_phones("SIM001", "SIM002", "SIM003")
        shown = {row["name"] for row in self.client.get("/capabilities").body["capabilities"]}
        for name, text in blocks("ini capability"):
            named = re.search(r"^name = (\S+)$", text, re.MULTILINE).group(1)
            is_exec = "type = exec" in text  # where programs cannot be shut away it is refused
            self.assertTrue(named in shown or is_exec, "%s: %s; hubd said\n%s" % (
                name, named, self.hub.output()))
        found = list(blocks("sh"))
        self.assertGreater(len(found), 5)
        for name, text in found:
            text = text.replace("http://127.0.0.1:7700", "http://127.0.0.1:%d" % self.port)
            done = subprocess.run(
                ["bash", "-euxo", "pipefail", "-c", text], capture_output=True, text=True,
                timeout=100, cwd=self.scratch, env=dict(
                    os.environ, PATH=rig.BIN + ":" + os.environ["PATH"], TOKEN=hub_rig.SECRET,
                    HUBCTL_URL="http://127.0.0.1:%d" % self.port, HUBCTL_TOKEN_FILE=self.token_file))
            self.assertEqual(0, done.returncode, "%s: %s%s" % (name, done.stdout, done.stderr))

    def config_text(self, phones=(), **changes):
        return super().config_text(phones, **changes) + "[adb]\ndir = %s\n" % self.path("adb")

    def test_the_targets_of_make_are_there(self):
        told = ""
        for path in [os.path.join(rig.ROOT, "Makefile")] + glob.glob(rig.ROOT + "/*/**/*.mk", recursive=True):
            with open(path, encoding="utf-8") as file:
                told += file.read()
        for path in (DOCS + "/porting.md", rig.ROOT + "/README.md"):
            with open(path, encoding="utf-8") as file:
                for kind, text in FENCE.findall(file.read()):
                    for target in re.findall(r"^make (\S+)", text, re.MULTILINE) if kind == "sh build" else ():
                        self.assertRegex(told, r"(?m)^%s:" % target)

    def test_what_a_process_costs_the_flash_is_as_told(self):
        row = re.search(r"`maintenance`, 5 actions \| ([\d.]+) KB \| (\d+) KB \| ([\d.]+)",
                        page("sizing.md"))
        port = rig.free_ports(1)
        self.start("phonesim", "--adb-tcp", "127.0.0.1:%d" % port)
        self.start_hub([port])
        self.wait_phones("SIM001")
        names = ["hub_store_%s_bytes_total" % name for name in ("appended", "programmed")]
        before = [self.metric(name) for name in names]
        for _ in range(20):
            self.wait_end(self.submit("maintenance", phone="SIM001"))
        for name, old, told in zip(names, before, row.groups()):
            self.assertLess((self.metric(name) - old) / 20, float(told) * 1000 * 1.25, name)
        # An erase takes a block of 128 KiB into use, for as much as was programmed.
        self.assertAlmostEqual(float(row.group(2)) * 1000 / 131072, float(row.group(3)), delta=0.02)


class Clauses(unittest.TestCase):

    def test_every_clause_of_the_sync_protocol_names_tests_that_are_there(self):
        held = {}
        with open(os.path.join(rig.ROOT, "tests/sync_clauses.txt"), encoding="utf-8") as file:
            lines = [line.rstrip() for line in file if line.strip() and line[0] != "#"]
        for line in lines:
            if line[0] != " ":
                clause = line
                self.assertNotIn(clause, held)
                held[clause] = 0
                continue
            path, name = line.split()
            with open(os.path.join(rig.ROOT, "tests", path), encoding="utf-8") as file:
                self.assertRegex(file.read(), r"(static void|def) %s\(" % name, line)
            held[clause] += 1
        self.assertEqual([], [clause for clause, count in held.items() if count == 0])


class Security(unittest.TestCase):

    def test_every_line_of_the_checklist_names_a_file_and_a_test_that_are_there(self):
        with open(os.path.join(rig.ROOT, "SECURITY.md"), encoding="utf-8") as file:
            rows = [[cell.strip() for cell in line.split("|")[1:-1]]
                    for line in file if line.startswith("| ")][1:]
        self.assertGreater(len([row for row in rows if "---" not in row[0]]), 20)
        for fact, where, test in rows:
            if "---" in fact:
                continue
            for path in where.split(", "):
                self.assertTrue(os.path.exists(os.path.join(rig.ROOT, path)), path)
            path, _, name = test.partition(" ")
            with open(os.path.join(rig.ROOT, path), encoding="utf-8") as file:
                self.assertIn(name, file.read(), test)


if __name__ == "__main__":
    unittest.main()
