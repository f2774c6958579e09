# SPDX-License-Identifier: MIT
"""Measures every contender and writes docs/benchmarks.md. scripts/bench calls it."""
import argparse
import os
import pickle
import platform
import re
import subprocess
import sys
import time

import plot
import trace
from workers import Worker, measure, median, quartiles, ratios

HERE = os.path.dirname(os.path.abspath(__file__))

# name, program, raw calls to compare with, what it is
CONTENDERS = [
    ("raw sysv", ["raw_sysv"], None, "shmget, shmat, shmctl"),
    ("unishm sysv", ["ours", "sysv"], "raw sysv", "this library"),
    ("ACE sysv", ["peer_ace_sv"], "raw sysv", "ACE_SV_Shared_Memory"),
    ("Boost sysv", ["peer_boost_xsi"], "raw sysv", "xsi_shared_memory + mapped_region"),
    ("NSPR", ["peer_nspr"], "raw sysv", "PRSharedMemory, key files on a tmpfs"),
    ("Qt", ["peer_qt"], "raw sysv", "QSharedMemory, key files on a tmpfs"),
    ("OSSP mm", ["peer_mm"], "raw sysv", "mm_core_create, lock file on a tmpfs"),
    ("raw posix", ["raw_posix"], None, "shm_open, ftruncate, mmap"),
    ("unishm posix", ["ours", "posix"], "raw posix", "this library"),
    ("bare posix", ["bare_posix"], "raw posix", "the calls that this library makes, without it"),
    ("Boost posix", ["peer_boost_shm"], "raw posix", "shared_memory_object + mapped_region"),
    ("APR", ["peer_apr"], "raw posix", "apr_shm, named"),
    ("ACE file", ["peer_ace_mm"], "raw posix", "ACE_Mem_Map, file on a tmpfs"),
    ("POCO", ["peer_poco"], "raw posix", "Poco::SharedMemory"),
    ("Python", None, "raw posix", "multiprocessing.shared_memory"),
]
FOUR = ["raw sysv", "unishm sysv", "raw posix", "unishm posix"]

OPERATIONS = [
    ("create", "create, no memory reserved"),
    ("create_reserved", "create, memory reserved"),
    ("create_attach", "create and attach, not reserved"),
    ("remove", "remove and close"),
    ("open_pair", "open, attach, detach, close"),
    ("open_pair_fused", "the same in two calls: one opens and attaches, the other closes"),
    ("open_pair_again", "the same, while the process has it attached by another handle"),
    ("attach_pair", "attach, detach on an open handle"),
    ("life", "create, attach, touch all 16 pages, detach, remove, close"),
    ("life_reserved", "the same, memory reserved"),
    ("status", "status, one attachment"),
    ("ask_size", "size of an open segment"),
    ("lock_pair", "lock in RAM, unlock"),
    ("two_threads", "attach, detach in two threads, a segment each"),
    ("two_threads_one_handle", "the same, both threads on one handle"),
    ("eight_processes", "open, attach, detach, close in 8 processes at once, 8 times one"),
]

started = time.monotonic()


def say(text):
    print(f"[{time.monotonic() - started:4.0f} s] {text}", file=sys.stderr, flush=True)


