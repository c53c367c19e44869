#!/usr/bin/env python3
"""The chain bridge + host-local + portmap + firewall + bandwidth + tuning, killed and failing wherever it can be.

    crash.py [EXECUTABLE] [--axe FILE] [--quick] [--every N] [--seed N] [--only TEXT] [--calls A-B] [--jobs N]
             [--everything] [--log FILE] [--limit MINUTES]

What is tried is told by the table that comes last. --every N tries every Nth point of each of its rows, in each from another
one on, which follows from --seed; --quick does that with the numbers in QUICK. --only tries those rows whose name, as it is in the
table, has TEXT in it. In processes of their own, a plugin's calls that change nothing outside of it are not killed one by one,
as that leaves the same each time; with --everything they are. --limit ends it after so many minutes, as failed; then, and when
it is told to end, the table comes all the same.

Everything happens in namespaces of its own, which end with this program, however it ends.
"""

import argparse
import itertools
import multiprocessing
import os
import shutil
import signal
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
import table as tables  # noqa: E402
import turmoil  # noqa: E402
import world  # noqa: E402
from host import enter_private_namespaces, own_state  # noqa: E402

# Every Nth point of each part, and the rounds of a turmoil: all of it in a few minutes. Odd, where faults and commands take
# turns: each of them is to be met.
QUICK = {"one process": 25, "processes": 161, "files of state": 11, "inputs missing": 7, "rounds": 1}


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


def begin_work():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    own_state()


class Workers:
    """Processes that try points, each with directories of state of its own. Where one is gone, so is the whole run."""

    def __init__(self, jobs):
        self.pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("fork"), initializer=begin_work)

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


class Ended(BaseException):
    """Why the run is not to go on. No error of a part's, that another part could follow."""


def end_when_told(minutes):
    def told(number, _):
        raise Ended(f"not done after {minutes} minutes" if number == signal.SIGALRM else "ended before it was done")

    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    signal.alarm(round(60 * minutes))


def run_axe(table, workers, options):
    for processes, neighbour in ((False, False), (False, True), (True, False)):
        where = ("processes" if processes else "one process") + (", neighbour" if neighbour else "")
        for command in points.COMMANDS:
            if neighbour and command == "check":
                continue
            faults = [*(f"killed, then {recovery}" for recovery in points.RECOVERIES), *points.ERRORS]
            if any(options.only in f"{where} {command.upper()} {fault}" for fault in faults):
                run_command(table, workers, options, where, (processes, command, neighbour))


def run_command(table, workers, options, where, what):
    processes, command, neighbour = what
    try:
        calls = workers.one(points.count, what)
    except Exception as error:
        table.add(where, command.upper(), "none", [f"{type(error).__name__}: {error}"], title=command.upper())
        return
    chosen, same = points.points(processes, command, neighbour, calls, options.everything)
    chosen = [point for point in chosen if options.only in f"{where} {command.upper()} {point.row}"]
    table.there_are((where, command.upper(), point.row) for point in chosen)
    note = f", {same} of them of no consequence" if same else ""
    note = f"{where}: {command.upper()} has {len(calls)} system calls{note}: {len(chosen)} points"
    chosen = points.sample(chosen, options.every["processes" if processes else "one process"], options.seed)
    if options.calls:
        first, _, last = options.calls.partition("-")
        chosen = [point for point in chosen if int(first) <= point.call.number <= int(last or first)]
    print(f"{note}, {len(chosen)} of them tried", flush=True)
    # A call that was not where it was counted, as the kernel was slower or faster: another two times.
    for _ in range(3):
        missed = []
        for outcome in workers.all(points.attempt, chosen):
            if outcome.missed:
                missed.append(outcome.point)
            else:
                record(table, where, outcome)
        chosen = missed
    for point in chosen:
        table.missed(point, where, command.upper(), point.row)
    if chosen:
        print(f"{where}: {command.upper()}: {len(chosen)} points were not met: {chosen[0].title}", flush=True)


def run_damage(table, workers, options):
    run_list(table, workers, options, "files of state", damage, lambda task: (task.command.split(",")[0], task.fault))


def run_inputs(table, workers, options):
    run_list(table, workers, options, "inputs missing", inputs, lambda task: (task.command.upper(), inputs.group(task)))


def run_list(table, workers, options, where, part, place):
    """What a part of these lists, each in its place in the table: the command and the row."""
    if options.only not in where:
        return
    tasks = workers.one(part.tasks)
    table.there_are((where, *place(task)) for task in tasks)
    chosen = tasks[options.seed % options.every[where] :: options.every[where]]
    print(f"{where}: {len(tasks)} points, {len(chosen)} of them tried", flush=True)
    for task, problems in workers.all(part.attempt, chosen):
        table.add(where, *place(task), problems, title=task.title)


def run_turmoils(table, workers, options):
    for what in turmoil.TURMOILS:
        if options.only not in f"turmoil {what}":
            continue
        table.there_are([("turmoil", "all", what)])
        # One after the other: what it is to hold out against is to be had in full.
        note, problems = workers.one(turmoil.attempt, what, options.every["rounds"])
        print(f"{what}: {note}", flush=True)
        table.add("turmoil", "all", what, problems, title=what)


def record(table, where, outcome):
    point = outcome.point
    problems = outcome.problems
    if problems:
        problems = [*problems, f"it said: {outcome.message[:400]}"]
    table.add(where, point.command.upper(), point.row, problems, outcome.ending, point.title)


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
    parser.add_argument("--limit", type=float, default=0, metavar="MINUTES")
    options = parser.parse_args()
    if options.quick:
        options.every = QUICK
    else:
        options.every = {**dict.fromkeys(QUICK, max(options.every, 1)), "rounds": turmoil.ROUNDS}
    enter_private_namespaces()
    prepare(options.executable, options.axe)
    table = tables.Table(options.log)
    workers = Workers(options.jobs)
    end_when_told(options.limit)
    try:
        for part in (run_turmoils, run_damage, run_inputs, run_axe):
            part(table, workers, options)
        workers.end()
    except (Exception, Ended) as error:  # what was tried is told all the same
        table.fail(error if isinstance(error, Ended) else f"{type(error).__name__}: {error}")
    finally:
        signal.alarm(0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
    status = table.close()
    sys.stdout.flush()
    # Workers that are not done end with their namespace.
    os._exit(status)


if __name__ == "__main__":
    main()
