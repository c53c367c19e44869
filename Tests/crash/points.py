"""The axe: a command of the chain is killed, or made to fail, at each of its system calls in turn, and what that leaves
is looked at."""

import collections
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import verdict
from verdict import KILL, MEMORY, RECOVERIES
from world import World

COMMANDS = ("add", "del", "check", "gc")
ERRORS = ("ENOMEM", "EINTR", "ENOSPC", "EAGAIN", "EPERM", "ENOBUFS", "refused:ENOMEM", "refused:EPERM", "refused:ENOSPC")
# Calls that change nothing outside of their process: killed before or after such a one, what is left is the same.
PRIVATE = {
    "brk", "mmap", "munmap", "mprotect", "madvise", "arch_prctl", "set_tid_address", "set_robust_list", "rseq",
    "prlimit64", "rt_sigaction", "rt_sigprocmask", "gettid", "getpid", "geteuid", "getrandom", "sched_getaffinity",
    "capget", "newfstatat", "fstat", "stat", "lstat", "statx", "access", "faccessat", "faccessat2", "readlink",
    "readlinkat", "getcwd", "read", "pread64", "getdents64", "close", "fcntl", "dup", "dup2", "dup3", "pipe2",
    "eventfd2", "poll", "ppoll", "socket", "socketpair", "bind", "setsockopt", "getsockopt", "getsockname",
    "recvfrom", "recvmsg", "setns", "flock", "clock_nanosleep", "pidfd_open", "wait4", "waitid", "ioctl",
}  # fmt: skip
# After one that has waited, others have changed the host meanwhile.
WAITING = {"wait4", "waitid", "poll", "ppoll", "read", "recvmsg", "flock", "clock_nanosleep"}
# The axe could not do its work.
AXE_FAILED = 125


@dataclass(frozen=True)
class Call:
    """A system call of the undisturbed command."""

    process: int
    number: int
    name: str
    errors: tuple
    what: str
    # What it asks of netlink.
    requests: str
    # Which of the process's calls of that name that ask the same it is: the others may be more or less, as somebody is waited
    # for longer.
    nth: int

    # Before the program's own first line: nothing has been done yet, and there is nobody to say why.
    is_start: bool = False

    def __str__(self):
        return " ".join(word for word in (self.name, self.requests, self.what) if word not in ("", "-"))


@dataclass(frozen=True)
class Point:
    """Something to try: one row of the table counts those that have all but the call in common."""

    processes: bool
    command: str
    fault: str
    recovery: str
    neighbour: bool
    call: Call

    @property
    def row(self):
        """The name of its fault in the table: which request of several it is that is refused makes no other one."""
        return f"killed, then {self.recovery}" if self.fault == KILL else ":".join(self.fault.split(":")[:2])

    @property
    def error(self):
        """That which the command is given to see; nothing, if it is killed."""
        return "" if self.fault == KILL else self.row.removeprefix("refused:")

    @property
    def title(self):
        where = f"process {self.call.process}, call {self.call.number}" if self.processes else f"call {self.call.number}"
        return f"{self.command.upper()}, {where} ({self.call}), {self.fault}, then {self.recovery}"


@dataclass
class Outcome:
    """What a point showed."""

    point: Point
    missed: bool = False
    ending: str = ""  # killed, success, kept, error, died
    message: str = ""
    problems: list = field(default_factory=list)


def axe_options(call, fault):
    log = f"/run/axe-log-{os.getpid()}"
    options = ["-l", log, "-p", str(call.process), "-c", call.name, "-r", call.requests, "-n", str(call.nth)]
    return log, options + (["-k"] if fault == KILL else ["-e", fault])


def begin(processes, command, neighbour=False):
    """A host on which the command has something to do."""
    world = World(processes, neighbour)
    if command != "add":
        world.need("add")
    return world


def raises(problem):
    raise OSError(problem)


