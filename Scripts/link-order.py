#!/usr/bin/env python3
"""Writes the order in which the linker places functions and data: what a plugin touches first, together.

    link-order.py EXECUTABLE OUTPUT

A page that is touched brings its neighbours into memory, and costs a fault if they have not brought it. The executable
is 14 MB, of which one call touches a few hundred kilobytes, spread over all of it unless told otherwise. So each command
of each plugin is run here under valgrind, which prints every address that it reads, writes or executes (lackey), and the
symbols that own these addresses are listed in the order of their first use, the commonest calls first. EXECUTABLE has
its symbols; names that a later link does not have are no error there.

Everything happens in namespaces of its own, as in `make bench`; it must be root.
"""

import bisect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import throwaway

WORK = Path("/run/link-order")
NAMESPACE = "/run/netns/container"
VERSION = "1.1.0"


def enter_private_namespaces():
    throwaway.enter_private_namespaces()
    WORK.mkdir()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name in ("container", "resident"):
        subprocess.run(["ip", "netns", "add", name], check=True)


class Symbols:
    """The executable's symbols by address; one name per address."""

    def __init__(self, executable):
        lines = subprocess.run(
            ["nm", "--defined-only", "--print-size", executable], check=True, capture_output=True, text=True,
            errors="replace").stdout.splitlines()
        named = {}
        for line in lines:
            # ADDRESS [SIZE] KIND NAME; the names of symbolic references have spaces and worse in them.
            match = re.fullmatch(r"([0-9a-f]+)(?: ([0-9a-f]+))? (\S) (\S+)", line)
            if match is None:
                continue
            place, size, kind, name = match.groups()
            # Absolute and thread-local ones have no place of their own; zeroed memory has none in the file.
            if kind not in "TtWwiVvDdRru" or name.startswith(("__start_", "__stop_", ".L")):
                continue
            # Of several names for one place a global one, as the names of local symbols need not be unique.
            candidate = (kind.islower(), name, int(size or "0", 16))
            place = int(place, 16)
            if place not in named or candidate < named[place]:
                named[place] = candidate
        self.addresses = sorted(named)
        self.names = [named[address][1] for address in self.addresses]
        self.ends = [address + named[address][2] for address in self.addresses]

    def owner(self, address):
        index = bisect.bisect_right(self.addresses, address) - 1
        if index < 0 or (self.ends[index] > self.addresses[index] and address >= self.ends[index]):
            return None
        return self.names[index]


def touched(executable, name, arguments, environment, stdin, expected=0):
    """The addresses that one run touches, in the order of their first use."""
    program = WORK / name
    if not program.exists():
        program.hardlink_to(executable)
    trace = WORK / "trace"
    command = ["valgrind", "--tool=lackey", "--trace-mem=yes", f"--log-file={trace}", str(program), *arguments]
    run = subprocess.run(
        command, env={"PATH": os.environ["PATH"], **environment}, input=stdin, capture_output=True)
    if run.returncode != expected:
        sys.exit(f"{name} {arguments} {environment.get('CNI_COMMAND', '')} ended with {run.returncode}: "
                 f"{run.stdout.decode()} {run.stderr.decode()}")
    seen = {}
    with trace.open() as lines:
        for line in lines:
            if line[:1] in "I " and line[1:2] in " LSM":
                address = line[3:].partition(",")[0]
                seen.setdefault(address)
    return [int(address, 16) for address in seen], run.stdout


