# SPDX-License-Identifier: MIT
"""Which system calls an operation makes, from strace."""
import os
import re
import subprocess
import tempfile

CALL = re.compile(r"^(?:(\d+) +)?(\w+)\((.*)")


def sequence(command, operation, env, before=()):
    """The calls of one run: a list of names, with "|" between attach and detach and "child:"
    before what a child of it does; None when there is no such operation."""
    with tempfile.TemporaryDirectory() as directory:
        log = os.path.join(directory, "strace")
        commands = "".join(f"{line}\n" for line in before) + f"trace {operation}\n"
        follow = ["-f"] if operation.startswith("fork") else []
        done = subprocess.run(
            ["strace", *follow, "-o", log, *command],
            input=commands,
            text=True,
            env=env,
            capture_output=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"strace {command}: {done.stderr}")
        if done.stdout.split("\n")[len(before)] == "no":
            return None
        return between_marks(open(log))


def between_marks(lines):
    calls, inside, main = [], False, None
    for line in lines:
        found = CALL.match(line)
        if not found:
            continue
        pid, name, rest = found.groups()
        if '"BEGIN"' in rest:
            calls, inside, main = [], True, pid
        elif '"END"' in rest:
            inside = False
        elif '"|"' in rest:
            calls.append("|")
        elif inside and name not in ("exit_group", "exit", "rseq", "set_robust_list"):
            calls.append(name if pid == main else "child:" + name)
    return calls


def count(calls):
    return sum(1 for call in calls if call != "|")


def text(calls):
    """ "openat fstat*2 mmap | munmap"; first the parent's, then a child's."""
    mine = [call for call in calls if not call.startswith("child:")]
    child = [call[6:] for call in calls if call.startswith("child:")]
    return shorten(mine) + ("; child: " + shorten(child) if child else "")


def shorten(calls):
    words = []
    for call in calls:
        call = {"newfstatat": "fstat", "pread64": "pread", "pwrite64": "pwrite"}.get(call, call)
        if words and words[-1][0] == call and call != "|":
            words[-1][1] += 1
        else:
            words.append([call, 1])
    return " ".join(name if times == 1 else f"{name}*{times}" for name, times in words)
