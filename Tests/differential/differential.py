#!/usr/bin/env python3
"""Debian's Go plugins and ours must give the same results and leave the same state in the kernel.

    differential.py [--ours PATH] [--go DIRECTORY] [--quick] [--only WORD] [--versions 1.0.0,0.4.0] [-v]

PATH is the multi-call executable, or a directory of plugins (the Go ones, say, to try this program itself).
Each scenario runs with both, for every protocol version both know: called directly, through cnitool, and crossed: what
one added, the other checks and deletes. MAC addresses are held against the kernel's and then, like generated
names, left out. Differences that are meant are listed in documented.py.

Everything happens in namespaces of its own, which end with this program, however it ends.
"""

import argparse
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import documented
import protocol
import scenarios as catalogue
from host import Container, Host, Side, enter_private_namespaces, inside, ip, own_state
from state import Snapshot, canonical_result, differences, families, packet_rules, saved_rules
from throwaway import kernel_has

WORLD4, WORLD6 = "198.51.100", "2001:db8:51"


def build_world(host):
    """A namespace behind the host that knows no way back to the containers."""
    ip("netns", "add", "world")
    with inside(host.name):
        ip("link", "add", "out0", "type", "veth", "peer", "name", "out1", "netns", "world")
        ip("address", "add", f"{WORLD4}.1/24", "dev", "out0")
        ip("address", "add", f"{WORLD6}::1/64", "dev", "out0", "nodad")
        ip("link", "set", "out0", "up")
    with inside("world"):
        ip("address", "add", f"{WORLD4}.2/24", "dev", "out1")
        ip("address", "add", f"{WORLD6}::2/64", "dev", "out1", "nodad")
        ip("link", "set", "out1", "up")


def seen_by_world(container):
    """The source addresses that the world sees, by family."""
    seen = {}
    own = families(container.name)
    for family, name, address in (
        (socket.AF_INET, "inet", f"{WORLD4}.2"), (socket.AF_INET6, "inet6", f"{WORLD6}::2"),
    ):  # fmt: skip
        if name not in own:
            seen[family.name] = "no address"
            continue
        with inside("world"):
            receiver = socket.socket(family, socket.SOCK_DGRAM)
        with inside(container.name):
            sender = socket.socket(family, socket.SOCK_DGRAM)
        with receiver, sender:
            receiver.bind((address, 5000))
            receiver.settimeout(0.25)
            for _ in range(60):  # the first are lost, or refused, while carriers, addresses and neighbours settle
                try:
                    sender.sendto(b"?", (address, 5000))
                    seen[family.name] = receiver.recvfrom(16)[1][0]
                    break
                except TimeoutError:
                    seen[family.name] = "nothing"
                except OSError as error:
                    seen[family.name] = os.strerror(error.errno)
                    time.sleep(0.25)
    return seen


def outcome(answer, result=None):
    if answer.failed:
        code = answer.json.get("code") if isinstance(answer.json, dict) else "no error on standard output"
        return {"failed": True, "status": answer.status, "code": code}
    return {"failed": False, "result": result if result is not None else answer.json}


def traces(host, container):
    """What is left of a container in the rule sets."""
    identities = (container.id, container.tool_id)
    return [line for line in packet_rules(host.name) if any(identity in line for identity in identities)]