def scenarios(executable):
    """Yields the addresses of one call after the other, those first whose cost matters most."""
    path = f"{WORK}"

    def call(plugin, command, configuration, **keys):
        container = keys.get("container", "container")
        environment = {
            "CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_IFNAME": keys.get("interface", "eth0"),
            "CNI_NETNS": f"/run/netns/{container}", "CNI_PATH": path,
        }  # fmt: skip
        stdin = json.dumps(configuration).encode()
        return touched(executable, plugin, [], environment, stdin, keys.get("expected", 0))

    ipam = {"type": "host-local", "subnet": "10.40.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {
        "cniVersion": VERSION, "name": "order", "type": "bridge", "bridge": "order0", "isGateway": True, "ipam": ipam}

    def chain(port):
        """The plugins of the usual list."""
        limits = {f"{way}{what}": 10_000_000 for way in ("ingress", "egress") for what in ("Rate", "Burst")}
        plugins = [
            bridge | {"ipMasq": True},
            {"type": "portmap", "runtimeConfig": {
                "portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]}},
            {"type": "firewall"},
            {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}},
            {"type": "bandwidth", **limits},
        ]  # fmt: skip
        return [{"cniVersion": VERSION, "name": "order", **plugin} for plugin in plugins]

    def attach(container, port):
        """What ADD through the list touches, and the list with its result."""
        everything, result = [], {}
        plugins = chain(port)
        for plugin in plugins:
            addresses, output = call(plugin["type"], "ADD", plugin | result, container=container)
            everything.append(addresses)
            result = {"prevResult": json.loads(output)}
        return everything, [plugin | result for plugin in plugins]

    fixed = {"type": "static", "addresses": [{"address": "10.41.0.2/24", "gateway": "10.41.0.1"}],
             "routes": [{"dst": "0.0.0.0/0"}]}  # fmt: skip
    loopback = {"cniVersion": VERSION, "name": "lo", "type": "loopback"}

    # The delegates are executed, so they must be there under their names.
    for name in ("host-local", "static"):
        (WORK / name).hardlink_to(executable)

    yield call("bridge", "VERSION", bridge)[0]
    # A bridge that is there already is the usual case, the first container's is not.
    yield call("host-local", "ADD", bridge)[0]
    yield call("host-local", "DEL", bridge)[0]
    for configuration in (bridge, bridge | {"ipMasq": True}):
        first, output = call("bridge", "ADD", configuration)
        yield first
        yield call("bridge", "CHECK", configuration | {"prevResult": json.loads(output)})[0]
        yield call("bridge", "DEL", configuration | {"prevResult": json.loads(output)})[0]
    # What a further container takes is the usual case, not what the first one does.
    first, resident = attach("resident", 8080)
    further, plugins = attach("container", 8081)
    yield from further
    for plugin in reversed(plugins):
        yield call(plugin["type"], "DEL", plugin)[0]
    yield from first
    for plugin in resident:
        yield call(plugin["type"], "CHECK", plugin, container="resident")[0]
    for command in ("ADD", "DEL"):
        yield call("loopback", command, loopback, interface="lo")[0]
    separate = bridge | {"ipam": fixed}
    for command in ("ADD", "DEL"):
        yield call("static", command, separate)[0]
    for plugin in ("bridge", "host-local"):
        yield call(plugin, "STATUS", bridge)[0]
        yield call(plugin, "GC", bridge | {"cni.dev/valid-attachments": []})[0]

    networks = WORK / "net.d"
    networks.mkdir()
    networks.joinpath("10.conflist").write_text(
        json.dumps({"cniVersion": VERSION, "name": "order", "plugins": chain(8081)}))
    # Once with the plugins as processes, once with those of the executable itself.
    for directory in (path, "/nowhere"):
        environment = {"CNI_PATH": directory, "NETCONFPATH": str(networks)}
        for command in ("add", "check", "del"):
            yield touched(executable, "cnitool", [command, "order", NAMESPACE], environment, b"")[0]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    executable, output = (os.path.realpath(argument) for argument in sys.argv[1:])
    sys.argv[1:] = [executable, output]
    if os.geteuid() != 0:
        sys.exit("link-order.py makes namespaces, for which it must be root")
    enter_private_namespaces()

    # valgrind reads debugging information, not always successfully; only the symbols are wanted.
    copy = WORK / "cni"
    subprocess.run(["strip", "--strip-debug", "-o", str(copy), executable], check=True)
    symbols = Symbols(copy)
    order = {}
    for addresses in scenarios(copy):
        before = len(order)
        for address in addresses:
            name = symbols.owner(address)
            if name is not None:
                order.setdefault(name)
        print(f"{len(order) - before} more symbols", file=sys.stderr)
    new = Path(output + ".new")
    new.write_text("".join(f"{name}\n" for name in order))
    new.rename(output)
    print(f"{output}: {len(order)} symbols", file=sys.stderr)


if __name__ == "__main__":
    main()
