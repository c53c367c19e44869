#!/usr/bin/env python3
"""Measures how ADD and DEL grow: with leases, containers present, published ports, and ADDs in flight.

    curves.py [--ours EXECUTABLE] [--go DIRECTORY] [--tools DIRECTORY] [--output FILE] [--only WORD] [--quick]

Both sides in the same run, interleaved, as in bench.py; figures are medians. The output is JSON, which plot.py draws:
{"machine", "curves": [{"name", "points": [{"x", "side", "op", "measure", "value"}], "notes"}]}.

Everything happens in namespaces of its own, which end with this program, however it ends.
"""

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench import arguments, machine, prepare  # first: it finds our other directories
from hosts import LEASES, NAMES, SIDES, Host, Samples, Tools, execute, interleave
from rows import CHAIN, HOST_LOCAL, PORTMAP, PORTS, PTP

PATIENCE = 20_000  # ms: where one ADD takes longer, a side's curve ends


@dataclass
class Curve:
    name: str
    points: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    ended: set = field(default_factory=set)  # sides that have become too slow
    last: dict = field(default_factory=dict)  # side -> (x, ADD in ms) of the last point

    def record(self, x, samples):
        for side, taken in samples.items():
            for (op, measure), _ in taken.values.items():
                self.points.append(
                    {"x": x, "side": side, "op": op, "measure": measure, "value": taken.median(op, measure)})

    def expected(self, side, x):
        """How long an ADD will take that grows as x does, in ms."""
        before, value = self.last.get(side, (1, 0))
        return value * max(1, x / max(1, before))

    def measure(self, x, hosts, rounds, pairs, **options):
        """One point: all sides that are still in it, in turns. Where an ADD takes long there are fewer samples."""
        samples = {side: Samples() for side in hosts if side not in self.ended}

        def body(side):
            taken = samples[side].values.get(("ADD", "wall"))
            expected = max(taken) if taken else self.expected(side, x)
            if not taken or expected < 2000:
                hosts[side].measure(samples[side], pairs if expected < 300 else 1, warm_up=expected < 1000, **options)

        interleave(rounds, [lambda side=side: body(side) for side in samples])
        self.record(x, samples)
        for side, taken in samples.items():
            self.last[side] = (x, taken.median("ADD", "wall"))
            print(f"  {self.name} {x}: {NAMES[side]}: ADD {taken.median('ADD', 'wall'):.2f} ms, "
                  f"DEL {taken.median('DEL', 'wall'):.2f} ms", file=sys.stderr, flush=True)  # fmt: skip

    def give_up(self, side, x, why):
        self.ended.add(side)
        print(f"  {self.name}: {NAMES[side]} end before {x}: {why}", file=sys.stderr, flush=True)
        self.notes.append(f"{NAMES[side]}: not measured from {x:,} on, {why}")


# Leases


def fill_leases(network, count):
    """A lease directory as it is with `count` containers running."""
    directory = Path(LEASES, network)
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(2, count + 2):
        last = f"10.22.{number // 256}.{number % 256}"
        file = directory / last
        if not file.exists():
            file.write_text(f"{number:064x}\r\neth0")
    (directory / "last_reserved_ip.0").write_text(last)


def leases(tools):
    curve = Curve("leases")
    hosts = {side: Host(tools, side, [HOST_LOCAL], resident=False) for side in SIDES}
    for count in (10, 100, 1000) if tools.quick else (10, 30, 100, 300, 1000, 3000, 10_000, 20_000, 50_000):
        for host in hosts.values():
            fill_leases(host.network, count)
        curve.measure(count, hosts, 1 if tools.quick else 4, 1 if tools.quick else 5)
    return curve, hosts


# Containers present: full chain, two ports each


