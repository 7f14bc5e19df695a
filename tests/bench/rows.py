"""What the rows of the bench share: running a bench program, medians, one line of the table."""

import os
import statistics
import subprocess

OUT = "build/gcc/bin"
RUNS = 5


def run(*arguments, cwd=None):
    """The `name value` lines of a bench program."""
    path = os.path.abspath(os.path.join(OUT, arguments[0]))
    text = subprocess.run([path, *map(str, arguments[1:])], cwd=cwd, check=True,
                          stdout=subprocess.PIPE, timeout=300).stdout.decode()
    return {name: float(value) for name, value in (line.split() for line in text.splitlines())}


def spread(values):
    """(median, min, max)"""
    values = list(values)
    return statistics.median(values), min(values), max(values)


def several(runs, measure):
    """name -> (median, min, max) over several runs; `measure` gets the number of the run."""
    results = [measure(number) for number in range(runs)]
    return {name: spread(result[name] for result in results) for name in results[0]}


def row(name, what, ours, unit, goal, runs, peer=None, peer_value=None, at_least=False):
    """`goal` is a bound of `ours`, upper unless at_least; None: there is no goal of its own."""
    value, low, high = ours
    if goal is None:
        text, is_met = "-", True
    elif at_least:
        text, is_met = ">= %.4g" % goal, value >= goal
    else:
        text, is_met = "<= %.4g" % goal, value <= goal
    return {"row": name, "what": what, "ours": round(value, 6), "unit": unit, "peer": peer,
            "peer_value": None if peer_value is None else round(peer_value, 6),
            "ratio": round(value / peer_value, 4) if peer_value else None, "goal": text,
            "met": is_met, "runs": runs, "min": round(low, 6), "max": round(high, 6)}