class Bench:
    def __init__(self, options):
        self.options = options
        self.quick = options.quick
        self.rounds = 31 if options.quick else 201
        self.budget = 500_000 if options.quick else 1_000_000
        self.few = 11 if options.quick else 51
        self.env = dict(os.environ, TMPDIR="/dev/shm")
        self.env["LD_LIBRARY_PATH"] = options.libdir
        self.results = {}  # operation -> samples
        self.contenders = [c for c in CONTENDERS if self.command(c[1])]
        self.missing = [c[0] for c in CONTENDERS if not self.command(c[1])]
        for name in self.missing:
            say(f"not here, left out: {name}")

    def command(self, program):
        if program is None:
            return [sys.executable, os.path.join(HERE, "peer_python.py")]
        path = os.path.join(self.options.build, program[0])
        return [path, *program[1:]] if os.path.exists(path) else None

    def workers(self, names=None):
        return [
            Worker(name, self.command(program), raw, self.env)
            for name, program, raw, _ in self.contenders
            if names is None or name in names
        ]

    # ---- Measuring ------------------------------------------------------------

    def measure_operations(self):
        workers = self.workers()
        for number, (operation, title) in enumerate(OPERATIONS, 1):
            say(f"operation {number} of {len(OPERATIONS)}: {title}")
            heavy = operation == "eight_processes"
            self.results[operation] = measure(
                workers, operation, self.few if heavy else self.rounds, self.budget
            )
        for worker in workers:
            worker.end()

    def measure_growth(self, setting, values, operations, names=FOUR, rounds=None, budget=None):
        """operation -> value -> samples"""
        found = {operation: {} for operation in operations}
        for value in values:
            say(f"{setting} {value}")
            workers = self.workers(names)
            for worker in workers:
                worker.set(setting, value)
            for operation in operations:
                found[operation][value] = measure(
                    workers, operation, rounds or self.few, budget or self.budget
                )
            for worker in workers:
                worker.end()
        return found

    def measure_all(self):
        self.measure_operations()
        most = 100 if self.quick else 1000
        self.measure_forks()
        self.by_list = self.measure_growth("segments", [10, most], ["list"])["list"]
        counts = [n for n in (1, 10, 100, 1000) if n <= most]
        self.by_holders = self.measure_growth(
            "holders", counts, ["status", "attach_pair", "open_pair"]
        )
        self.by_segments = self.measure_growth(
            "segments", counts, ["create", "open_pair", "attach_pair"]
        )
        sizes = [4096 << shift for shift in ((0, 8, 18) if self.quick else range(0, 20, 3))]
        self.by_size = self.measure_growth("size", sizes, ["create", "open_pair", "attach_pair"])
        self.measure_streams()
        self.trace_all()

    def measure_forks(self):
        """All states in one run, since differences between them are wanted too."""
        workers = []
        for count in (0, 1, 16):
            say(f"fork with {count} attached: getting ready")
            for worker in self.workers(FOUR):
                worker.set("attached", count)
                worker.name += f" {count}"
                workers.append(worker)
        say("fork")
        samples = measure(workers, "fork", self.rounds, 2 * self.budget)
        for worker in workers:
            worker.end()
        self.fork = {
            count: {name: samples[f"{name} {count}"] for name in FOUR} for count in (0, 1, 16)
        }

    def measure_streams(self):
        size = (32 if self.quick else 1024) << 20
        ways = [
            "raw-sysv",
            "raw-posix",
            "sysv",
            "posix",
            "sysv-reserve",
            "posix-reserve",
            "sysv-populate",
            "posix-populate",
            "sysv-thp",
            "posix-thp",
            "sysv-thp-populate",
            "posix-thp-populate",
            "sysv-huge",
        ]
        self.stream_size, self.streams = size, {way: [] for way in ways}
        with HugePages(size) as pages:
            self.huge_pages_note = pages.note
            for number in range(3):
                say(f"first touch and streaming, round {number + 1}")
                for way in ways:
                    done = subprocess.run(
                        own_place(way)
                        + [os.path.join(self.options.build, "stream"), way, str(size)],
                        env=self.env,
                        capture_output=True,
                        text=True,
                        check=True,
                    )
                    if done.stdout.strip() != "no":
                        self.streams[way].append([int(n) for n in done.stdout.split()])

    def trace_all(self):
        say("system calls")
        self.traces = {}
        listed = [o for o, _ in OPERATIONS if not o.startswith(("two_", "eight_"))]
        for name, program, _, _ in self.contenders:
            mine = {o: trace.sequence(self.command(program), o, self.env) for o in listed}
            if name in FOUR:
                mine["list"] = trace.sequence(self.command(program), "list", self.env)
                mine["fork"] = trace.sequence(
                    self.command(program), "fork", self.env, ["attached 1"]
                )
            self.traces[name] = {o: calls for o, calls in mine.items() if calls is not None}

    # ---- Figures --------------------------------------------------------------

    def ratio(self, operation, name, baseline):
        samples = self.results[operation]
        return median(ratios(samples, name, baseline))

    def targets(self):
        """(what, aim, value, unit, what the bare calls of ours cost or None)"""
        def ratio(what, limit, operation, ours, raw, unit="x raw"):
            samples = self.results[operation]
            bare = "bare posix" if ours == "unishm posix" and "bare posix" in samples else None
            bound = median(ratios(samples, bare, raw)) if bare else None
            return what, limit, self.ratio(operation, ours, raw), unit, bound

        def sysv(what, limit, operation):
            return ratio(f"{what}, System V", limit, operation, "unishm sysv", "raw sysv")

        def posix(what, limit, operation):
            return ratio(f"{what}, POSIX", limit, operation, "unishm posix", "raw posix")

        def in_growth(samples, what, limit, ours, raw, unit="x raw"):
            return what, limit, median(ratios(samples, ours, raw)), unit, None

        fork = self.fork
        further = [
            (many - one) / 15000
            for many, one in zip(fork[16]["unishm posix"], fork[1]["unishm posix"])
        ]
        most, listed = max(self.by_holders["status"]), max(self.by_list)
        held = self.by_holders["status"]
        return [
            sysv("attach, detach on an open handle", 1.06, "attach_pair"),
            sysv("open, attach, detach, close", 1.12, "open_pair"),
            ratio("status, System V", 1.08, "status", "unishm sysv", "raw sysv", "x IPC_STAT"),
            sysv("full life, reserved", 1.02, "life_reserved"),
            posix("attach, detach on an open handle", 1.2, "attach_pair"),
            posix("open, attach, detach, close in four calls", 1.9, "open_pair"),
            posix("the same in two", 1.75, "open_pair_fused"),
            posix("create", 1.6, "create"),
            posix("create, attach", 1.8, "create_attach"),
            posix("remove, close", 2.2, "remove"),
            posix("full life, reserved", 1.2, "life_reserved"),
            ratio("status, POSIX", 2.4, "status", "unishm posix", "raw sysv", "x IPC_STAT"),
            in_growth(
                held[1],
                "status, one process attached elsewhere, POSIX",
                3.3,
                "unishm posix",
                "raw sysv",
                "x IPC_STAT",
            ),
            (
                f"status, {most} attached processes, POSIX",
                1.5,
                median(held[most]["unishm posix"]) / 1e6,
                "ms",
                None,
            ),
            in_growth(fork[1], "fork, one attached, POSIX", 1.3, "unishm posix", "raw posix"),
            ("fork, each further segment, POSIX", 9, median(further), "µs", None),
            in_growth(
                self.by_list[listed],
                f"list of {listed}, POSIX",
                2.5,
                "unishm posix",
                "raw posix",
            ),
        ]

    def text_targets(self):
        lines = [
            "| what | aim | measured | over it by | the bare calls |",
            "|---|--:|--:|--:|--:|",
        ]
        for what, limit, value, unit, bound in self.targets():
            over = f"{100 * (value / limit - 1):.0f} %" if value > limit else ""
            bare = f"{bound:.2f}" if bound else ""
            lines.append(f"| {what} | {limit} {unit} | {value:.2f} {unit} | {over} | {bare} |")
        return "\n".join(lines)

    def text_ratios(self):
        short = [o for o, _ in OPERATIONS if not o.startswith(("two_", "eight_"))]
        lines = [
            "| | " + " | ".join(o.replace("_", " ") for o in short) + " |",
            "|---|" + "--:|" * len(short),
        ]
        for name, _, raw, _ in self.contenders:
            cells = []
            for operation in short:
                samples = self.results[operation]
                if name not in samples:
                    cells.append("")
                elif raw and raw in samples:
                    value = f"{self.ratio(operation, name, raw):.2f}"
                    cells.append(f"**{value}**" if name.startswith("unishm") else value)
                else:
                    cells.append("1" if not raw else "*")
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def text_times(self):
        out = []
        for operation, title in OPERATIONS:
            samples = self.results[operation]
            out.append(f"### {title[0].upper()}{title[1:]} (`{operation}`)\n")
            out.append(
                "| | median | middle half | ratio to raw | its middle half |\n|---|--:|--:|--:|--:|"
            )
            for name, _, raw, _ in self.contenders:
                if name not in samples:
                    continue
                low, high = quartiles(samples[name])
                row = (
                    f"| {name} | {nanos(median(samples[name]))} | {nanos(low)} to {nanos(high)} | "
                )
                if raw and raw in samples and (each := ratios(samples, name, raw)):
                    low, high = quartiles(each)
                    row += f"{median(each):.2f} | {low:.2f} to {high:.2f} |"
                else:
                    row += " | |"
                out.append(row)
            out.append("")
        return "\n".join(out)

    def text_growth(self, found, operation, unit):
        values = sorted(found[operation])
        lines = [
            "| | " + " | ".join(unit(v) for v in values) + " |",
            "|---|" + "--:|" * len(values),
        ]
        for name in FOUR:
            cells = []
            for value in values:
                samples = found[operation][value]
                cell = nanos(median(samples[name])) if name in samples else ""
                raw = name.replace("unishm", "raw")
                if raw != name and raw in samples and name in samples:
                    cell += f" ({median(ratios(samples, name, raw)):.2f})"
                cells.append(cell)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def text_streams(self):
        lines = [
            f"| {self.stream_size >> 20} MiB | every page there after | write | read "
            "| one read at a random place | in huge pages |",
            "|---|--:|--:|--:|--:|--:|",
        ]
        for way, runs in self.streams.items():
            if not runs:
                lines.append(f"| {way} | not on this machine | | | | |")
                continue
            ready, write, read, huge, one = (median([run[i] for run in runs]) for i in range(5))
            speed = self.stream_size / 2**30
            lines.append(
                f"| {way} | {ready / 1e6:.1f} ms | {speed / write * 1e9:.1f} GiB/s | "
                f"{speed / read * 1e9:.1f} GiB/s | {one:.0f} ns | {huge / 1024:.0f} MiB |"
            )
        return "\n".join(lines)

    def text_traces(self):
        out = []
        names = [o for o, _ in OPERATIONS] + ["list", "fork"]
        for operation in names:
            rows = [
                (name, self.traces[name][operation])
                for name, _, _, _ in self.contenders
                if operation in self.traces.get(name, {})
            ]
            if not rows:
                continue
            out.append(f"### `{operation}`\n\n| | calls | which |\n|---|--:|---|")
            for name, calls in rows:
                out.append(
                    f"| {name} | {trace.count(calls)} "
                    f"| {trace.text(calls).replace('|', '/') or 'none'} |"
                )
            out.append("")
        return "\n".join(out)

    def text_machine(self):
        model = "unknown"
        for line in open("/proc/cpuinfo"):
            if line.startswith(("model name", "Model")):
                model = line.split(":", 1)[1].strip()
                break
        compiler = subprocess.run(
            ["cc", "--version"], capture_output=True, text=True
        ).stdout.split("\n")[0]
        versions = ["unishm " + self.options.version]
        versions += [f"{name} {number}" for name, number in peer_versions().items()]
        versions.append("Python " + platform.python_version())
        return (
            f"- processor: {model}, {os.cpu_count()} cores\n"
            f"- kernel: {platform.system()} {platform.release().split('-')[0]}, "
            f"{platform.machine()}\n"
            f"- C library: {' '.join(platform.libc_ver())}; compiler: {compiler}\n"
            f"- versions: {', '.join(versions)}\n"
            + (f"- not here, and left out: {', '.join(self.missing)}\n" if self.missing else "")
        )

    # ---- Plots ----------------------------------------------------------------

    def plot_all(self, directory):
        os.makedirs(directory, exist_ok=True)
        for operation, title in (
            ("attach_pair", "attach + detach on an open handle"),
            ("open_pair", "open + attach + detach + close"),
            ("create_attach", "create + attach"),
            ("life", "full life, 16 pages touched"),
        ):
            samples = self.results[operation]
            rows = [
                (name, median(ratios(samples, name, raw)), name.startswith("unishm"))
                for name, _, raw, _ in self.contenders
                if raw and name in samples
            ]
            plot.bars(
                f"{directory}/{operation}.svg",
                title,
                "times the raw calls of the same kind (1 = no cost)",
                sorted(rows, key=lambda row: row[1]),
            )

        def curves(found, operation):
            return {
                name: [
                    (value, median(samples[name]))
                    for value, samples in sorted(found[operation].items())
                    if name in samples
                ]
                for name in FOUR
            }

        plot.lines(
            f"{directory}/status-processes.svg",
            "status, by attached processes",
            "attached processes",
            "nanoseconds",
            curves(self.by_holders, "status"),
        )
        plot.lines(
            f"{directory}/attach-processes.svg",
            "attach + detach, by attached processes",
            "attached processes",
            "nanoseconds",
            curves(self.by_holders, "attach_pair"),
            y_log=False,
        )
        plot.lines(
            f"{directory}/open-segments.svg",
            "open + attach + detach + close, by segments that exist",
            "segments",
            "nanoseconds",
            curves(self.by_segments, "open_pair"),
            y_log=False,
        )
        plot.lines(
            f"{directory}/attach-size.svg",
            "attach + detach, by size",
            "size",
            "nanoseconds",
            curves(self.by_size, "attach_pair"),
            y_log=False,
            x_text=size_text,
        )
        rows = [
            (
                way,
                median([run[0] for run in runs]) / self.stream_size * 4096 / 1000,
                not way.startswith("raw"),
            )
            for way, runs in self.streams.items()
            if runs
        ]
        plot.bars(
            f"{directory}/first-touch.svg",
            "from create to every page written once",
            "microseconds per 4 KiB page",
            rows,
            y_log=False,
            mark=None,
        )

    # ---- The document ---------------------------------------------------------

    def write(self, path):
        notes = read_notes()
        fork_rows = {"fork": self.fork}
        list_rows = {"list": self.by_list}
        figures = {
            "machine": self.text_machine(),
            "how": f"{self.rounds} rounds"
            + (" (a quick run: figures are rough)" if self.quick else ""),
            "targets": self.text_targets(),
            "ratios": self.text_ratios(),
            "contenders": "\n".join(
                f"- **{name}**: {what}" for name, _, _, what in self.contenders
            ),
            "times": self.text_times(),
            "fork": self.text_growth(fork_rows, "fork", lambda v: f"{v} attached"),
            "list": self.text_growth(list_rows, "list", lambda v: f"{v} segments"),
            "status_processes": self.text_growth(
                self.by_holders, "status", lambda v: f"{v} processes"
            ),
            "attach_processes": self.text_growth(
                self.by_holders, "attach_pair", lambda v: f"{v} processes"
            ),
            "open_processes": self.text_growth(
                self.by_holders, "open_pair", lambda v: f"{v} processes"
            ),
            "create_segments": self.text_growth(
                self.by_segments, "create", lambda v: f"{v} segments"
            ),
            "open_segments": self.text_growth(
                self.by_segments, "open_pair", lambda v: f"{v} segments"
            ),
            "create_size": self.text_growth(self.by_size, "create", size_text),
            "open_size": self.text_growth(self.by_size, "open_pair", size_text),
            "attach_size": self.text_growth(self.by_size, "attach_pair", size_text),
            "streams": self.text_streams(),
            "huge_pages": self.huge_pages_note,
            "traces": self.text_traces(),
        }
        for operation, samples in self.results.items():
            for kind in "sysv", "posix":
                if f"unishm {kind}" in samples and f"raw {kind}" in samples:
                    value = self.ratio(operation, f"unishm {kind}", f"raw {kind}")
                    figures[f"{operation} {kind}"] = f"{value:.2f}"
        for name, text in figures.items():
            notes = notes.replace("{{" + name + "}}", text.rstrip("\n"))
        with open(path, "w") as file:
            file.write(notes)


