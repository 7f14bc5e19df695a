"""What the checks with planted bugs share: reading the bugs, and building the file that has one."""

import os
import subprocess


def read_bugs(path):
    """Paragraphs: a title and a file, `-` lines that stand in it, `+` lines that replace them."""
    bugs = []
    with open(path, encoding="utf-8") as text:
        for paragraph in text.read().split("\n\n"):
            lines = [line for line in paragraph.splitlines() if line and line[0] != "#"]
            if lines:
                title, file = lines[0].rsplit(" | ", 1)
                old = "".join(line[1:] + "\n" for line in lines if line[0] == "-")
                new = "".join(line[1:] + "\n" for line in lines if line[0] == "+")
                bugs.append((title, file, old, new))
    return bugs


def run(command, seconds):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=seconds, check=False)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired:
        return 124, f"not finished after {seconds} s\n"


def plant(bug, folder, level="-O2"):
    """The object of the broken file; None, and why, when that cannot be made."""
    _, file, old, new = bug
    with open(file, encoding="utf-8") as source:
        text = source.read()
    if text.count(old) != 1:
        return None, f"the place was found {text.count(old)} times in {file}"
    copy = os.path.join(folder, file)
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    with open(copy, "w", encoding="utf-8") as target:
        target.write(text.replace(old, new))
    code, log = run(["gcc", "-std=c11", level, "-g", "-D_GNU_SOURCE", "-I.", "-c", copy, "-o",
                     copy[:-2] + ".o"], 60)
    return (copy[:-2] + ".o", "") if code == 0 else (None, log)
