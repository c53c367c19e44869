#!/usr/bin/env python3
"""Measures our plugins against Debian's Go ones and against the kernel alone, in one run.

    bench.py [--ours EXECUTABLE] [--go DIRECTORY] [--tools DIRECTORY] [--output bench.json] [--only WORD] [--quick]

The sides are interleaved (A B, B A, A B, …), so that a slow moment of the machine meets both; figures are medians, and
a verdict is always a ratio of medians from the same run, never a time. Processes are timed by `spawn` (in DIRECTORY,
beside `floor`), not by Python. bench.json is an array of {"row","op","metric","go","ours","floor","ratio"}.

Everything happens in namespaces of its own, which end with this program, however it ends. A missed target is
reported; the exit status is not 0 only if something could not be measured.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Scripts"))

import chain  # noqa: E402
import dhcp  # noqa: E402
import plugins  # noqa: E402
import throwaway  # noqa: E402

VERSION = "1.0.0"  # the newest that both know
WORK = Path("/run/bench")
LEASES = "/var/lib/cni/networks"


def enter_private_namespaces():
    throwaway.enter_private_namespaces()
    WORK.mkdir()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@dataclass
class Side:
    """One implementation, with a network and a container of its own, so that neither meets the other's state."""

    name: str
    directory: str
    subnet: str
    samples: dict = field(default_factory=dict)

    @property
    def namespace(self):
        return f"/run/netns/{self.name}"

    def bridge(self, **keys):
        return {
            "type": "bridge", "bridge": f"br-{self.name}", "isGateway": True, **keys,
            "ipam": {"type": "host-local", "subnet": self.subnet, "routes": [{"dst": "0.0.0.0/0"}]},
        }  # fmt: skip

    def environment(self, command, container="bench"):
        return {
            "PATH": os.environ["PATH"], "CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_IFNAME": "eth0",
            "CNI_NETNS": self.namespace, "CNI_PATH": self.directory,
        }  # fmt: skip


class Figure:
    """A line of the table. The target, if any, is what the ratio must reach (`at least`) or keep to (`at most`)."""

    def __init__(self, row, op, metric, go=None, ours=None, floor=None, ratio=None, least=None, most=None):
        self.row, self.op, self.metric = row, op, metric
        self.go, self.ours, self.floor = go, ours, floor
        self.ratio = ratio if ratio is not None else (go / ours if go and ours else None)
        self.least, self.most = least, most

    @property
    def verdict(self):
        if self.ratio is None or (self.least is None and self.most is None):
            return ""
        met = self.ratio >= self.least if self.least is not None else self.ratio <= self.most
        target = f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}"
        return f"{target}  {'met' if met else 'MISSED'}"

    def record(self):
        def rounded(value):
            return None if value is None else round(value, 4)

        return {
            "row": self.row, "op": self.op, "metric": self.metric, "go": rounded(self.go), "ours": rounded(self.ours),
            "floor": rounded(self.floor), "ratio": rounded(self.ratio),
        }  # fmt: skip


