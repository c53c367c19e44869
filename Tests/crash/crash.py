#!/usr/bin/env python3
"""The chain bridge + host-local + portmap + firewall + bandwidth + tuning, killed and failing wherever it can be.

    crash.py [EXECUTABLE] [--axe FILE] [--quick] [--every N] [--seed N] [--only TEXT] [--calls A-B] [--jobs N]
             [--everything] [--log FILE]

What is tried is told by the table that comes last. --every N tries every Nth point of each of its rows, in each from another
one on, which follows from --seed; --quick does that with the numbers in QUICK. --only tries those rows whose name, as it is in the
table, has TEXT in it. In processes of their own, a plugin's calls that change nothing outside of it are not killed one by one, as that leaves
the same each time; with --everything they are.

Everything happens in namespaces of its own, which end with this program, however it ends.
"""

import argparse
import collections
import itertools
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path

sys.dont_write_bytecode = True
for folder in ("differential", "crash"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / folder))

import damage  # noqa: E402
import inputs  # noqa: E402
import points  # noqa: E402
import turmoil  # noqa: E402
import world  # noqa: E402
from host import enter_private_namespaces, own_state  # noqa: E402

# Every Nth point of each part, and the rounds of a turmoil: all of it in a few minutes. Odd, where faults and commands take
# turns: each of them is to be met.
QUICK = {"one process": 24, "processes": 160, "files of state": 11, "inputs missing": 7, "rounds": 1}
SHOWN = 4


def prepare(executable, axe):
    """Plugins under their names. host-local is a file of its own: as another name of the same it would run in the process
    that delegates to it."""
    directory = Path(world.TOOL).parent
    directory.mkdir()
    first = directory / "cnitool"
    shutil.copyfile(executable, first)
    first.chmod(0o755)
    for name in subprocess.run([executable, "--list-names"], capture_output=True, text=True, check=True).stdout.split():
        if name == "host-local":
            shutil.copyfile(executable, directory / name)
            (directory / name).chmod(0o755)
        elif name != "cnitool":
            (directory / name).hardlink_to(first)
    shutil.copyfile(axe, world.AXE)
    Path(world.AXE).chmod(0o755)


class Workers:
    """Processes that try points, each with directories of state of its own. Where one is gone, so is the whole run."""

    def __init__(self, jobs):
        self.pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("fork"), initializer=own_state)

    def one(self, function, *arguments):
        return self.pool.submit(function, *arguments).result()

    def end(self):
        """So that the last word is the table's."""
        self.pool.shutdown()

    def all(self, function, tasks):
        """What comes of each, in no order. So many are handed out as there is something to do for."""
        waiting = set()
        count, done, told = len(tasks), 0, time.monotonic()
        tasks = iter(tasks)
        while True:
            waiting.update(self.pool.submit(function, task) for task in itertools.islice(tasks, 64 - len(waiting)))
            if not waiting:
                return
            ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (each.result() for each in ready)
            done += len(ready)
            if time.monotonic() - told > 60:
                told = time.monotonic()
                print(f"    {done} of {count}", flush=True)


class Table:
    """Counts, and remembers what to print of what failed."""

    def __init__(self, log):
        self.log = log
        self.rows = {}
        self.started = time.monotonic()
        self.passed = self.failed = 0

    def row(self, where, command, fault):
        return self.rows.setdefault((where, command, fault), collections.Counter())

    def there_are(self, rows):
        """How many points each row has, tried or not."""
        for row in rows:
            self.row(*row)["all"] += 1

    def add(self, where, command, fault, problems, ending="", title=""):
        row = self.row(where, command, fault)
        row["tried"] += 1
        row[ending] += 1
        if problems:
            row["leaks"] += 1
            self.failed += 1
            lines = [f"FAILED: {where}: {title}", *(f"    {problem}"[:700] for problem in problems[:20])]
            if row["leaks"] <= SHOWN:
                print("\n".join(lines), flush=True)
            if self.log:
                print("\n".join(lines), file=self.log, flush=True)
        else:
            row["survived"] += 1
            self.passed += 1

    def close(self):
        form = "{:<22} {:<7} {:<33} {:>6} {:>6} {:>9} {:>7} {:>7}  {:>8} {:>6} {:>5}"
        print()
        heads = ("chain", "command", "fault", "points", "tried", "survived", "leaks", "not met", "success", "error", "died")
        print(form.format(*heads).rstrip())
        sums = collections.Counter()
        for (where, command, fault), row in self.rows.items():
            sums.update(row)
            print(form.format(where, command, fault, *self.counts(row)).rstrip())
        print(form.format("all", "", "", *self.counts(sums)).rstrip())
        minutes, seconds = divmod(round(time.monotonic() - self.started), 60)
        print(f"\n{sums['tried']} of {sums['all']} points tried in {minutes} min {seconds} s: "
              f"{sums['survived']} survived, {sums['leaks']} did not")  # fmt: skip
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0

    @staticmethod
    def counts(row):
        endings = [row[ending] or "" for ending in ("missed", "success", "error", "died")]
        return [row["all"], row["tried"], row["survived"], row["leaks"], *endings]


