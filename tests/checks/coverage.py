#!/usr/bin/env python3
"""coverage.py OBJECTS_DIR FLOOR LIST FILE... - judges what gcov counted for the named sources.

Prints a line a file and the total, writes every uncovered line and branch to OBJECTS_DIR/uncovered.txt,
and fails when
  - a line was not reached that LIST does not name, or LIST names one that was reached or is gone;
  - fewer than FLOOR percent of all branches were taken.
LIST holds `FILE FUNCTION | SOURCE LINE | REASON`, one a line: text, for line numbers move."""
import gzip, json, os, subprocess, sys, tempfile


def counts(objects, source):
    """{line: (count, [count of each branch], function)} of one source."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["gcov", "-b", "--json-format", os.path.abspath(f"{objects}/{source[:-2]}.o")], cwd=place,
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        name, = os.listdir(place)
        with gzip.open(os.path.join(place, name)) as stream:
            files = json.load(stream)["files"]
    lines = {}
    for file in files:
        if file["file"] == source:
            for line in file["lines"]:
                count, branches, _ = lines.get(line["line_number"], (0, [], ""))
                branches = branches + [branch["count"] for branch in line["branches"]]
                name = line.get("function_name", "")
                lines[line["line_number"]] = (count + line["count"], branches, name)
    return lines


def of_checks(text):
    """The lines of check(...): a condition in one is judged by the check, not by a test."""
    inside, numbers = False, set()
    for number, line in enumerate(text, 1):
        inside = inside or line.startswith("check(")
        if inside:
            numbers.add(number)
            inside = not line.endswith(";")
    return numbers


def read_list(path):
    allowed = {}
    with open(path) as stream:
        for number, line in enumerate(stream, 1):
            if line.strip() and not line.startswith("#"):
                parts = line.rstrip("\n").split(" | ")
                if len(parts) != 3 or not all(part.strip() for part in parts):
                    sys.exit(f"{path}:{number}: expected FILE FUNCTION | SOURCE LINE | REASON")
                allowed[(parts[0].strip(), parts[1].strip())] = number
    return allowed


def main():
    objects, floor, list_path, *sources = sys.argv[1:]
    allowed, wrong, total = read_list(list_path), [], [0, 0, 0, 0]
    used = set()
    with open(f"{objects}/uncovered.txt", "w") as report:
        for source in sources:
            with open(source) as stream:
                text = [line.strip() for line in stream]
            sums, checks = [0, 0, 0, 0], of_checks(text)
            for number, (count, branches, function) in sorted(counts(objects, source).items()):
                branches = [] if number in checks else branches
                sums[0] += count > 0
                sums[1] += 1
                sums[2] += sum(taken > 0 for taken in branches)
                sums[3] += len(branches)
                line = text[number - 1]
                place = f"{source} {function}"
                if count == 0:
                    print(f"{source}:{number}: line: {line}", file=report)
                    used.add((place, line))
                    if (place, line) not in allowed:
                        wrong.append(f"{source}:{number}: not reached, and not in {list_path}: {line}")
                elif 0 in branches:
                    never = [str(i + 1) for i, taken in enumerate(branches) if taken == 0]
                    print(f"{source}:{number}: branch {','.join(never)} of {len(branches)}: {line}", file=report)
            show(source, sums)
            total = [a + b for a, b in zip(total, sums)]
    show("all", total)
    for (place, line), number in allowed.items():
        if (place, line) not in used:
            wrong.append(f"{list_path}:{number}: was reached, or is gone: {place}: {line}")
    if 100 * total[2] < float(floor) * total[3]:
        wrong.append(f"{100 * total[2] / total[3]:.1f} % of the branches were taken, fewer than {floor} %")
    print("\n".join(wrong), end="\n" if wrong else "")
    sys.exit(1 if wrong else 0)


def show(name, sums):
    share = [100 * reached / every if every else 100 for reached, every in (sums[:2], sums[2:])]
    print(f"{'note: ' if name == 'all' else ''}{name:34} lines {share[0]:6.1f} % of {sums[1]:<5} "
          f"branches {share[1]:6.1f} % of {sums[3]}")


main()
