"""The hosts on which attachments are measured, and how: each side has one of its own, a network namespace.

A side is one way to have plugins: `go` (the peer's, executed), `ours` (ours, executed), `inside` (ours, linked into the
runtime). The runtime is the same for all three, our `cnitool bench-attach`, a process that stays and takes the times
itself; `floor` is a program that makes the same changes to the kernel and nothing else.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

VERSION = "1.0.0"  # the newest that both know
WORK = Path("/run/bench")
LEASES = "/var/lib/cni/networks"
SIDES = ("go", "ours", "inside")
PATIENCE = 120  # seconds, for any one command; a measurement is several calls, and a crowd of containers takes long
PAUSE = 0.2  # seconds
NAMES = {"go": "Go plugins", "ours": "ours, processes", "inside": "ours, in-process", "floor": "the kernel alone"}


def execute(*command, input=None, env=None, patience=PATIENCE):
    """A command that must succeed, in time; its output."""
    words = [str(word) for word in command]
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL if input is None else subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=env, start_new_session=True)  # fmt: skip
    try:
        output, complaint = process.communicate(input, timeout=patience)
    except BaseException as error:
        # With all that it has started: plugins hold the pipes open.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise RuntimeError(f"{' '.join(words)[:200]} did not end within {patience} s") from error
        raise
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(words)[:200]} ended with {process.returncode}: "
                           f"{complaint.strip() or output.strip()[-1000:]}")
    return output


def make_namespaces(names):
    execute("ip", "-batch", "-", input="".join(f"netns add {name}\n" for name in names))


def remove_namespaces(names):
    """Those that are there, also if one of them cannot be removed."""
    present = [name for name in names if Path("/run/netns", name).exists()]
    execute("ip", "-force", "-batch", "-", input="".join(f"netns delete {name}\n" for name in present))


class Tools:
    """The programs: ours under all its names, the peer's, and those that measure."""

    def __init__(self, options):
        self.quick = options.quick
        self.spawn = f"{options.tools}/spawn"
        self.floor = f"{options.tools}/floor"
        # On disk as an installed one is, not in memory as the rest of the state here.
        directory = Path(options.tools, "ours")
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        executable = Path(options.ours)
        names = execute(executable, "--list-names").split()
        first = directory / "cnitool"
        first.write_bytes(executable.read_bytes())
        first.chmod(0o755)
        for name in names:
            directory.joinpath(name).hardlink_to(first)
        self.cnitool = str(first)
        self.installed = first.stat().st_blocks * 512
        self.paths = {"go": options.go, "ours": str(directory), "inside": ""}
        self.names = names
        # Memory is measured as a difference between executables, not between their page caches.
        for file in [first, *Path(options.go).iterdir()]:
            file.read_bytes()

    def stand_ins(self, side):
        """A directory like that of the side, in which each plugin's process is measured on its own."""
        directory = WORK / f"stand-in-{side}"
        if not directory.exists():
            directory.mkdir()
            first = directory / "first"
            first.write_bytes(Path(self.spawn).read_bytes())
            first.chmod(0o755)
            for name in os.listdir(self.paths[side]):
                directory.joinpath(name).hardlink_to(first)
            directory.joinpath("real").symlink_to(self.paths[side])
        return directory

    def run(self, command, environment, stdin="/dev/null"):
        """One process, by `spawn`: {"wall", "cpu" in ms, "peak" in KiB}. It must succeed."""
        output = WORK / "output"
        words = execute(self.spawn, "-i", stdin, "-o", output, *command, env=environment).split()
        if words[3] != "0":
            raise RuntimeError(f"{' '.join(command)} ended with {words[3]}: {output.read_text()}")
        return {"wall": int(words[0]) / 1e6, "cpu": int(words[1]) / 1e6, "peak": int(words[2])}


class Samples:
    """What was measured of one side: op -> measure -> values."""

    def __init__(self):
        self.values = {}

    def add(self, op, measure, value):
        self.values.setdefault((op, measure), []).append(value)

    def median(self, op, measure):
        values = self.values.get((op, measure))
        return statistics.median(values) if values else None

    def quartiles(self, op, measure):
        """The first and the third."""
        values = self.values.get((op, measure))
        if not values:
            return None
        if len(values) == 1:
            return values * 2
        first, _, third = statistics.quantiles(values, n=4, method="inclusive")
        return [first, third]

    def take(self, output, skip, memory=False):
        """The lines that bench-attach and floor print. Of the first `skip` rounds it takes no time."""
        seen = {}
        for line in output.splitlines():
            op, *words = line.split()
            if op == "MEMORY":
                for measure, word in zip(("peak", "own"), words if memory else ()):
                    self.add("ADD", measure, int(word))
                continue
            if op != "EACH":
                seen[op] = seen.get(op, 0) + 1
            if seen["ADD"] > skip:
                self.add(op, "wall", int(words[0]) / 1e6)
                if len(words) > 1:
                    self.add(op, "cpu", int(words[1]) / 1e6)


def moved(capabilities, distance=1000):
    """The same for another container of the host: its ports are others."""
    if capabilities is None:
        return None
    ports = [port | {"hostPort": port["hostPort"] + distance} for port in capabilities["portMappings"]]
    return capabilities | {"portMappings": ports}