def run_direct(scenario, version, adder, others=None):
    """One life of a scenario's containers; `others` checks and deletes, if given. Returns phases to compare."""
    other = others or adder
    modern = version not in ("0.1.0", "0.2.0", "0.3.0", "0.3.1")
    phases = {}
    with Host(scenario.make_containers()) as host:
        config = scenario.configuration(version, host)
        if scenario.world:
            build_world(host)
        try:
            if scenario.prepare:
                scenario.prepare(host)
            given = [{} for _ in host.containers]
            if scenario.behind:
                given = [{"prevResult": adder.call(host, "ADD", scenario.before(version), container).json}
                         for container in host.containers]  # fmt: skip
            before, names = Snapshot(host), {}
            answers = [adder.call(host, "ADD", {**config, **previous}, container)
                       for container, previous in zip(host.containers, given)]  # fmt: skip
            after = Snapshot(host)
            for container, answer in zip(host.containers, answers):
                result = canonical_result(answer.json, after, host, names, scenario.keep_macs)
                phases[f"ADD {container.name}"] = outcome(answer, result)
            if all(answer.failed for answer in answers):
                phases["after a failed ADD"] = {"before": before.canonical({}), "after": after.canonical({})}
            else:
                phases["after ADD"] = after.canonical(names)
                if scenario.rules:
                    phases["rules"] = saved_rules(host, scenario.rules)
            if scenario.world and not any(answer.failed for answer in answers):
                phases["outside"] = seen_by_world(host.containers[0])
            if scenario.tamper:
                scenario.tamper(host)
            for container, answer in zip(host.containers, answers):
                previous = {} if answer.failed else {"prevResult": answer.json}
                checked = other.call(host, "CHECK", {**config, **previous}, container)
                phases[f"CHECK {container.name}"] = outcome(checked)
            for container, answer in zip(host.containers, answers):
                previous = {} if answer.failed or not modern else {"prevResult": answer.json}
                phases[f"DEL {container.name}"] = outcome(other.call(host, "DEL", {**config, **previous}, container))
            phases["after DEL"] = Snapshot(host).canonical(names)
            if scenario.rules:
                phases["rules after DEL"] = saved_rules(host, scenario.rules)
            phases["traces"] = [line for container in host.containers for line in traces(host, container)]
            for container in host.containers:
                phases[f"DEL again {container.name}"] = outcome(other.call(host, "DEL", config, container))
        finally:
            if scenario.world:
                ip("netns", "delete", "world")
    return phases


def run_tool(scenario, version, side):
    phases, names = {}, {}
    with Host(scenario.make_containers()) as host, tempfile.TemporaryDirectory() as configurations:
        if scenario.prepare:
            scenario.prepare(host)
        Path(configurations, "10.conflist").write_text(json.dumps(scenario.list(version)))

        def call(command, container):
            return side.tool(host, command, "differential", container, configurations, scenario.capabilities)

        for container in host.containers:
            answer = call("add", container)
            result = canonical_result(answer.json, Snapshot(host), host, names, scenario.keep_macs)
            phases[f"add {container.name}"] = {"failed": answer.failed, "result": None if answer.failed else result}
        failed = all(phase["failed"] for phase in phases.values())
        if not failed:
            phases["after add"] = Snapshot(host).canonical(names)
        if scenario.tamper:
            scenario.tamper(host)
        for command in ("check", "del", "del"):
            for container in host.containers:
                name = f"{command} {container.name}"
                answer = call(command, container)
                phases[f"{name} again" if name in phases else name] = {"failed": answer.failed}
        phases["after del"] = None if failed else Snapshot(host).canonical(names)
        phases["cache"] = sorted(path.name for path in Path("/var/lib/cni").glob("results/*"))
    return phases


def run_protocol(plugin, version, side):
    phases = {}
    prepare = protocol.PLUGINS[plugin].prepare
    with Host([Container("c1", "lo" if plugin == "loopback" else "eth0")]) as host:
        container = host.containers[0]
        if prepare:
            prepare(host)

        def call(command, data, environment):
            return side.call(host, command, {"type": plugin}, container, raw=data, **environment)

        for name, command, data, environment in protocol.cases(plugin, version, host):
            answer = call(command, data, environment)
            if command == "VERSION":
                phases[name] = answer.json
            elif answer.failed:
                phases[name] = outcome(answer)
            else:
                phases[name] = outcome(answer, canonical_result(answer.json, Snapshot(host), host, {}))
            if command == "ADD":
                # Not by DEL, which is on trial here: each case finds a host that nothing happened on. Also after a
                # failure, of which a peer may leave a lease.
                host.reset()
                if prepare:
                    prepare(host)
    return phases


def settled(state):
    """Without what tells only that an ADD has been there: forwarding, on which others may rely by now, and whether a
    link has ever been up or had a port."""
    def space(state):
        if not state:
            return state
        settings = {key: value for key, value in state["settings"].items()
                    if not key.endswith(("ip_forward", "forwarding"))}  # fmt: skip
        links = {name: {key: value for key, value in link.items() if key not in ("qdisc", "tso_max_size")}
                 for name, link in state["links"].items()}  # fmt: skip
        return {**state, "settings": settings, "links": links}

    containers = {name: space(container) for name, container in state["containers"].items()}
    return {**state, "host": space(state["host"]), "containers": containers}


