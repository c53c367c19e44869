"""The axe: a command of the chain is killed, or made to fail, at each of its system calls in turn, and what that leaves
is looked at."""

import collections
import errno
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import kernel
from world import World

KILL = "kill"
COMMANDS = ("add", "del", "check", "gc")
ERRORS = ("ENOMEM", "EINTR", "ENOSPC", "EAGAIN", "EPERM", "ENOBUFS")
# How what a killed call left is to be got rid of. That of a container whose namespace has ended with it is next.
RECOVERIES = {
    "DEL": "del",
    "GC": "gc",
    "DEL, nothing remembered": "del",
    "GC, nothing remembered": "gc",
    "DEL, namespace gone": "del",
}
# Without memory nobody can say anything.
MEMORY = ("brk", "mmap", "mremap", "mprotect", "munmap", "madvise")
# What may be so forever, and so must not keep a container from being deleted.
LASTING = ("EPERM", "ENOSPC")
# Calls that change nothing outside of their process: killed before or after such a one, what is left is the same.
PRIVATE = {
    "brk", "mmap", "munmap", "mprotect", "madvise", "arch_prctl", "set_tid_address", "set_robust_list", "rseq",
    "prlimit64", "rt_sigaction", "rt_sigprocmask", "gettid", "getpid", "geteuid", "getrandom", "sched_getaffinity",
    "capget", "newfstatat", "fstat", "stat", "lstat", "statx", "access", "faccessat", "faccessat2", "readlink",
    "readlinkat", "getcwd", "read", "pread64", "getdents64", "close", "fcntl", "dup", "dup2", "dup3", "pipe2",
    "eventfd2", "poll", "ppoll", "socket", "socketpair", "bind", "setsockopt", "getsockopt", "getsockname",
    "recvfrom", "recvmsg", "setns", "flock", "clock_nanosleep", "pidfd_open", "wait4", "waitid", "ioctl",
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """A system call of the undisturbed command."""

    process: int
    number: int
    name: str
    errors: tuple
    what: str
    # Which of the process's calls of that name it is: the others may be more or less, as somebody is waited for longer.
    nth: int

    # Before the program's own first line: nothing has been done yet, and there is nobody to say why.
    is_start: bool = False

    def __str__(self):
        return f"{self.name} {self.what}".strip()


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
    def title(self):
        where = f"process {self.call.process}, call {self.call.number}" if self.processes else f"call {self.call.number}"
        return f"{self.command.upper()}, {where} ({self.call}), {self.fault}, then {self.recovery}"


@dataclass
class Outcome:
    """What a point showed."""

    point: Point
    missed: bool = False
    ending: str = ""  # killed, success, error, died
    message: str = ""
    problems: list = field(default_factory=list)


def axe_options(call, fault):
    log = f"/run/axe-log-{os.getpid()}"
    options = ["-l", log, "-p", str(call.process), "-c", call.name, "-n", str(call.nth)]
    return log, options + (["-k"] if fault == KILL else ["-e", fault])


def begin(processes, command, neighbour=False):
    """A host on which the command has something to do."""
    world = World(processes, neighbour)
    if command != "add":
        world.need("add")
    return world


def count(task):
    """The calls of the undisturbed command."""
    processes, command, neighbour = task
    world = begin(processes, command, neighbour)
    log = f"/run/axe-log-{os.getpid()}"
    answer = world.call(command, axe=["-l", log])
    if answer.failed:
        raise OSError(f"{command} under the axe: {answer.error}")
    calls = []
    named = collections.Counter()
    begun = set()
    for line in Path(log).read_text(errors="replace").splitlines():
        process, number, name, errors, *what = line.split(" ", 4)
        what = " ".join(what)
        # The first that is read: the directory of configurations, or a plugin's standard input.
        if what == str(world.configurations) or (name == "read" and what.startswith("pipe:")):
            begun.add(process)
        errors = () if errors == "-" else tuple(errors.split(","))
        named[process, name] += 1
        calls.append(Call(int(process), int(number), name, errors, what, named[process, name], process not in begun))
    return calls


REFERENCE = {}


def reference(processes, neighbour):
    """What a host looks like after an undisturbed ADD; the same each time."""
    key = processes, neighbour
    if key not in REFERENCE:
        world = World(processes, neighbour)
        world.need("add")
        REFERENCE[key] = world.attached()
    return REFERENCE[key]


def names_error(message, fault):
    """Says the message what failed? By number's name or the words for it."""
    words = os.strerror(getattr(errno, fault))
    return fault in message or words.lower() in message.lower()


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
    hit = Path(log).read_text(errors="replace").split()
    if not hit:
        outcome.missed = True
        return outcome
    problem = outcome.problems.append
    if answer.hangs:
        problem("it hangs")
    outcome.message = answer.error
    # Where it is a plugin's process that is killed, whoever called it lives, and has to clean up.
    manager_lives = point.call.process > 0
    if point.fault == KILL and not manager_lives:
        outcome.ending = "killed"
    elif answer.died:
        outcome.ending = "died"
        # Who cannot come back from another namespace must not go on, and says so.
        told = point.call.name == "setns" and names_error(answer.error, point.fault)
        if not (point.call.is_start or point.call.name in MEMORY or told):
            problem(f"it died, of an error that it could have told of: {answer.error[:300]!r}")
    else:
        outcome.ending = "error" if answer.failed else "success"
        judge(point, world, answer, expected, problem)
    recover(point, world, problem)
    return outcome


def judge(point, world, answer, expected, problem):
    """Whoever was told of an error, or of success, must be able to rely on it."""
    if answer.failed:
        if point.call.is_start and point.call.process == 0:
            if answer.text:
                problem(f"it said something for all that: {answer.text[:300]!r}")
        # Before it, last words of a plugin may come.
        elif "cnitool: " not in answer.error:
            problem(f"no clear error: {answer.error[:300]!r}")
        elif point.call.name in MEMORY and "killed by signal" in answer.error:
            # A plugin that got no memory. Who called it tells.
            pass
        elif not point.call.is_start and point.fault != KILL and not names_error(answer.error, point.fault):
            problem(f"it does not say what failed: {answer.error[:300]!r}")
        if point.fault == KILL and "signal" not in answer.error.lower() and "kill" not in answer.error.lower():
            problem(f"it does not say that the plugin was killed: {answer.error[:300]!r}")
        if "is not JSON" in answer.error or "cut short" in answer.error:
            problem(f"the plugin's error is no JSON: {answer.error[:300]!r}")
        if point.command == "add":
            for line in world.left():
                problem(f"after the failed ADD: {line}")
    elif point.command in ("del", "gc"):
        # That index is known to be wrong by its time, and made anew by whoever comes next; `recover` looks at it.
        left = [line for line in world.left() if "/.owners/" not in line]
        if left and said_what_it_keeps(left, answer.error, point.fault in LASTING):
            # Nobody waits for what may never be allowed: GC does it, once it is.
            collected = world.call("gc")
            if collected.failed:
                problem(f"GC after the {point.command.upper()} that could not do everything: {collected.error}")
            left = world.left()
        for line in left:
            problem(f"after the {point.command.upper()} that succeeded: {line}")
    if point.command == "check" or (point.command == "add" and not answer.failed):
        for line in kernel.differences(expected, world.attached()):
            # The index of leases by their owners only saves time: without it, they are searched.
            if "/.owners/" not in line:
                problem(f"after the {point.command.upper()}: {line}")
    if point.command == "add" and not answer.failed:
        checked = world.call("check")
        if checked.failed:
            problem(f"CHECK after the ADD that succeeded: {checked.error}")


def said_what_it_keeps(left, message, may_last):
    """Is all that is left the entry of the cache, which stops nobody, or a kernel setting of the container's and the file that
    says what it was before? And has whoever deletes been told so?"""
    rest = [line for line in left if f"cannot remove {line.removeprefix('files: left: ')}" not in message]
    if not rest:
        return True
    settings = [line for line in rest if line.startswith("container's settings: ")]
    files = [line for line in rest if line.startswith("files: left: ") and "/tuning/" in line]
    named = "core/somaxconn stays 500, and was" in message or "nothing is restored: cannot read" in message
    named = named and "GC, or another DEL, tries again" in message
    return bool(may_last and named and settings and len(files) == 1 and len(rest) == len(settings) + len(files))


def recover(point, world, problem):
    if "nothing remembered" in point.recovery:
        world.cache_goes()
    if "namespace gone" in point.recovery:
        world.container_goes()
    command = RECOVERIES[point.recovery]
    if point.recovery == "GC, nothing remembered":
        # GC knows of no namespace: what is in it goes with the container, whose end is why it is called.
        world.container_before = None
    answer = world.call(command)
    if answer.failed:
        problem(f"{command.upper()} afterwards: {answer.error}")
    for line in world.left():
        problem(f"after {command.upper()}: {line}")
    if world.container_before is None:
        world.container_goes()
    world.container_comes()
    try_again(point, world, problem)


def try_again(point, world, problem):
    """The host is as good as new: the next container comes; and goes, where that is looked at, as it takes as long as the rest."""
    goes = point.call.number % 4 == 0
    for command in ("add", "check", "del") if goes else ("add", "check"):
        answer = world.call(command)
        if answer.failed:
            problem(f"the next {command.upper()}: {answer.error}")
    if goes:
        for line in world.left():
            problem(f"after the next container: {line}")


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
            if before is None or before.name not in PRIVATE:
                different.append(call)
            previous[call.process] = call
    chosen = [Point(processes, command, KILL, recovery, neighbour, call) for recovery in recoveries for call in different]
    if not neighbour:
        chosen += [Point(processes, command, error, "DEL", False, call) for call in calls for error in call.errors]
    return chosen, len(calls) - len(different)


def sample(chosen, every, seed):
    """Every Nth of each row of the table, from another one on in each: other rows see other calls."""
    rows = {}
    for point in chosen:
        rows.setdefault((point.fault, point.recovery), []).append(point)
    few = []
    for row in rows.values():
        name = f"{row[0].processes} {row[0].command} {row[0].neighbour} {row[0].fault} {row[0].recovery} {seed}"
        few += row[zlib.crc32(name.encode()) % min(every, len(row)) :: every]
    return few
