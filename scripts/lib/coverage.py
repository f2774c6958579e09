# SPDX-License-Identifier: MIT
"""Lines and branches that ran, from what gcov tells of several builds.

coverage.py SOURCE BUILD... > TABLE
With --uncovered FILE: writes each branch and line of the library that never ran to FILE.
Fails when fewer of the library's lines or branches ran than LEAST says.
"""
import collections
import glob
import gzip
import json
import os
import subprocess
import sys
import tempfile

LEAST = (95, 85)  # percent of lines, of branches
AREAS = ("core/", "backends/", "tools/")
LEAVE_OUT = ("core/imitate.c", "backends/null.c")


def read_build(source, build, lines, branches):
    """Add what one build ran: the same place in several objects counts once."""
    notes = [os.path.abspath(n) for n in glob.glob(build + "/**/*.gcda", recursive=True)]
    with tempfile.TemporaryDirectory() as work:
        for at in range(0, len(notes), 40):
            subprocess.run(["gcov", "--json-format", "--branch-probabilities",
                            "--preserve-paths", "--hash-filenames"] + notes[at:at + 40], cwd=work,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        for name in glob.glob(work + "/*.gz"):
            with gzip.open(name) as file:
                told = json.load(file)
            base = told["current_working_directory"]
            for entry in told["files"]:
                path = os.path.relpath(os.path.normpath(os.path.join(base, entry["file"])), source)
                if path.startswith(AREAS) and path.endswith(".c") and path not in LEAVE_OUT:
                    add_file(entry, lines[path], branches[path])


def add_file(entry, lines, branches):
    for line in entry["lines"]:
        number = line["line_number"]
        lines[number] += line["count"]
        # branches that an exception takes are the compiler's
        real = [b for b in line["branches"] if not b["throw"]]
        for index, branch in enumerate(real):
            # another build may have cut the line into other branches: keep them apart
            branches[(number, len(real), index)] += branch["count"]


def rate(counts):
    return sum(1 for c in counts if c), len(counts)


def percent(done, of):
    return f"{100 * done / of:.0f} % of {of}" if of else "-"


def write_missing(name, lines, branches):
    if not name:
        return
    with open(name, "w", encoding="utf-8") as file:
        for path in sorted(lines):
            missing = {n for n, count in lines[path].items() if not count}
            file.writelines(f"{path}:{n}: line\n" for n in sorted(missing))
            file.writelines(f"{path}:{n}: branch {i + 1} of {of}\n"
                            for (n, of, i), count in sorted(branches[path].items())
                            if not count and n not in missing)


def main():
    arguments = sys.argv[1:]
    uncovered = None
    if arguments[0] == "--uncovered":
        uncovered = arguments[1]
        arguments = arguments[2:]
    source, builds = os.path.abspath(arguments[0]), arguments[1:]
    lines = collections.defaultdict(collections.Counter)
    branches = collections.defaultdict(collections.Counter)
    for build in builds:
        read_build(source, build, lines, branches)
    print("| file | lines | branches |\n| --- | --- | --- |")
    sums = collections.defaultdict(lambda: [0, 0, 0, 0])
    for path in sorted(lines):
        line, branch = rate(lines[path].values()), rate(branches[path].values())
        print(f"| {path} | {percent(*line)} | {percent(*branch)} |")
        whole = sums["the command" if path.startswith("tools/") else "the library"]
        for i, n in enumerate(line + branch):
            whole[i] += n
    write_missing(uncovered, lines, branches)
    for name, whole in sorted(sums.items(), reverse=True):
        print(f"| **{name}** | {percent(*whole[:2])} | {percent(*whole[2:])} |")
    library = sums["the library"]
    if 100 * library[0] < LEAST[0] * library[1] or 100 * library[2] < LEAST[1] * library[3]:
        sys.exit(f"the library: fewer than {LEAST[0]} % of lines or {LEAST[1]} % of branches")


main()
