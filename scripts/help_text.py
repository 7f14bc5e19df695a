"""What a program's own --help says, taken apart: the one source of manual pages and completion."""

import re
import subprocess


def ask(program, *words):
    return subprocess.run([program, *words, "--help"], check=True, capture_output=True,
                          text=True).stdout


class Help:
    """usage, about (lines), options [(option, text)], commands [(name, text)]."""

    def __init__(self, program, *words):
        lines = ask(program, *words).splitlines()
        self.usage = lines[0].removeprefix("usage: ")
        self.about, self.options, self.commands = [], [], []
        into = None
        for line in lines[1:]:
            option = re.match(r"  (--\S+(?: [A-Z\[][^ ]*| [a-z]+(?:\|[a-z]+)+)?)\s+(.*)", line)
            if line in ("options:", "commands:"):
                into = self.options if line == "options:" else self.commands
            elif line == "  --help, --version":
                self.options += [("--help", "Show this text"), ("--version", "Show the version")]
            elif option:
                into = self.options
                into.append(option.groups())
            elif line.startswith("     ") and into:
                into[-1] = (into[-1][0], into[-1][1] + " " + line.strip())
            elif line.startswith("  ") and into is self.commands:
                into.append(tuple(re.split(r"\s{2,}", line.strip(), maxsplit=1)))
            elif line and not line.startswith("  "):
                self.about.append(line)
                into = None