def own_place(way):
    """Before the command: shared memory of its own that may be in huge pages, if asked for."""
    if not way.startswith("posix-thp") or os.geteuid() != 0:
        return []
    mount = 'mount -t tmpfs -o mode=1777,huge=advise tmpfs /dev/shm && exec "$@"'
    return ["unshare", "-m", "sh", "-c", mount, "sh"]


class HugePages:
    """Reserve enough explicit huge pages for a while, if this user may, and let System V segments
    have transparent ones when they ask."""

    def __init__(self, size):
        self.shmem = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
        self.shmem_before = None
        self.file = "/proc/sys/vm/nr_hugepages"
        self.wanted = size // (2 << 20) + 1
        self.before = None
        self.note = "No explicit huge pages could be reserved by this user, so `-huge` is missing."

    def __enter__(self):
        try:
            self.shmem_before = re.search(r"\[(\w+)\]", open(self.shmem).read())[1]
            with open(self.shmem, "w") as file:
                file.write("advise")
        except (OSError, TypeError):
            self.shmem_before = None
        try:
            before = int(open(self.file).read())
            with open(self.file, "w") as file:
                file.write(str(before + self.wanted))
            self.before = before
            if int(open(self.file).read()) >= self.wanted:
                self.note = "Explicit huge pages (2 MiB) were reserved for the run and given back."
        except (OSError, ValueError):
            pass
        return self

    def __exit__(self, *_):
        if self.shmem_before is not None:
            with open(self.shmem, "w") as file:
                file.write(self.shmem_before)
        if self.before is not None:
            with open(self.file, "w") as file:
                file.write(str(self.before))


