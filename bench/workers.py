# SPDX-License-Identifier: MIT
"""Talk to the contenders' programs, and measure them round by round."""
import statistics
import subprocess


class Worker:
    """One contender: a running program of bench/worker.c, or one that speaks like it."""

    def __init__(self, name, command, raw, env=None):
        self.name, self.command, self.raw, self.env = name, command, raw, env
        self.settings = {}
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.env
        )

    def set(self, setting, value):
        self.settings[setting] = value
        self.ask(setting, value)

    def ask_again(self, operation, count):
        """Once more, by a new program: some peers make keys that can meet by chance."""
        self.process.wait()
        self.start()
        for setting, value in self.settings.items():
            self.ask(setting, value)
        return self.ask(operation, count)

    def ask(self, what, argument):
        """The answer to one command: a number, or None for "no"."""
        self.process.stdin.write(f"{what} {argument}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{self.name} ended during: {what} {argument}")
        return None if line == "no" else int(line)

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def calibrate(worker, operation, budget_ns):
    """How often to repeat an operation in one sample; 0: there is no such operation."""
    count = 1
    while True:
        spent = worker.ask(operation, count)
        if spent is None:
            return 0
        if spent * 2 >= budget_ns or count >= 100000:
            return max(1, min(100000, round(count * budget_ns / max(spent, 1))))
        count *= 4


def measure(workers, operation, rounds, budget_ns, tick=lambda: None):
    """Nanoseconds of one operation, one number a round, of every worker that has it.

    Within a round the workers take turns, in an order that rotates, so that what else the
    machine does falls on all of them alike; ratios are taken within rounds."""
    counts = {w: calibrate(w, operation, budget_ns) for w in workers}
    workers = [w for w in workers if counts[w]]
    samples = {w.name: [] for w in workers}
    for number in range(rounds):
        shift = number % len(workers) if workers else 0
        for worker in workers[shift:] + workers[:shift]:
            count = counts[worker]
            try:
                spent = worker.ask(operation, count)
            except (RuntimeError, BrokenPipeError):
                spent = worker.ask_again(operation, count)
            samples[worker.name].append(spent / count)
            tick()
    return samples


def ratios(samples, name, baseline):
    """The ratio to the baseline, round by round."""
    return [a / b for a, b in zip(samples[name], samples[baseline]) if b > 0]


def median(values):
    return statistics.median(values)


def quartiles(values):
    values = sorted(values)
    last = len(values) - 1
    return values[round(last * 0.25)], values[round(last * 0.75)]