class Report:
    def __init__(self, verbose, same):
        self.verbose, self.same = verbose, same
        self.passed = self.failed = 0
        self.documented = Counter()
        self.failures = []

    def compare(self, mode, scenario, version, go, ours):
        """Holds two lives against each other, phase by phase. Returns a mark for the table."""
        good = True
        for phase in go.keys() | ours.keys():
            found = []
            one, other = go.get(phase), ours.get(phase)
            # After a failed ADD the peer leaves what it had done: ours is held against what was there before.
            failed = ours.get("after a failed ADD") if not self.same and mode != "go, then ours" else None
            if failed and phase == "after a failed ADD":
                one, other = settled(failed["before"]), settled(failed["after"])
            elif failed and phase == "after DEL" and settled(other) == settled(failed["before"]):
                one = other
            if phase == "traces" and not self.same:
                one = []
            for path, left, right in differences(one, other):
                heading = documented.explanation(mode, scenario, phase, path, left, right)
                if heading:
                    self.documented[heading] += 1
                else:
                    found.append((path, left, right))
            if found:
                good = False
                self.failed += 1
                self.failures.append((mode, scenario, version, phase, found))
            else:
                self.passed += 1
        return "ok" if good else "FAILED"

    def error(self, mode, scenario, version, error):
        self.failed += 1
        self.failures.append((mode, scenario, version, "could not run", [("", type(error).__name__, str(error))]))
        return "ERROR"

    def close(self):
        for mode, scenario, version, phase, found in self.failures:
            path, left, right = found[0]
            print(f"\nFAILED: {mode}: {scenario} ({version}): {phase}, {path or '/'}: {short(left)} and {short(right)}")
            for path, left, right in found[: None if self.verbose else 8]:
                print(f"  {path or '/'}\n    go:   {short(left)}\n    ours: {short(right)}")
        print("\nDocumented differences (Documentation/compatibility.md):")
        for heading, count in sorted(self.documented.items()):
            print(f"  {heading}: {count}")
        for heading in documented.missing_paragraphs():
            print(f"  FAILED: Documentation/compatibility.md has no paragraph {heading!r}")
            self.failed += 1
        print(f"\n{self.passed} passed, {self.failed} failed")
        return 0 if self.passed and not self.failed else 1


def short(value):
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) < 300 else text[:300] + "…"


def prepare_ours(path):
    """A directory of plugins from what was given: that directory, or names made for the one executable."""
    path = Path(path).resolve()
    if path.is_dir():
        return path
    directory = Path("/run/ours")
    directory.mkdir()
    names = subprocess.run([path, "--list-names"], check=True, capture_output=True, text=True).stdout.split()
    for name in [*names, "cnitool"]:
        directory.joinpath(name).symlink_to(path)
    return directory


def common_versions(go, ours):
    with Host([Container("c1")]) as host:
        request = {"cniVersion": "1.0.0"}
        answers = [side.call(host, "VERSION", request, host.containers[0]).json for side in (go, ours)]
    return [version for version in answers[0]["supportedVersions"] if version in answers[1]["supportedVersions"]]


LIVES = {
    "protocol": lambda name, version, go, ours: [run_protocol(name, version, side) for side in (go, ours)],
    "direct": lambda name, version, go, ours: [run_direct(BY_NAME[name], version, side) for side in (go, ours)],
    "cnitool": lambda name, version, go, ours: [run_tool(BY_NAME[name], version, side) for side in (go, ours)],
    "go, then ours": lambda name, version, go, ours: [
        run_direct(BY_NAME[name], version, go), run_direct(BY_NAME[name], version, go, ours)],
    "ours, then go": lambda name, version, go, ours: [
        run_direct(BY_NAME[name], version, go), run_direct(BY_NAME[name], version, ours, go)],
}  # fmt: skip
BY_NAME = {scenario.name: scenario for scenario in catalogue.ALL}


def live(task):
    """Runs one scenario with both implementations, in a worker. Gives two records, or what went wrong."""
    mode, name, version, go, ours = task
    try:
        return LIVES[mode](name, version, go, ours)
    except (OSError, subprocess.SubprocessError, KeyError, TypeError, AttributeError) as error:
        return error


