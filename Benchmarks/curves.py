#!/usr/bin/env python3
"""Measures how ADD and DEL grow: with leases, containers present, published ports, and ADDs in flight.

    curves.py --output FILE [--ours EXECUTABLE] [--go DIRECTORY] [--tools DIRECTORY] [--only WORD] [--quick]

All sides in the same run, interleaved, as in bench.py; figures are medians. The output is JSON, which plot.py draws:
{"machine", "curves": [{"name", "points": [{"x", "side", "op", "measure", "value", "n"}], "notes"}]}; n is the number of
samples.

Everything happens in namespaces of its own, which end with this program, however it ends.
"""

import sys
import time
from dataclasses import dataclass, field

from bench import arguments, prepare, write  # first: it finds our other directories
from copies import Copies, add_links, fill_leases
from hosts import NAMES, SIDES, Samples, Tools, every_side, interleave
from rows import CHAIN, HOST_LOCAL, PORTMAP, PORTS, PTP

TURNS = 3
LIMIT = 20_000  # ms: where one ADD takes longer, a side's curve ends
REST = 5  # seconds after a curve, whose namespaces the kernel goes on freeing


def samples_for(pair):
    """How many samples a side gets, one pair of ADD and DEL of which took that long, in ms; and whether each turn begins
    with a pair that only warms up."""
    return (12 if pair < 300 else 6 if pair < 1000 else 3), pair <= 5000


@dataclass
class Curve:
    name: str
    quick: bool
    points: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    ended: set = field(default_factory=set)  # sides that have become too slow
    last: dict = field(default_factory=dict)  # side -> (x, ADD in ms) of the last point

    def record(self, x, samples):
        for side, taken in samples.items():
            for (op, measure), values in taken.values.items():
                self.points.append({"x": x, "side": side, "op": op, "measure": measure,
                                    "value": taken.median(op, measure), "n": len(values)})  # fmt: skip

    def expected(self, side, x):
        """How long an ADD will take that grows as x does, in ms."""
        before, value = self.last.get(side, (1, 0))
        return value * max(1, x / max(1, before))

    def measure(self, x, hosts, **options):
        """One point: all sides that are still in it, in turns. How many samples each gets is settled before."""
        if not self.points:
            # What the curve before has left disturbs the first: it is measured twice, and once for nothing.
            self.take(x, hosts, options)
        samples = self.take(x, hosts, options)
        self.record(x, samples)
        for side, taken in samples.items():
            self.last[side] = (x, taken.median("ADD", "wall"))
            print(f"  {self.name} {x}: {NAMES[side]}: ADD {taken.median('ADD', 'wall'):.2f} ms, "
                  f"DEL {taken.median('DEL', 'wall'):.2f} ms, n = {len(taken.values['ADD', 'wall'])}",
                  file=sys.stderr, flush=True)  # fmt: skip

    def take(self, x, hosts, options):
        samples = {side: Samples() for side in hosts if side not in self.ended}
        plan = {}
        for side in samples:
            first = Samples()
            hosts[side].measure(first, 1, warm_up=False, **options)
            number, warm_up = samples_for(first.median("ADD", "wall") + first.median("DEL", "wall"))
            plan[side] = 1 if self.quick else number // TURNS, warm_up

        def body(side):
            pairs, warm_up = plan[side]
            hosts[side].measure(samples[side], pairs, warm_up=warm_up, **options)

        interleave(1 if self.quick else TURNS, [lambda side=side: body(side) for side in samples])
        return samples

    def give_up(self, side, x, why):
        self.ended.add(side)
        print(f"  {self.name}: {NAMES[side]} end before {x}: {why}", file=sys.stderr, flush=True)
        self.notes.append(f"{NAMES[side]}: not measured from {x:,} on, {why}")


def ports_of(first, count, inner=80):
    return {"portMappings": [
        {"hostPort": first + index, "containerPort": inner + index, "protocol": "tcp"} for index in range(count)]}


def leases(tools, curve):
    """host-local, with leases in its network already."""
    with every_side(tools, [HOST_LOCAL], resident=False) as hosts:
        for count in (10, 100, 1000) if tools.quick else (10, 30, 100, 300, 1000, 3000, 10_000, 20_000, 50_000):
            for host in hosts.values():
                fill_leases(host.network, count)
            curve.measure(count, hosts)


