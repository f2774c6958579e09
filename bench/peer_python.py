# SPDX-License-Identifier: MIT
"""multiprocessing.shared_memory, speaking the language of bench/worker.c."""
import os
import sys
from multiprocessing.shared_memory import SharedMemory
from time import perf_counter_ns

size = 65536
base = f"bench-python.{os.getpid():08x}."


def trace(text):
    try:
        os.write(999999, text)
    except OSError:
        pass


def create_attach(count, marks=False):
    spent = 0
    for _ in range(count):
        start = perf_counter_ns()
        if marks:
            trace(b"BEGIN")
        segment = SharedMemory(base + "0", create=True, size=size)
        if marks:
            trace(b"END")
        spent += perf_counter_ns() - start
        segment.unlink()
        segment.close()
    return spent


def open_pair(count, marks=False):
    start = perf_counter_ns()
    if marks:
        trace(b"BEGIN")
    for _ in range(count):
        segment = SharedMemory(base + "fixed")
        if marks:
            trace(b"|")
        segment.close()
    if marks:
        trace(b"END")
    return perf_counter_ns() - start


def life(count, marks=False):
    start = perf_counter_ns()
    if marks:
        trace(b"BEGIN")
    for _ in range(count):
        segment = SharedMemory(base + "0", create=True, size=size)
        buffer = segment.buf
        for i in range(0, size, 4096):
            buffer[i] = 1
        del buffer
        segment.unlink()
        segment.close()
    if marks:
        trace(b"END")
    return perf_counter_ns() - start


def ask_size(count, marks=False):
    start = perf_counter_ns()
    if marks:
        trace(b"BEGIN")
    for _ in range(count):
        fixed.size
    if marks:
        trace(b"END")
    return perf_counter_ns() - start


operations = {
    "create_attach": create_attach,
    "open_pair": open_pair,
    "life": life,
    "ask_size": ask_size,
}
fixed = SharedMemory(base + "fixed", create=True, size=size)
try:
    for line in sys.stdin:
        word, argument = line.split()
        if word == "trace":
            call = operations.get(argument)
            answer = call(1, True) if call else "no"
        else:
            call = operations.get(word)
            answer = call(int(argument)) if call else "no"
        print(answer, flush=True)
finally:
    fixed.unlink()
    fixed.close()