class Copies:
    """Puts the peer's rules of further containers in place, as its plugins write them, by one iptables-restore.

    To have the plugins do it takes them half an hour. What they wrote for one container is the pattern.
    """

    CHAIN = r"CNI-(?:DN-)?[0-9a-f]{10,}"

    def __init__(self, host, capabilities):
        self.host, self.count = host, 0
        before = self.lines()
        host.attach(f"{host.name}-pattern", capabilities)
        new = {table: [line for line in lines if line not in before.get(table, [])]
               for table, lines in self.lines().items()}  # fmt: skip
        text = " ".join(line for lines in new.values() for line in lines)
        self.address = re.search(r"10\.22\.\d+\.\d+(?=:\d)", text).group()
        self.ports = [mapping["hostPort"] for mapping in capabilities["portMappings"]]
        self.chains = sorted(set(re.findall(self.CHAIN, text)))
        self.containers = sorted(set(re.findall(r"cnitool-[0-9a-f]{20}", text)))
        # Without what all containers share.
        own = re.compile(rf"{self.CHAIN}|{re.escape(self.address)}\b")
        self.pattern = {table: [line for line in lines if own.search(line)] for table, lines in new.items()}

    def lines(self):
        tables, table = {}, None
        for line in execute(*self.host.inside("iptables-save")).splitlines():
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith((":", "-A")):
                tables.setdefault(table, []).append(re.sub(r" \[\d+:\d+\]", " [0:0]", line))
        return tables

    def fill(self, count):
        """Brings the number of copies to `count`."""
        text = []
        for table, lines in self.pattern.items():
            copies = [self.copy(line, number) for number in range(self.count, count) for line in lines]
            text += [f"*{table}", *(line for line in copies if line[0] == ":"),
                     *(line for line in copies if line[0] != ":"), "COMMIT"]  # fmt: skip
        execute(*self.host.inside("iptables-restore", "--noflush"), input="\n".join(text) + "\n")
        self.count = count

    def copy(self, line, number):
        """The line for another container: another address, other chains, and ports from 10000 on."""
        number += 256
        line = re.sub(rf"{re.escape(self.address)}\b", f"10.22.{number // 250}.{number % 250 + 2}", line)
        for chain in self.chains:
            head, _, tail = chain.rpartition("-")
            line = line.replace(chain, f"{head}-{number:0{len(tail)}x}")
        for container in self.containers:
            line = line.replace(container, f"cnitool-{number:020x}")
        for place, port in enumerate(self.ports):
            line = re.sub(rf"\b{port}\b", str(10000 + (number - 256) * len(self.ports) + place), line)
        return line


def ports_of(first, count, inner=80):
    return {"portMappings": [
        {"hostPort": first + index, "containerPort": inner + index, "protocol": "tcp"} for index in range(count)]}


def present(tools):
    """The full chain, with containers that have it on the host already."""
    curve = Curve("containers")
    hosts = {side: Host(tools, side, CHAIN, capabilities=PORTS) for side in SIDES}
    copies = Copies(hosts["go"], ports_of(9000, 2))
    links = {side: 0 for side in SIDES}
    for count in (0, 10) if tools.quick else (0, 10, 30, 100, 300, 1000):
        for side, host in hosts.items():
            if side == "go":
                copies.fill(count)
                fill_leases(host.network, count + 3)
                add_links(host, links[side], count)
            else:
                attach_many(host, links[side], count)
            links[side] = count
        # New links ask for routers three times, four seconds apart, and the bridge carries that to all others.
        time.sleep(14 if count >= 100 else 0)
        curve.measure(count, hosts, 1 if tools.quick else 3, 1 if tools.quick else 4)
    return curve, hosts


def add_links(host, present, count):
    """Links of further containers on the bridge; their other ends are in one namespace."""
    crowd = f"{host.name}-crowd"
    if crowd not in host.namespaces:
        execute("ip", "netns", "add", crowd)
        host.namespaces.append(crowd)
    text = "".join(
        f"link add v{number} type veth peer name c{number} netns {crowd}\n"
        f"link set v{number} master cni0\nlink set v{number} up\n" for number in range(present, count))
    execute("ip", "-n", host.name, "-batch", "-", input=text)
    execute("ip", "-n", crowd, "-batch", "-",
            input="".join(f"link set c{number} up\n" for number in range(present, count)))


def attach_many(host, present, count):
    """Containers of ours, by ADD."""
    for number in range(present, count):
        host.attach(f"{host.name}-{number}", ports_of(10000 + 2 * number, 2))


# Published ports