def present(tools, curve):
    """The full chain, with containers on the host that have it already, and publish two ports each."""
    with every_side(tools, CHAIN, capabilities=PORTS) as hosts:
        copies = Copies(hosts["go"], ports_of(9000, 2))
        before = 0
        for count in (0, 10) if tools.quick else (0, 10, 30, 100, 300, 1000):
            for side, host in hosts.items():
                if side == "go":
                    copies.fill(count)
                    fill_leases(host.network, count + 1)  # and that of the container that is there for every row
                    add_links(host, before, count)
                    continue
                for number in range(before, count):
                    host.attach(f"{host.name}-{number}", ports_of(10000 + 2 * number, 2))
            before = count
            # New links ask for routers three times, four seconds apart, and the bridge carries that to all others.
            time.sleep(14 if count >= 100 else 0)
            curve.measure(count, hosts)


def ports_present(tools, curve):
    """ADD of a container with two ports, where others have published many."""
    with every_side(tools, [PTP, PORTMAP], capabilities=PORTS) as hosts:
        copies = Copies(hosts["go"], ports_of(9000, 1))
        before = 0
        for count in (1, 100) if tools.quick else (1, 10, 100, 300, 1000, 2000, 5000):
            for side, host in hosts.items():
                if side == "go":
                    copies.fill(count)
                    continue
                # Our elements do not know whether one container has many ports, or many have one.
                for first in range(before, count, 1000):
                    host.attach(f"{host.name}-{first}", ports_of(10000 + first, min(1000, count - first)))
            before = count
            curve.measure(count, hosts)


def ports_of_one(tools, curve):
    """ADD of one container that publishes many."""
    with every_side(tools, [PTP, PORTMAP]) as hosts:
        for count in (1, 10) if tools.quick else (1, 10, 30, 100, 300, 1000, 2000, 5000):
            for side in hosts:
                if side not in curve.ended and curve.expected(side, count) > LIMIT:
                    curve.give_up(side, count, f"where one ADD would take more than {LIMIT // 1000} s")
            curve.measure(count, hosts, host_port=10000, ports=count)


def in_flight(tools, curve):
    """The full chain with one port for several containers at once: time for all, and for each."""
    with every_side(tools, CHAIN) as hosts:
        for host in hosts.values():
            host.containers = [f"{host.name}-{number}" for number in range(16 if tools.quick else 64)]
            host.make(host.containers)
        # Here an ADD is one of a crowd, which takes seconds: two turns of two for all, each after one that warms up.
        pairs, turns = (1, 1) if tools.quick else (2, 2)
        places = (1, 16) if tools.quick else (1, 4, 8, 16, 64)
        fly(hosts, curve, {side: Samples() for side in SIDES}, places[0], 1, 1)  # for nothing, as in the other curves
        for flights in places:
            samples = {side: Samples() for side in SIDES if side not in curve.ended}
            fly(hosts, curve, samples, flights, pairs, turns)
            curve.record(flights, samples)


def fly(hosts, curve, samples, flights, pairs, turns):
    several = max(16, flights)

    def body(side):
        if side in curve.ended:
            return
        try:
            hosts[side].measure(
                samples[side], pairs, hosts[side].containers[:several], in_flight=flights, host_port=10000)
        except RuntimeError as error:
            if side != "go":
                raise
            curve.give_up(side, flights, f"an ADD or a DEL fails: {str(error)[-300:]}")

    interleave(turns, [lambda side=side: body(side) for side in samples])
    for side, taken in samples.items():
        for op in ("ADD", "DEL"):
            for milliseconds in taken.values.get((op, "wall"), []):
                taken.add(op, "per second", several / (milliseconds / 1000))
        if taken.values:
            print(f"  {curve.name} {flights}: {NAMES[side]}: ADD {taken.median('ADD', 'per second'):.1f} per second, "
                  f"n = {len(taken.values['ADD', 'wall'])}", file=sys.stderr, flush=True)  # fmt: skip


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
        curve = Curve(name, tools.quick)
        try:
            measure(tools, curve)
            done.append({"name": curve.name, "points": curve.points, "notes": curve.notes})
        except Exception as error:  # whatever it is: the other curves are worth having
            failures += 1
            print(f"{name}: failed: {error!r}", file=sys.stderr)
        write(options, {"curves": done})
        print(f"  in {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        time.sleep(0 if tools.quick else REST)
    write(options, {"curves": done}, complete=not failures)
    print(f"{len(done)} of {len(done) + failures} curves measured; {options.output}")
    sys.exit(1 if failures or not done else 0)


if __name__ == "__main__":
    main()