class Host:
    """A host of one side, a container to be measured on it, and a network.

    `plugins` is the network's list; `prepare` are `ip` commands for the host; with `resident` one container is there
    before, and stays, as on a node at work: bridges, tables and chains exist.
    """

    number = 0

    def __init__(self, tools, side, plugins, prepare="", capabilities=None, interface="eth0", resident=True):
        Host.number += 1
        self.tools, self.side = tools, side
        self.name = f"h{Host.number}"
        self.container = f"{self.name}-measured"
        self.network = f"network{Host.number}"
        self.interface = interface
        self.capabilities = capabilities
        self.namespaces = [self.name, self.container]
        self.processes = []
        try:
            make_namespaces(self.namespaces)
            execute("ip", "-n", self.name, "-batch", "-", input="link set lo up\n" + prepare)
            self.configurations = WORK / self.name
            self.configurations.mkdir()
            (self.configurations / "10.conflist").write_text(
                json.dumps({"cniVersion": VERSION, "name": self.network, "plugins": plugins}))
            if resident:
                self.attach(f"{self.name}-resident", moved(capabilities))
        except BaseException:
            self.close()
            raise

    def path(self, namespace):
        return f"/run/netns/{namespace}"

    def environment(self, path=None, capabilities=None):
        environment = {
            "PATH": os.environ["PATH"], "NETCONFPATH": str(self.configurations), "CNI_IFNAME": self.interface,
            "CNI_PATH": self.tools.paths[self.side] if path is None else str(path)}  # fmt: skip
        if capabilities:
            environment["CAP_ARGS"] = json.dumps(capabilities)
        return environment

    def inside(self, *command):
        return ["nsenter", f"--net={self.path(self.name)}", *map(str, command)]

    def make(self, namespaces):
        """Further ones, which go with the host."""
        self.namespaces += namespaces
        make_namespaces(namespaces)

    def attach(self, namespace, capabilities=None):
        """A container that stays."""
        self.make([namespace])
        execute(*self.inside(self.tools.cnitool, "add", self.network, self.path(namespace)),
                env=self.environment(capabilities=capabilities))

    def detach(self, namespace, capabilities=None):
        execute(*self.inside(self.tools.cnitool, "del", self.network, self.path(namespace)),
                env=self.environment(capabilities=capabilities))

    def measure(self, samples, count, containers=None, warm_up=True, **options):
        """`count` times ADD and DEL, after one that warms up. The options are those of bench-attach."""
        words = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        paths = [self.path(container) for container in containers or [self.container]]
        output = execute(
            *self.inside(self.tools.cnitool, "bench-attach", self.network, *paths, "--count", count + warm_up, *words),
            env=self.environment(capabilities=self.capabilities), patience=5 * PATIENCE)
        samples.take(output, skip=int(warm_up), memory=self.side == "inside")

    def measure_memory(self, samples):
        """Of the plugins' processes at ADD, one of which is executed at a time, the largest: its peak, and what is its own."""
        directory = self.tools.stand_ins(self.side)
        usage = directory / "usage"
        usage.unlink(missing_ok=True)
        for op in ("add", "del"):
            execute(*self.inside(self.tools.cnitool, op, self.network, self.path(self.container)),
                    env=self.environment(directory, self.capabilities))
            if op == "add":
                lines = [line.split() for line in usage.read_text().splitlines()]
                samples.add("ADD", "peak", max(int(line[1]) for line in lines))
                samples.add("ADD", "own", max(int(line[2]) for line in lines))

    def start(self, *command):
        """A process that belongs to the host."""
        with open(WORK / f"{self.name}.log", "ab") as log:
            process = subprocess.Popen(
                self.inside(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.processes.append(process)
        return process

    def close(self):
        """Ends all of it; what cannot be ended is told, and does not keep the rest."""
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        try:
            remove_namespaces(self.namespaces)
        except RuntimeError as error:
            print(f"{self.name} was not removed whole: {error}", file=sys.stderr)
        shutil.rmtree(Path(LEASES, self.network), ignore_errors=True)


@contextmanager
def every_side(tools, plugins, **options):
    """A host for each side, until the end of the block."""
    with ExitStack() as stack:
        yield {side: stack.enter_context(closing(Host(tools, side, plugins, **options))) for side in SIDES}


def floor(tools, samples, pieces, count):
    samples.take(execute(tools.floor, count, *pieces), skip=0)
    # Its namespaces end with it, but the kernel frees them later, and would hold up who comes next.
    time.sleep(PAUSE)


def orders(count):
    """Orders of `count` bodies in which each follows each other one equally often (R. M. Williams' squares)."""
    zigzag = [(place + 1) // 2 if place % 2 else -(place // 2) for place in range(count)]
    square = [[(body + turn) % count for body in zigzag] for turn in range(count)]
    return square + [row[::-1] for row in square] if count % 2 else square


def interleave(rounds, bodies):
    """Runs the bodies in turns, in orders that change: a slow moment of the machine, and what a body leaves, meet all."""
    turns = orders(len(bodies))
    for turn in range(rounds):
        for body in turns[turn % len(turns)]:
            bodies[body]()