def ports_present(tools):
    """ADD of a container with two ports, where others have published many."""
    curve = Curve("ports-present")
    hosts = {side: Host(tools, side, [PTP, PORTMAP], capabilities=PORTS) for side in SIDES}
    copies = Copies(hosts["go"], ports_of(9000, 1))
    filled = {side: 0 for side in SIDES}
    for count in (1, 100) if tools.quick else (1, 10, 100, 300, 1000, 2000, 5000):
        for side, host in hosts.items():
            if side == "go":
                copies.fill(count)
            else:
                # Our elements do not know whether one container has many ports, or many have one.
                for first in range(filled[side], count, 1000):
                    host.attach(f"{host.name}-{first}", ports_of(10000 + first, min(1000, count - first)))
            filled[side] = count
        curve.measure(count, hosts, 1 if tools.quick else 3, 1 if tools.quick else 4)
    return curve, hosts


def ports_of_one(tools):
    """ADD of one container that publishes many."""
    curve = Curve("ports-of-one")
    hosts = {side: Host(tools, side, [PTP, PORTMAP]) for side in SIDES}
    for count in (1, 10) if tools.quick else (1, 10, 30, 100, 300, 1000, 2000, 5000):
        for side in hosts:
            if side not in curve.ended and curve.expected(side, count) > PATIENCE:
                curve.give_up(side, count, f"where one ADD would take more than {PATIENCE // 1000} s")
        curve.measure(count, hosts, 1 if tools.quick else 3, 1 if tools.quick else 4, host_port=10000, ports=count)
    return curve, hosts


# In flight


def in_flight(tools):
    """The full chain with one port for several containers at once: time for all, and for each."""
    curve = Curve("in-flight")
    hosts = {side: Host(tools, side, CHAIN) for side in SIDES}
    most = 16 if tools.quick else 64
    for host in hosts.values():
        host.containers = [f"{host.name}-{number}" for number in range(most)]
        execute("ip", "-batch", "-", input="".join(f"netns add {name}\n" for name in host.containers))
        host.namespaces += host.containers
    for flights in (1, 16) if tools.quick else (1, 2, 4, 8, 16, 32, 64):
        several = max(16, flights)
        samples = {side: Samples() for side in SIDES if side not in curve.ended}

        def body(side):
            try:
                hosts[side].measure(
                    samples[side], 1, hosts[side].containers[:several], in_flight=flights, host_port=10000,
                    warm_up=side != "go")
            except RuntimeError as error:
                if side != "go":
                    raise
                curve.give_up(side, flights, f"an ADD or a DEL fails: {str(error)[-300:]}")

        interleave(1 if tools.quick else 2, [lambda side=side: side in curve.ended or body(side) for side in samples])
        for side, taken in samples.items():
            for op in ("ADD", "DEL"):
                seconds = taken.median(op, "wall")
                if seconds:
                    taken.add(op, "per second", several / (seconds / 1000))
                    print(f"  in flight {flights}: {NAMES[side]}: {op} {taken.median(op, 'per second'):.1f} per second",
                          file=sys.stderr, flush=True)  # fmt: skip
        curve.record(flights, samples)
    return curve, hosts


CURVES = {"leases": leases, "containers": present, "ports-present": ports_present, "ports-of-one": ports_of_one,
          "in-flight": in_flight}  # fmt: skip


def main():
    options = prepare(arguments(__doc__))
    tools = Tools(options)
    done, failures = [], 0
    for name, measure in CURVES.items():
        if options.only not in name:
            continue
        print(f"measuring {name}…", file=sys.stderr, flush=True)
        begin = time.monotonic()
        try:
            curve, hosts = measure(tools)
            done.append({"name": curve.name, "points": curve.points, "notes": curve.notes})
            for host in hosts.values():
                host.close()
        except (RuntimeError, subprocess.CalledProcessError, OSError) as error:
            failures += 1
            print(f"{name}: {error}", file=sys.stderr)
        print(f"  in {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    Path(options.output).write_text(json.dumps({"machine": machine(options), "curves": done}, indent=1) + "\n")
    print(f"{len(done)} of {len(done) + failures} curves measured; {options.output}")
    sys.exit(1 if failures or not done else 0)


if __name__ == "__main__":
    main()