def count(task):
    """The calls of the undisturbed command."""
    processes, command, neighbour = task
    expected = reference(processes, neighbour)
    world = begin(processes, command, neighbour)
    log = f"/run/axe-log-{os.getpid()}"
    answer = world.call(command, axe=["-l", log])
    if answer.failed:
        raise OSError(f"{command} under the axe: {answer.error}")
    verdict.tells(answer.text, command, expected.result, raises)
    calls = []
    named = collections.Counter()
    begun = set()
    unknown = set()
    for line in Path(log).read_text(errors="replace").splitlines():
        process, number, name, requests, errors, *what = line.split(" ", 5)
        what = " ".join(what)
        # The first that is read: the directory of configurations, or a plugin's standard input.
        if what == str(world.configurations) or (name == "read" and what.startswith("pipe:")):
            begun.add(process)
        errors = () if errors == "-" else tuple(errors.split(","))
        key = process, name, requests
        named[key] += 1
        if name.startswith("call-"):
            unknown.add(name.removeprefix("call-"))
        calls.append(Call(int(process), int(number), name, errors, what, requests, named[key], process not in begun))
    if unknown:
        raise OSError(f"the axe does not know what errors these system calls give, by their numbers: {sorted(unknown)}")
    return calls


@dataclass
class Reference:
    """What an undisturbed ADD leads to."""

    host: dict
    result: dict


REFERENCE = {}


def reference(processes, neighbour):
    """What an undisturbed ADD leads to; the same each time."""
    key = processes, neighbour
    if key not in REFERENCE:
        world = World(processes, neighbour)
        answer = world.need("add")
        REFERENCE[key] = Reference(world.attached(), verdict.told(answer.text))
    return REFERENCE[key]


def attempt(point):
    """Tries one point; what is raised here is an outcome, too."""
    try:
        return attempted(point)
    except Exception as error:  # the other points are to be tried all the same
        return Outcome(point, problems=[f"{type(error).__name__}: {error}"])


def attempted(point):
    expected = reference(point.processes, point.neighbour)
    world = begin(point.processes, point.command, point.neighbour)
    outcome = Outcome(point)
    log, options = axe_options(point.call, point.fault)
    answer = world.call(point.command, axe=options)
    problem = outcome.problems.append
    outcome.message = answer.error
    if answer.status == AXE_FAILED and answer.error.startswith("axe: "):
        problem(answer.error)
        return outcome
    hit = Path(log).read_text(errors="replace").split()
    if answer.hangs:
        problem("it hangs" if hit else "it hangs, before it has come to this call")
        return outcome
    if not hit:
        outcome.missed = True
        return outcome
    # Where it is a plugin's process that is killed, whoever called it lives, and has to clean up.
    manager_lives = point.call.process > 0
    if point.fault == KILL and not manager_lives:
        outcome.ending = "killed"
    elif answer.died:
        outcome.ending = "died"
        # Who cannot come back from another namespace must not go on, and says so.
        told = point.call.name == "setns" and point.error and verdict.names_error(answer.error, point.error)
        if not (point.call.is_start or point.call.name in MEMORY or told):
            problem(f"it died, of an error that it could have told of: {answer.error[:300]!r}")
    else:
        outcome.ending = verdict.judge(point, world, answer, expected, problem)
    verdict.recover(point, world, problem)
    return outcome


def waits(call):
    """May the call take as long as others take? A file does not let anybody wait."""
    return call.name in WAITING and not (call.name == "read" and call.what.startswith("/"))


def points(processes, command, neighbour, calls, everything=False):
    """All that is to be tried with a command whose calls these are, and how many are left out as the same as others.

    Where a neighbour is, what is of interest is what becomes of it.
    """
    recoveries = list(RECOVERIES) if command == "add" and not neighbour else ["DEL", "GC"]
    different = calls
    if processes and not everything:
        previous = {}
        different = []
        for call in calls:
            before = previous.get(call.process)
            if before is None or before.name not in PRIVATE or waits(before):
                different.append(call)
            previous[call.process] = call
    chosen = [Point(processes, command, KILL, recovery, neighbour, call) for recovery in recoveries for call in different]
    if not neighbour:
        chosen += [Point(processes, command, error, in_turn(command, call, error), False, call)
                   for call in calls for error in call.errors]  # fmt: skip
    return chosen, len(calls) - len(different)


def in_turn(command, call, error):
    """What follows a call that failed: DEL or GC, about as often."""
    return ("DEL", "GC")[zlib.crc32(f"{command} {call.process} {call.name} {call.nth} {error}".encode()) & 1]


def sample(chosen, every, seed):
    """Every Nth of each row of the table, from another one on in each, as other rows see other calls; and three of each, as one call may
    not come up another time."""
    rows = {}
    for point in chosen:
        rows.setdefault(point.row, []).append(point)
    few = []
    for row in rows.values():
        step = max(min(every, len(row) // 3), 1)
        name = f"{row[0].processes} {row[0].command} {row[0].neighbour} {row[0].row} {seed}"
        few += row[zlib.crc32(name.encode()) % step :: step]
    return few
