"""The rows `full chain`: a network as clusters run it, bridge (ipMasq) + portmap (2 ports) + firewall + tuning.

Each side has a host of its own, a network namespace: neither meets the other's rules. One more of ours stays empty, so
that what a full host costs is compared with an empty one in the same run.
"""

import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

VERSION = "1.0.0"
PLUGINS = ("bridge", "host-local", "portmap", "firewall", "tuning")
SYSCTL = {"net.core.somaxconn": "500"}
PAIRS = 7


def obstacle(*sides):
    for side in sides:
        for plugin in PLUGINS:
            if not Path(side.directory, plugin).exists():
                return f"{side.name} has no {plugin}"
    return None if shutil.which("iptables", path="/usr/sbin:/sbin:/usr/bin") else "there is no iptables for the Go plugins"


class Host:
    """A network namespace that plays a host, with the network and a container to be measured."""

    def __init__(self, bench, work, name, side, number):
        self.bench, self.name, self.side = bench, name, side
        self.network = f"chain-{name}"
        self.container = f"{name}-measured"
        for namespace in (name, self.container):
            subprocess.run(["ip", "netns", "add", namespace], check=True)
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        configurations = work / f"net.d-{self.network}"
        configurations.mkdir()
        bridge = {
            "type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True,
            "ipam": {"type": "host-local", "subnet": f"10.{number}.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]},
        }  # fmt: skip
        chain = [
            bridge, {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "firewall"},
            {"type": "tuning", "sysctl": SYSCTL}]  # fmt: skip
        (configurations / "10.conflist").write_text(
            json.dumps({"cniVersion": VERSION, "name": self.network, "plugins": chain}))
        self.base = {"PATH": os.environ["PATH"], "NETCONFPATH": str(configurations)}
        self.residents = 0
        self.fill(1)

    def environment(self, path, first_port):
        ports = [{"hostPort": first_port + index, "containerPort": 80 + index, "protocol": "tcp"} for index in (0, 1)]
        return self.base | {"CNI_PATH": path, "CAP_ARGS": json.dumps({"portMappings": ports})}

    def inside(self, command):
        return ["nsenter", f"--net=/run/netns/{self.name}", *command]

    def fill(self, count):
        """Brings the number of containers that are there, and stay, to `count`."""
        path = self.side.directory

        def attach(number):
            namespace = f"{self.name}-{number}"
            subprocess.run(["ip", "netns", "add", namespace], check=True)
            process = subprocess.run(
                self.inside([self.bench.cnitool, "add", self.network, f"/run/netns/{namespace}"]),
                env=self.environment(path, 20000 + 2 * number), capture_output=True, text=True)  # fmt: skip
            if process.returncode != 0:
                raise RuntimeError(f"ADD of {namespace}: {process.stderr.strip()}")

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(attach, range(self.residents, count)))
        self.residents = max(count, self.residents)

    def processes(self):
        """ADD and DEL, every plugin a process; our cnitool drives both sides."""
        namespace = f"/run/netns/{self.container}"
        environment = self.environment(self.side.directory, 8080)
        return {
            op: self.bench.run(
                [self.bench.cnitool, op.lower(), self.network, namespace], environment,
                within=f"/run/netns/{self.name}")[0]
            for op in ("ADD", "DEL")
        }  # fmt: skip

    def in_process(self):
        """A runtime that stays: our plugins linked in, the Go ones executed by it."""
        path = self.side.directory if self.side.name == "go" else ""
        command = [self.bench.cnitool, "bench-attach", self.network, f"/run/netns/{self.container}", "--count", str(PAIRS)]
        return self.bench.pairs(self.inside(command), self.environment(path, 8080))


def measure(bench, work):
    go = Host(bench, work, "chain-go", bench.go, 40)
    ours = Host(bench, work, "chain-ours", bench.ours, 41)
    empty = Host(bench, work, "chain-empty", bench.ours, 42)

    def floor():
        return bench.pairs([bench.floor, str(PAIRS), "chain"], {"PATH": os.environ["PATH"]})

    figures = bench.interleave(30, 2, go.processes, ours.processes, floor)
    report(bench, "full chain", figures, {"ADD": 15, "DEL": 5})
    figures = bench.interleave(8, 1, go.in_process, ours.in_process, floor)
    report(bench, "full chain in-process", figures, {"ADD": 40, "DEL": 5})

    count = 100 if bench.options.quick else 1000
    for host in (ours, go):
        host.fill(count)
    # The last containers' kernels ask for routers three times, four seconds apart, and the bridge carries that to all others.
    time.sleep(30)
    with_many, none, theirs = bench.interleave(15, 1, ours.processes, empty.processes, go.processes)
    row = f"full chain, {count} containers present"
    report(bench, row, (theirs, with_many, {}), {"ADD": 20, "DEL": 20})
    for op in ("ADD", "DEL"):
        bench.add(f"{row}, to none", op, f"{count} : 0", None, with_many[op], ratio=with_many[op] / none[op], most=1.3)


def report(bench, row, figures, least):
    go, ours, floor = figures
    for op in ("ADD", "DEL"):
        bench.add(row, op, "wall ms", go[op], ours[op], floor.get(op), least=least[op])
    if floor:
        bench.add(f"{row}, to the floor", "DEL", "ours : floor", None, ours["DEL"], floor["DEL"],
                  ratio=ours["DEL"] / floor["DEL"], most=1.3)
