#!/usr/bin/env python3
"""manual.py BIN OUT - writes the manual pages: of programs from their own --help, of configuration
files from the tables of docs/operating.md."""

import os
import re
import sys
import time

import help_text

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DATE = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))

EXITS = {"daemon": [("0", "Stopped in order."), ("1", "Anything else."),
                    ("2", "A wrong option or configuration; nothing was started."),
                    ("3", "The store cannot be used, or has failed.")],
         "hubctl": [("0", "Done; the work completed."),
                    ("1", "Refused, not found, not healthy, damaged; the work failed."),
                    ("2", "Wrong usage."), ("3", "The work was cancelled."),
                    ("4", "No answer, or not allowed.")],
         "phonesim": [("0", "Ended by a signal."), ("1", "It cannot listen."),
                      ("2", "A wrong option.")]}
PROGRAMS = {
    "hubd": (8, "runtime of a phone farm's hub host", "daemon",
             [("/etc/hubd/hubd.conf", "The configuration."),
              ("/etc/hubd/tokens", "Who may use the API; one is made when the package is installed."),
              ("/etc/hubd/tls", "Certificates and keys."),
              ("/etc/hubd/capabilities", "What can be asked of a phone."),
              ("/etc/default/hubd", "HUBD_OPTIONS, such as --log-format json."),
              ("/var/lib/hubd", "The store, the key for ADB, artifacts.")],
             ["hubd.conf(5)", "hubctl(1)", "upstreamd(8)", "phonesim(1)"]),
    "upstreamd": (8, "endpoint that a phone farm's hubs synchronise into", "daemon",
                  [("/etc/upstreamd/upstreamd.conf", "The configuration."),
                   ("/etc/upstreamd/tokens", "Who may use the API."),
                   ("/etc/upstreamd/tls", "Certificates and keys."),
                   ("/etc/default/upstreamd", "UPSTREAMD_OPTIONS."),
                   ("/var/lib/upstreamd", "The database.")],
                  ["upstreamd.conf(5)", "hubctl(1)", "hubd(8)"]),
    "hubctl": (1, "command line of a phone farm", "hubctl", [],
               ["hubd(8)", "upstreamd(8)"]),
    "phonesim": (1, "emulated phones that adb, fastboot and hubd accept", "phonesim", [],
                 ["hubd(8)", "adb(1)"]),
}
FILES = {"hubd.conf": "hubd", "upstreamd.conf": "upstreamd"}


def roff(text):
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text.replace("\\", "\\e")).replace("`", "")
    text = text.replace("-", "\\-").replace("−", "\\-").replace("×", "\\(mu").replace("^", "\\(ha")
    text = text.replace("~", "\\(ti").replace("“", '"').replace("…", "...")
    return "\\&" + text if text.startswith((".", "'")) else text


def head(name, section, about):
    return ['.TH %s %d %s hubd "Phone farm"' % (name.upper(), section, DATE), ".SH NAME",
            "%s \\- %s" % (roff(name), roff(about))]


def tagged(rows):
    lines = []
    for tag, text in rows:
        lines += [".TP", ".B " + roff(tag), roff(text)]
    return lines


def paragraphs(lines):
    """Filled; a line that ends a sentence ends there."""
    out = []
    for line in lines:
        out += [roff(line), ".br"] if line.endswith((".", ":")) else [roff(line)]
    return out[:-1] if out and out[-1] == ".br" else out


def program_page(bin_dir, name):
    section, about, exits, files, also = PROGRAMS[name]
    program = os.path.join(bin_dir, name)
    text = help_text.Help(program)
    page = head(name, section, about)
    page += [".SH SYNOPSIS", ".B " + roff(text.usage), ".SH DESCRIPTION"]
    page += paragraphs([line for line in text.about if not line.startswith("exit status:")])
    page += [".SH OPTIONS"] + tagged(text.options)
    if text.commands:
        page += [".SH COMMANDS"]
    for command, _ in text.commands:
        one = help_text.Help(program, *command.split())
        page += [".SS " + roff(one.usage.removeprefix(name + " ")), *paragraphs(one.about)]
        common = {option for option, _ in text.options}
        page += tagged(row for row in one.options if row[0] not in common)
    page += [".SH EXIT STATUS"] + tagged(EXITS[exits])
    if files:
        page += [".SH FILES"] + tagged(files)
    page += [".SH SEE ALSO"]
    for one in also:
        name, number = one.rstrip(")").split("(")
        page.append(".BR %s (%s)%s" % (roff(name), number, "" if one == also[-1] else " ,"))
    return section, page


def config_rows(program):
    """(section, key, meaning) of the table of `program` in docs/operating.md."""
    with open(os.path.join(ROOT, "docs/operating.md"), encoding="utf-8") as file:
        part = file.read().split("\n## %s --config FILE\n" % program)[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in part.splitlines() if line.startswith("|")]
    return rows[2:]


def config_page(name, program):
    page = head(name, 5, "configuration of " + program)
    page += [".SH DESCRIPTION",
             "Sections in brackets, lines of \\(lqkey = value\\(rq, comments behind # or ;.",
             "A wrong line is refused with file, line, key and what was expected:",
             ".B %s \\-\\-config FILE \\-\\-check\\-config" % program, "judges a file.",
             "Repeatable keys stand on lines of their own."]
    section = None
    for where, key, meaning in config_rows(program):
        if where != section:
            section = where
            page.append(".SH [%s]" % roff(where))
        page += tagged([(key, meaning)])
    return page + [".SH SEE ALSO", ".BR %s (8)" % program]


def main():
    bin_dir, out = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    pages = {}
    for name in PROGRAMS:
        section, page = program_page(bin_dir, name)
        pages["%s.%d" % (name, section)] = page
    for name, program in FILES.items():
        pages[name + ".5"] = config_page(name, program)
    for name, page in pages.items():
        with open(os.path.join(out, name), "w", encoding="utf-8") as file:
            file.write("\n".join(page) + "\n")


if __name__ == "__main__":
    main()