class Possible:
    """Whether a scenario can be tried at all: both sides have the plugin, and the kernel its links."""

    def __init__(self, go, ours, kind):
        self.go, self.ours, self.kind = go, ours, kind
        self.kernel = {}
        self.left_out = Counter()

    def __call__(self, scenario):
        """`kind`, if given, narrows the choice to scenarios whose kernel needs are listed there."""
        if self.kind is not None and not set(scenario.needs) & set(self.kind):
            return False
        reason = self.reason(scenario)
        if reason:
            self.left_out[reason] += 1
        return not reason

    def reason(self, scenario):
        for need in scenario.needs:
            if need not in self.kernel:
                self.kernel[need] = kernel_has(need)
            if not self.kernel[need]:
                return f"this kernel has no {need}"
        for side in (self.go, self.ours):
            if not Path(side.directory, scenario.plugin).exists():
                return f"{side.name} has no {scenario.plugin}"
        # The name of a key is in the executable, as part of its type.
        if scenario.key and scenario.key.encode() not in Path(self.go.directory, scenario.plugin).read_bytes():
            return f"go has no {scenario.key}"
        return None


def rows(versions, cnitool, quick, possible):
    """(mode, scenario, versions) for each line of the table. Between the ends, versions differ in shape only."""
    ends = [version for version in versions if version in (versions[0], "0.3.1", "0.4.0", versions[-1])]
    if quick:
        ends = [version for version in ends if version in ("0.4.0", versions[-1])]

    def chosen(scenario, all):
        return [version for version in (versions if all else ends) if version >= scenario.since]

    for plugin, scenario in protocol.PLUGINS.items():
        if possible(scenario):
            yield "protocol", plugin, chosen(scenario, False)
    scenarios = [scenario for scenario in catalogue.ALL if possible(scenario)]
    crossed = [scenario for scenario in catalogue.CROSSED if possible(scenario)]

    for scenario in scenarios:
        if not scenario.chain:
            yield "direct", scenario.name, chosen(scenario, scenario in crossed or not quick)
    if cnitool:
        for scenario in scenarios:
            if scenario.previous:
                continue
            yield "cnitool", scenario.name, chosen(scenario, scenario in crossed and not quick)
    for scenario in crossed:
        yield "go, then ours", scenario.name, chosen(scenario, False)
        yield "ours, then go", scenario.name, chosen(scenario, False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", default=".build/install/cni")
    parser.add_argument("--go", default="/usr/lib/cni")
    parser.add_argument("--cnitool", help="default: the one of ours; without one, that part is left out")
    parser.add_argument("--only", default="", help="lines of the table that contain this")
    parser.add_argument("--versions", help="default: all that both know")
    parser.add_argument("--needs", help="only scenarios that need one of these link kinds: ipvlan,vlan,dummy")
    parser.add_argument("--jobs", type=int, default=2 * os.cpu_count(), help="scenarios at a time")
    parser.add_argument("--quick", action="store_true", help="fewer versions where only the caller differs")
    parser.add_argument("-v", "--verbose", action="store_true", help="show all differences of a failed comparison")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("differential.py makes namespaces, for which it must be root")
    for path in (options.ours, options.go):
        if not os.path.exists(path):
            print(f"there is no {path}\n\n0 passed, 1 failed")
            sys.exit(1)

    needs = options.needs.split(",") if options.needs else None
    options.ours, options.go = os.path.realpath(options.ours), os.path.realpath(options.go)
    enter_private_namespaces()
    directory = prepare_ours(options.ours)
    cnitool = options.cnitool or (str(directory / "cnitool") if (directory / "cnitool").exists() else None)
    go, ours = Side("go", options.go, cnitool), Side("ours", directory, cnitool)
    report = Report(options.verbose, same=options.go == str(directory))

    versions = common_versions(go, ours)
    if options.versions:
        versions = [version for version in versions if version in options.versions.split(",")]
    possible = Possible(go, ours, needs)
    table = [row for row in rows(versions, cnitool, options.quick, possible) if options.only in f"{row[0]}: {row[1]}"]
    tasks = [(mode, name, version, go, ours) for mode, name, chosen in table for version in chosen]
    print(f"{'':64}" + "".join(f"{version:>8}" for version in versions))
    with multiprocessing.Pool(options.jobs, initializer=own_state) as workers:
        pairs = workers.imap(live, tasks)
        for mode, name, chosen in table:
            marks = dict.fromkeys(versions, "")
            for version in chosen:
                pair = next(pairs)
                if isinstance(pair, Exception):
                    marks[version] = report.error(mode, name, version, pair)
                else:
                    marks[version] = report.compare(mode, name, version, *pair)
            print(f"{mode + ': ' + name:64}" + "".join(f"{mark:>8}" for mark in marks.values()), flush=True)
    for reason, count in sorted(possible.left_out.items()):
        print(f"Left out: {reason}, {count} lines")
    if not cnitool:
        print("There is no cnitool: nothing was called through it.")
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