def run_axe(table, workers, options):
    for processes, neighbour in ((False, False), (False, True), (True, False)):
        where = ("processes" if processes else "one process") + (", neighbour" if neighbour else "")
        for command in points.COMMANDS:
            if neighbour and command == "check":
                continue
            faults = [*(f"killed, then {recovery}" for recovery in points.RECOVERIES), *points.ERRORS]
            if not any(options.only in f"{where} {command.upper()} {fault}" for fault in faults):
                continue
            calls = workers.one(points.count, (processes, command, neighbour))
            chosen, same = points.points(processes, command, neighbour, calls, options.everything)
            chosen = [point for point in chosen if options.only in f"{where} {command.upper()} {fault_name(point)}"]
            table.there_are((where, command.upper(), fault_name(point)) for point in chosen)
            note = f", {same} of them of no consequence" if same else ""
            note = f"{where}: {command.upper()} has {len(calls)} system calls{note}: {len(chosen)} points"
            chosen = points.sample(chosen, options.every["processes" if processes else "one process"], options.seed)
            if options.calls:
                first, _, last = options.calls.partition("-")
                chosen = [point for point in chosen if int(first) <= point.call.number <= int(last or first)]
            print(f"{note}, {len(chosen)} of them tried", flush=True)
            missed = []
            for outcome in workers.all(points.attempt, chosen):
                if outcome.missed:
                    missed.append(outcome.point)
                else:
                    record(table, where, outcome)
            # A call that was not where it was counted, as the kernel was slower or faster: another two times.
            for _ in range(2):
                again, missed = missed, []
                for outcome in workers.all(points.attempt, again):
                    if outcome.missed:
                        missed.append(outcome.point)
                    else:
                        record(table, where, outcome)
            for point in missed:
                row = table.row(where, command.upper(), fault_name(point))
                row["missed"] += 1
            if missed:
                print(f"{where}: {command.upper()}: {len(missed)} points were not met: {missed[0].title}", flush=True)


def run_damage(table, workers, options):
    where = "files of state"
    if options.only not in where:
        return
    tasks = damage.tasks(workers.one(damage.find))
    table.there_are((where, task.command.split(",")[0], task.fault) for task in tasks)
    chosen = tasks[options.seed % options.every[where] :: options.every[where]]
    print(f"{where}: {len(tasks)} points, {len(chosen)} of them tried", flush=True)
    for task, problems in workers.all(damage.attempt, chosen):
        table.add(where, task.command.split(",")[0], task.fault, problems, title=task.title)


def run_inputs(table, workers, options):
    where = "inputs missing"
    if options.only not in where:
        return
    tasks = inputs.tasks()
    table.there_are((where, task.command.upper(), inputs.group(task)) for task in tasks)
    chosen = tasks[options.seed % options.every[where] :: options.every[where]]
    print(f"{where}: {len(tasks)} points, {len(chosen)} of them tried", flush=True)
    for task, problems in workers.all(inputs.attempt, chosen):
        table.add(where, task.command.upper(), inputs.group(task), problems, title=task.title)


def run_turmoils(table, workers, options):
    for what in turmoil.TURMOILS:
        if options.only not in f"turmoil {what}":
            continue
        table.there_are([("turmoil", "all", what)])
        # One after the other: what it is to hold out against is to be had in full.
        note, problems = workers.one(turmoil.attempt, what, options.every["rounds"])
        print(f"{what}: {note}", flush=True)
        table.add("turmoil", "all", what, problems, title=what)


def fault_name(point):
    if point.fault != points.KILL:
        return point.fault
    return f"killed, then {point.recovery}"


def record(table, where, outcome):
    point = outcome.point
    problems = outcome.problems
    if problems:
        problems = [*problems, f"it said: {outcome.message[:400]}"]
    table.add(where, point.command.upper(), fault_name(point), problems, outcome.ending, point.title)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("executable", nargs="?", default=os.environ.get("PRODUCT", ".build/install/cni"))
    parser.add_argument("--axe", default=".build/crash/axe")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--calls", default="", help="only calls with numbers from 10-20, or only 10")
    # Most of the time they wait for the kernel.
    parser.add_argument("--jobs", type=int, default=6 * (os.cpu_count() or 1))
    parser.add_argument("--log", type=argparse.FileType("w"), help="a file that tells of every failure, not only the first")
    parser.add_argument("--everything", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.every = QUICK
    else:
        options.every = {**dict.fromkeys(QUICK, max(options.every, 1)), "rounds": turmoil.ROUNDS}
    sys.argv[0] = os.path.realpath(sys.argv[0])
    enter_private_namespaces()
    prepare(options.executable, options.axe)
    table = Table(options.log)
    workers = Workers(options.jobs)
    run_turmoils(table, workers, options)
    run_damage(table, workers, options)
    run_inputs(table, workers, options)
    run_axe(table, workers, options)
    workers.end()
    sys.exit(table.close())


if __name__ == "__main__":
    main()
