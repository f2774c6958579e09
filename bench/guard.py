# SPDX-License-Identifier: MIT
"""Counts what operations cost without a clock: the instructions within libunishm (callgrind)
and the system calls (strace), and compares them with bench/baseline.txt. scripts/guard calls it.

The system calls must not grow at all. Instructions may by 5 %; they depend on compiler and
processor, so where these differ from the baseline's they are shown and not judged."""
import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile

import trace

HERE = os.path.dirname(os.path.abspath(__file__))
BASELINE = os.path.join(HERE, "baseline.txt")
OPERATIONS = [
    "create",
    "create_reserved",
    "remove",
    "open_pair",
    "open_pair_fused",
    "attach_pair",
    "life_reserved",
    "status",
    "lock_pair",
    "fork",
]
ALLOWED = 1.05
FEW = 12  # so many instructions more are never worse: a spill here or there


def built_by():
    compiler = subprocess.run(["cc", "-dumpfullversion"], capture_output=True, text=True).stdout
    first = subprocess.run(["cc", "--version"], capture_output=True, text=True).stdout.split()[0]
    return f"{first} {compiler.strip().split('.')[0]} {platform.machine()}"


def before(operation):
    """The state that an operation is measured in. The size is none that lets data and record
    be neighbours in memory as in the file: valgrind 3.19 joins and then loses them."""
    return ["size 60000"] + (["attached 1"] if operation == "fork" else [])


def instructions(command, operation, env):
    """Of the library itself: what libc does for it differs between its versions."""
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "callgrind")
        commands = "".join(f"{line}\n" for line in [*before(operation), f"count {operation}"])
        done = subprocess.run(
            [
                "valgrind",
                "--tool=callgrind",
                "--collect-atstart=no",
                "--compress-strings=no",
                "--compress-pos=no",
                f"--callgrind-out-file={out}",
                *command,
            ],
            input=commands,
            text=True,
            env=env,
            capture_output=True,
        )
        if done.returncode != 0:
            sys.exit(f"valgrind {' '.join(command)}: {done.stderr}")
        count = of_object(open(out), "libunishm")
        if count == 0:
            sys.exit(
                "callgrind collected nothing: was bench/worker.c built with valgrind's headers?"
            )
        return count


def of_object(lines, wanted):
    """The sum of the costs that lines of one object have themselves."""
    total, ours, skip = 0, False, False
    for line in lines:
        if line.startswith("ob="):
            ours = wanted in os.path.basename(line.strip())
        elif line.startswith("calls="):
            skip = True  # the next line is what the callee costs
        elif line[:1].isdigit() or line[:1] in "+-*":
            if ours and not skip:
                total += int(line.split()[1])
            skip = False
    return total


def measure(build, env):
    found = {}
    for backend in ("sysv", "posix"):
        command = [os.path.join(build, "ours"), backend]
        for operation in OPERATIONS:
            print(f"counting {backend} {operation}", file=sys.stderr)
            calls = trace.sequence(command, operation, env, before(operation))
            found[backend, operation] = (
                trace.count(calls),
                instructions(command, operation, env),
                trace.text(calls).replace("|", "/"),
            )
    return found


def write(found):
    with open(BASELINE, "w") as file:
        file.write(
            "# What operations cost: written by scripts/guard --update, see bench/guard.py.\n"
            f"# built by: {built_by()}\n"
            "# backend operation system-calls instructions-in-libunishm which-calls\n"
        )
        for (backend, operation), (calls, count, text) in found.items():
            file.write(f"{backend} {operation} {calls} {count} {text}\n")


def read():
    kept, by = {}, ""
    for line in open(BASELINE):
        if line.startswith("# built by: "):
            by = line.split(": ", 1)[1].strip()
        match = re.match(r"(\w+) (\w+) (\d+) (\d+) (.*)", line)
        if match:
            backend, operation, calls, count, text = match.groups()
            kept[backend, operation] = (int(calls), int(count), text)
    return kept, by


def compare(found, kept, judge):
    """Print all figures; the list of what got worse."""
    worse = []
    print(f"{'':24} {'calls':>11} {'instructions':>20}")
    for key, (calls, count, text) in found.items():
        name = " ".join(key)
        if key not in kept:
            worse.append(f"{name}: not in the baseline; run scripts/guard --update")
            continue
        old_calls, old_count, old_text = kept[key]
        change = 100 * (count / old_count - 1)
        print(
            f"{name:24} {old_calls:>3} -> {calls:<3}   {old_count:>6} -> {count:<6} {change:+.1f} %"
        )
        if calls > old_calls:
            worse.append(
                f"{name}: {calls} system calls, {old_calls} before\n"
                f"  now:    {text}\n  before: {old_text}"
            )
        if judge and count > old_count * ALLOWED and count > old_count + FEW:
            worse.append(f"{name}: {count} instructions, {old_count} before ({change:+.1f} %)")
    return worse


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--libdir", required=True)
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    env = dict(os.environ, LD_LIBRARY_PATH=options.libdir, LD_BIND_NOW="1")
    found = measure(options.build, env)
    if options.update:
        write(found)
        print(f"wrote {os.path.relpath(BASELINE)}")
        return
    kept, by = read()
    same = by == built_by()
    worse = compare(found, kept, same)
    if not same:
        print(f"instructions are not judged: the baseline was built by {by}, this by {built_by()}")
    if worse:
        sys.exit(
            "Worse than bench/baseline.txt:\n"
            + "\n".join(worse)
            + "\nIf that is meant, say why in the commit and run: scripts/guard --update"
        )
    print("no operation costs more than in bench/baseline.txt")


if __name__ == "__main__":
    main()