class Bench:
    def __init__(self, options, executable):
        self.options = options
        self.spawn = f"{options.tools}/spawn"
        self.floor = f"{options.tools}/floor"
        # On disk as an installed one is, not in memory as the rest of the state here.
        directory = Path(options.tools, "ours")
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        names = subprocess.run([executable, "--list-names"], check=True, capture_output=True, text=True).stdout.split()
        first = directory / "cnitool"
        first.write_bytes(executable.read_bytes())
        first.chmod(0o755)
        for name in names:
            directory.joinpath(name).hardlink_to(first)
        self.cnitool = str(first)
        self.go = Side("go", options.go, "10.30.0.0/16")
        self.ours = Side("ours", str(directory), "10.31.0.0/16")
        self.installed = first.stat().st_blocks * 512
        self.figures = []
        self.left_out = []
        for side in (self.go, self.ours):
            subprocess.run(["ip", "netns", "add", side.name], check=True)
        # Memory is measured as a difference between executables, not between their page caches.
        for file in (self.cnitool, f"{self.go.directory}/bridge", f"{self.go.directory}/host-local"):
            Path(file).read_bytes()

    # Measuring

    def run(self, arguments, environment, stdin=None, within=None):
        """One process: (milliseconds, peak KiB), in the network namespace `within`. An exit status other than 0 ends the
        measurement."""
        output = WORK / "output"
        command = [self.spawn, "-i", str(stdin or "/dev/null"), "-o", str(output), *arguments]
        if within:
            command = ["nsenter", f"--net={within}", *command]
        line = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        nanoseconds, peak, status = (int(word) for word in line.stdout.split())
        if status != 0:
            raise RuntimeError(
                f"{' '.join(arguments)} ({environment.get('CNI_COMMAND', '')}) ended with {status}: "
                f"{output.read_text()} {line.stderr}")
        return nanoseconds / 1e6, peak

    def interleave(self, count, warm_up, *bodies):
        """Runs the bodies in turns, each time the other way round. A body returns {op: value}; medians come back."""
        samples = [{} for _ in bodies]
        for turn in range(-warm_up, self.count(count)):
            order = range(len(bodies)) if turn % 2 else reversed(range(len(bodies)))
            for index in order:
                for op, value in bodies[index]().items():
                    if turn >= 0:
                        samples[index].setdefault(op, []).append(value)
        return [{op: statistics.median(values) for op, values in sample.items()} for sample in samples]

    def count(self, count):
        return max(3, count // 10) if self.options.quick else count

    def network(self, name, side, **keys):
        """A network on which one container is there before, and stays, as on a node at work: the bridge exists."""
        configurations = WORK / f"net.d-{name}"
        configurations.mkdir()
        configurations.joinpath("10.conflist").write_text(
            json.dumps({"cniVersion": VERSION, "name": name, "plugins": [side.bridge(**keys)]}))
        environment = {"PATH": os.environ["PATH"], "CNI_PATH": side.directory, "NETCONFPATH": str(configurations)}
        subprocess.run(["ip", "netns", "add", f"{name}-resident"], check=True)
        self.run([self.cnitool, "add", name, f"/run/netns/{name}-resident"], environment)
        return environment

    def configuration(self, name, value):
        path = WORK / name
        path.write_text(json.dumps(value))
        return path

    def add(self, *arguments, **keywords):
        self.figures.append(Figure(*arguments, **keywords))

    # Rows

    def start_up(self):
        """`bridge` VERSION: what it costs to be a process that says hello."""
        stdin = self.configuration("version.json", {"cniVersion": VERSION})

        def body(side):
            return lambda: {"VERSION": self.run([f"{side.directory}/bridge"], side.environment("VERSION"), stdin)[0]}

        go, ours = self.interleave(300, 10, body(self.go), body(self.ours))
        self.add("bridge", "VERSION", "wall ms", go["VERSION"], ours["VERSION"], least=3)

    def attachment(self, row, **keys):
        """ADD and DEL of a network, the way a runtime does it: our cnitool drives both sides."""

        def body(side):
            network = f"{side.name}{len(self.figures)}"
            environment = self.network(network, side, **keys)

            def once():
                return {
                    "ADD": self.run([self.cnitool, "add", network, side.namespace], environment)[0],
                    "DEL": self.run([self.cnitool, "del", network, side.namespace], environment)[0],
                }

            return once

        go, ours = self.interleave(60, 3, body(self.go), body(self.ours))
        self.add(row, "ADD", "wall ms", go["ADD"], ours["ADD"], least=3 if row == "bridge+host-local" else None)
        self.add(row, "DEL", "wall ms", go["DEL"], ours["DEL"])

    # ADD and DEL pairs per process. A runtime with plugins linked in is long-lived: the first pair is its warm-up.
    PAIRS = 13

    def in_process(self):
        """A runtime that has our plugins linked in, the same runtime executing the Go ones, and the kernel alone."""

        def body(side, path):
            network = f"inner-{side.name}"
            environment = self.network(network, side) | {"CNI_PATH": path}
            command = [word.format(network=network, namespace=side.namespace, count=self.PAIRS)
                       for word in self.options.in_process.split()]
            return lambda: self.pairs([self.cnitool, *command], environment)

        def floor():
            return self.pairs([self.floor, str(self.PAIRS)], {"PATH": os.environ["PATH"]})

        go, ours, floor = self.interleave(12, 1, body(self.go, self.go.directory), body(self.ours, ""), floor)
        row = "bridge+host-local in-process"
        self.add(row, "ADD", "wall ms", go["ADD"], ours["ADD"], floor["ADD"], least=8)
        self.add(row, "DEL", "wall ms", go["DEL"], ours["DEL"], floor["DEL"])
        for op, most in (("ADD", 1.5), ("DEL", 1.2)):
            self.add(f"{row}, to the floor", op, "ours : floor", None, ours[op], floor[op],
                     ratio=ours[op] / floor[op], most=most)

    def pairs(self, command, environment):
        """A command that times pairs itself and prints `ADD nanoseconds` and `DEL nanoseconds`: their medians, without
        the first."""
        process = subprocess.run(command, env=environment, capture_output=True, text=True)
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {process.stderr.strip()}")
        values = {}
        for line in process.stdout.splitlines():
            op, nanoseconds = line.split()
            values.setdefault(op, []).append(int(nanoseconds) / 1e6)
        return {op: statistics.median(samples[1:]) for op, samples in values.items()}

    def fill(self, network, count):
        """A lease directory as it is with `count` containers running."""
        directory = Path(LEASES, network)
        directory.mkdir(parents=True)
        for number in range(2, count + 2):
            last = f"10.22.{number // 256}.{number % 256}"
            (directory / last).write_text(f"{number:064x}\r\neth0")
        (directory / "last_reserved_ip.0").write_text(last)

    def lease(self, side, network):
        """ADD and DEL of one address, the plugin called directly."""
        config = {
            "cniVersion": VERSION, "name": network, "type": "bridge",
            "ipam": {"type": "host-local", "subnet": "10.22.0.0/16"}}  # fmt: skip
        stdin = self.configuration(f"{network}.json", config)
        plugin = [f"{side.directory}/host-local"]

        def once():
            return {
                "ADD": self.run(plugin, side.environment("ADD"), stdin)[0],
                "DEL": self.run(plugin, side.environment("DEL"), stdin)[0],
            }

        return once

    def many_leases(self):
        for side in (self.go, self.ours):
            self.fill(f"{side.name}-10000", 10_000)
        go, ours = self.interleave(
            30, 1, self.lease(self.go, "go-10000"), self.lease(self.ours, "ours-10000"))
        for op in ("ADD", "DEL"):
            self.add("host-local 10000 leases", op, "wall ms", go[op], ours[op], least=20)

        self.fill("ours-10", 10)
        self.fill("ours-50000", 50_000)
        few, many = self.interleave(60, 2, self.lease(self.ours, "ours-10"), self.lease(self.ours, "ours-50000"))
        for op in ("ADD", "DEL"):
            self.add("host-local 10 leases", op, "wall ms", None, few[op])
            self.add("host-local 50000 leases", op, "wall ms", None, many[op])
            self.add("host-local 50000 leases, to 10", op, "50000 : 10", None, many[op],
                     ratio=many[op] / few[op], most=1.3)

    def memory(self):
        """Peak resident set of a plugin's process at ADD."""

        def body(side, plugin):
            network = f"memory-{side.name}-{plugin}"
            config = side.bridge() | {"cniVersion": VERSION, "name": network}
            stdin = self.configuration(f"{network}.json", config)

            def once():
                peak = self.run([f"{side.directory}/{plugin}"], side.environment("ADD"), stdin)[1]
                self.run([f"{side.directory}/{plugin}"], side.environment("DEL"), stdin)
                return {"ADD": peak}

            return once

        for plugin in ("bridge", "host-local"):
            go, ours = self.interleave(20, 1, body(self.go, plugin), body(self.ours, plugin))
            self.add(plugin, "ADD", "peak KiB", go["ADD"], ours["ADD"], least=2)

    def size(self):
        """The installed set is one file under many names; the peers' plugins of the same names are a file each."""
        names = [path.name for path in Path(self.ours.directory).iterdir() if path.name != "cnitool"]
        files = [Path(self.go.directory, name) for name in names]
        go = sum(file.stat().st_blocks * 512 for file in files if file.exists())
        self.add("installed set", "size", "MB", go / 1e6, self.installed / 1e6)
        self.add("installed set, to 16 MB", "size", "of 16 MB", None, self.installed / 1e6,
                 ratio=self.installed / 16e6, most=1)

    def row(self, row):
        def measure():
            obstacle = plugins.obstacle(row, self.go, self.ours)
            if obstacle:
                self.left_out.append(f"{row.title}: {obstacle}")
            else:
                plugins.measure(self, row)

        return row.title, measure

    def leases_of_a_server(self):
        obstacle = dhcp.obstacle(self.go, self.ours)
        if obstacle:
            self.left_out.append(f"dhcp: {obstacle}")
        else:
            dhcp.measure(self, WORK)

    def full_chain(self):
        obstacle = chain.obstacle(self.go, self.ours)
        if obstacle:
            self.left_out.append(f"full chain: {obstacle}")
        else:
            chain.measure(self, WORK)

    def everything(self):
        rows = [
            ("bridge VERSION", self.start_up),
            ("bridge+host-local", lambda: self.attachment("bridge+host-local")),
            ("bridge+host-local ipMasq", lambda: self.attachment("bridge+host-local ipMasq", ipMasq=True)),
            *(self.row(row) for row in plugins.ROWS),
            ("dhcp", self.leases_of_a_server),
            ("in-process", self.in_process),
            ("full chain", self.full_chain),
            ("host-local leases", self.many_leases),
            ("memory", self.memory),
            ("size", self.size),
        ]
        failures = 0
        for name, measure in rows:
            if self.options.only not in name:
                continue
            print(f"measuring {name}…", file=sys.stderr, flush=True)
            try:
                measure()
            except (RuntimeError, subprocess.SubprocessError, OSError, KeyError, ValueError) as error:
                failures += 1
                print(f"{name} could not be measured: {error}", file=sys.stderr)
        return failures


def table(figures):
    def number(value):
        return "" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"

    lines = [("row", "op", "metric", "go", "ours", "floor", "ratio", "target")]
    for figure in figures:
        lines.append((
            figure.row, figure.op, figure.metric, number(figure.go), number(figure.ours), number(figure.floor),
            number(figure.ratio), figure.verdict))  # fmt: skip
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        cells = [
            cell.rjust(width) if 3 <= column <= 6 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths))]
        print("  ".join(cells).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", default=".build/install/cni")
    parser.add_argument("--go", default="/usr/lib/cni")
    parser.add_argument("--tools", default=".build/bench", help="where spawn and floor are")
    parser.add_argument("--output", default="bench.json")
    parser.add_argument("--in-process", default="bench-attach {network} {namespace} --count {count}",
                        help="arguments with which cnitool times ADD and DEL pairs itself")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--quick", action="store_true", help="a tenth of the samples")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench.py makes namespaces, for which it must be root")
    for name in ("ours", "go", "tools", "output"):
        setattr(options, name, os.path.realpath(getattr(options, name)))
    for path in (options.ours, options.go, f"{options.tools}/spawn", f"{options.tools}/floor"):
        if not os.path.exists(path):
            sys.exit(f"there is no {path}")

    enter_private_namespaces()
    bench = Bench(options, Path(options.ours))
    failures = bench.everything()
    table(bench.figures)
    Path(options.output).write_text(
        json.dumps([figure.record() for figure in bench.figures], indent=2) + "\n")
    for reason in bench.left_out:
        print(f"not measured: {reason}")
    missed = [figure for figure in bench.figures if "MISSED" in figure.verdict]
    judged = [figure for figure in bench.figures if figure.verdict]
    print(f"\n{len(judged) - len(missed)} of {len(judged)} targets met; {options.output}")
    sys.exit(1 if failures or not bench.figures else 0)


if __name__ == "__main__":
    main()