def read_notes():
    """The template, without its own comment."""
    text = open(os.path.join(HERE, "notes.md")).read()
    return text.split("-->\n", 1)[1] if text.startswith("<!--") else text


def nanos(value):
    if value < 10:
        return f"{value:.1f} ns"
    if value < 10_000:
        return f"{value:.0f} ns"
    if value < 10_000_000:
        return f"{value / 1000:.1f} µs"
    return f"{value / 1_000_000:.1f} ms"


def size_text(size):
    for unit, shift in (("GiB", 30), ("MiB", 20)):
        if size >> shift:
            return f"{size >> shift} {unit}"
    return f"{size >> 10} KiB"


def peer_versions():
    found = {}
    for label, modules in (
        ("APR", ["apr-1"]),
        ("NSPR", ["nspr"]),
        ("Qt", ["Qt6Core", "Qt5Core"]),
        ("ACE", ["ACE"]),
    ):
        for module in modules:
            done = subprocess.run(
                ["pkg-config", "--modversion", module], capture_output=True, text=True
            )
            if done.returncode == 0:
                found[label] = done.stdout.strip()
                break
    for label, file, word in (
        ("Boost", "boost/version.hpp", "BOOST_LIB_VERSION"),
        ("POCO", "Poco/Version.h", "POCO_VERSION"),
        ("OSSP mm", "mm.h", "MM_VERSION"),
    ):
        try:
            for line in open("/usr/include/" + file):
                parts = line.split()
                if parts[:2] == ["#define", word]:
                    found[label] = readable(parts[2].strip('"').replace("_", "."))
        except OSError:
            pass
    return found


def readable(number):
    """POCO writes 0x010B0000 for 1.11.0."""
    if number.startswith("0x"):
        value = int(number, 16)
        return ".".join(str(value >> shift & 255) for shift in (24, 16, 8))
    return number


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True, help="where bench/meson.build was built")
    parser.add_argument("--libdir", required=True, help="where libunishm is")
    parser.add_argument("--version", default="")
    parser.add_argument("--docs", required=True, help="directory of benchmarks.md")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--again", action="store_true", help="write the document anew from the last measurement"
    )
    options = parser.parse_args()
    kept = os.path.join(options.build, "measured.pickle")
    if options.again:
        bench = pickle.load(open(kept, "rb"))
        bench.options = options
    else:
        bench = Bench(options)
        bench.measure_all()
        pickle.dump(bench, open(kept, "wb"))
    say("plots and document")
    bench.plot_all(os.path.join(options.docs, "benchmarks"))
    bench.write(os.path.join(options.docs, "benchmarks.md"))
    print(bench.text_targets())
    say("done: " + os.path.join(options.docs, "benchmarks.md"))


if __name__ == "__main__":
    main()
