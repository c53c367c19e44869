"""Kills of a runtime while it works on a container, and how many of them have hit it at work."""

import json
import os
import select
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from node import Failure, command_line, end, remains, wait_until

# Besides the places between plugins, parts of the time that the work takes: before the first plugin, and after the last.
PARTS = (0.1, 0.4, 0.7)
NOWHERE = 1_000_000


def with_holds(configuration):
    """The chain, with a place to hold it after each of its plugins: after the last one, the runtime has not heard of it yet."""
    plugins = [each for plugin in configuration["plugins"] for each in (plugin, {"type": "hold"})]
    return {**configuration, "plugins": plugins}


@contextmanager
def held(command, number):
    """Chains of that command (ADD, DEL) are held at the place that they come to as the `number`th, and wait there for the end
    of the body."""
    hold, calls = Path("/run/hold"), Path("/run/calls")
    calls.mkdir()
    hold.write_text(f"{command} {number}\n")
    try:
        yield
    finally:
        for file in (hold, Path("/run/held")):
            file.unlink(missing_ok=True)
        shutil.rmtree(calls)


def who_is_held():
    """The process that has started what is held; None while nothing is."""
    try:
        return int(Path("/run/held").read_text())
    except (OSError, ValueError):
        return None


class Kills:
    """Kills of one kind of work in one scenario. The body of `with` is all of them."""

    def __init__(self, report, work, command, places):
        """The work is that of plugins called with the command; it comes by so many places to hold it."""
        self.report, self.work, self.command, self.places = report, work, command, places
        self.rules = remains.rules()
        self.hits, self.missed = 0, []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            return
        number = self.hits + len(self.missed)
        missed = f"; past it: {', '.join(self.missed)}" if self.missed else ""
        print(f"{self.report.runtime}: {self.hits} of {number} kills have hit {self.work}{missed}", flush=True)
        self.report.expect(f"kills hit {self.work}", self.hits * 2 >= number > 0, f"{self.hits} of {number}{missed}")

    def moments(self):
        return [*range(1, self.places + 1), *PARTS]

    def name(self, moment):
        if moment is None:
            return f"{self.work}, undisturbed"
        if isinstance(moment, int):
            return f"{self.work}, {self.command} {moment} of {self.places}"
        return f"{self.work}, at {moment} of its time"

    @contextmanager
    def measured(self):
        """The body is the work, undisturbed."""
        with held(self.command, NOWHERE):
            started = time.monotonic()
            yield
            self.duration = time.monotonic() - started
            found = len(list(Path("/run/calls").iterdir()))
        self.report.same(f"places that {self.work} comes by", found, self.places)

    @contextmanager
    def at(self, moment):
        """The body begins the work, calls what is given, which waits for the moment, and kills. It gives the process who has
        called the plugin that is held, if one is."""
        if isinstance(moment, int):
            with held(self.command, moment):

                def wait():
                    self.report.expect(f"{self.name(moment)}: is come to", wait_until(who_is_held, 60))
                    return who_is_held()

                yield wait
        else:

            def sleep():
                time.sleep(moment * self.duration)

            yield sleep

    def count(self, moment, hit):
        if hit:
            self.hits += 1
        else:
            self.missed.append(str(moment))

    def measure(self, command):
        """Lets a program do its work, which is over when it says something; gives its process."""
        with self.measured():
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            if not process.stdout.readline():
                raise Failure(f"{' '.join(command)} says nothing")
        return process

    def kill(self, moment, command):
        """Starts a program, and kills it, and with it the one of that name that has called the plugin that is held, if it has left
        that to another one (what conmon starts does the work of `podman rm`, too). It was at work if it was there to be killed, and
        had not said yet that it is done."""
        with self.at(moment) as wait:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            caller = wait()
            silent = not has_said_something(process)
            known = caller in (None, process.pid) or program(caller) == command[0]
            process.kill()
            ended = process.wait()
            if caller not in (None, process.pid) and known:
                end(caller)
            process.stdout.close()
            self.count(moment, ended == -signal.SIGKILL and silent and known)

    def one(self, moment, command):
        """The work killed at that moment, or, if there is none, undisturbed; then its program is killed with the work done."""
        if moment is not None:
            return self.kill(moment, command)
        process = self.measure(command)
        process.kill()
        process.wait()

    def nothing_left(self, moment, found, wanted):
        """After somebody has cleaned up: leases, given in any form, and rule sets."""
        self.report.same(f"{self.name(moment)}: leases after it", found, wanted)
        wait_until(lambda: remains.rules() == self.rules, 5)
        different = dict(remains.changes(self.rules, remains.rules()))
        for what in self.rules:
            self.report.expect(f"{self.name(moment)}: {what} is as before", what not in different, different.get(what))


def program(pid):
    return os.path.basename(command_line(str(pid))[0])


def has_said_something(process):
    readable, _, _ = select.select([process.stdout], [], [], 0)
    return bool(readable and os.read(process.stdout.fileno(), 1))


def write_with_holds(file):
    """Puts places to hold it into a chain's file; gives how many."""
    configuration = with_holds(json.loads(file.read_text()))
    file.write_text(json.dumps(configuration))
    return len(configuration["plugins"]) // 2
