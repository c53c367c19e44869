#!/usr/bin/env python3
"""Containers with masquerading and port mappings change hands between Debian's Go plugins and ours, with both kinds of
iptables.

    handover.py [EXECUTABLE]    (or PRODUCT in the environment)

What one added, the other checks and deletes, and nothing may be left: no chain or rule in any table, no link, no lease. A
second container of the same network must keep all of its own. Which iptables is used is decided by what comes first in
PATH, as on a machine it is by what /usr/sbin/iptables leads to.

Everything happens in namespaces of its own, which end with this program, however it ends.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
for folder in ("differential", "handover"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / folder))

import handover_ports  # noqa: E402
from differential import build_world, prepare_ours, seen_by_world  # noqa: E402
from host import Container, Host, Side, enter_private_namespaces, inside, ip, own_state  # noqa: E402
from state import leases  # noqa: E402

FLAVOURS = ("nft", "legacy")
PROGRAMS = ("iptables", "ip6tables")
PLUGINS = {"bridge": {"bridge": "cni0", "isGateway": True}, "ptp": {}}
RANGES = {"IPv4": [[{"subnet": "10.22.0.0/16"}]],
          "dual stack": [[{"subnet": "10.22.0.0/16"}], [{"subnet": "fd00:22::/64"}]]}  # fmt: skip
ROUTES = {"IPv4": [{"dst": "0.0.0.0/0"}], "dual stack": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}
OUTSIDE = {"IPv4": {"AF_INET": "198.51.100.1"},
           "dual stack": {"AF_INET": "198.51.100.1", "AF_INET6": "2001:db8:51::1"}}  # fmt: skip


class Life:
    """What one container's life showed."""

    def __init__(self, title):
        self.title = title
        self.passed = 0
        self.failures = []

    def expect(self, what, condition, found=""):
        if condition:
            self.passed += 1
        else:
            self.failures.append(f"FAILED: {self.title}: {what}: {found}")
        return condition


def flavours():
    """For each kind of iptables: a PATH on which it is the first."""
    paths = {}
    for flavour in FLAVOURS:
        directory = Path(f"/run/iptables-{flavour}")
        paths[flavour] = f"{directory}:{os.environ['PATH']}"
        if directory.exists():
            continue
        directory.mkdir()
        for program in PROGRAMS:
            for suffix in ("", "-save", "-restore"):
                directory.joinpath(program + suffix).symlink_to(f"/usr/sbin/xtables-{flavour}-multi")
    return paths


def configuration(plugin, family, version, **keys):
    return {"cniVersion": version, "name": "handover", "type": plugin, **PLUGINS[plugin], "ipMasq": True, **keys,
            "ipam": {"type": "host-local", "ranges": RANGES[family], "routes": ROUTES[family]}}  # fmt: skip


def nat(host):
    """The chains and rules of every masquerading there is, whoever made it, by where it is."""
    found = {}
    with inside(host.name):
        for program in PROGRAMS:
            for flavour in FLAVOURS:
                text = subprocess.run([f"{program}-{flavour}", "-t", "nat", "-S"], capture_output=True, text=True).stdout
                found[f"{program}-{flavour}"] = [line for line in text.splitlines() if "CNI-" in line]
        text = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout
        found["nf_tables"] = [line.strip() for line in text.splitlines() if "cni:" in line or "masq" in line.lower()]
    return found


def links(host):
    with inside(host.name):
        return [link["ifname"] for link in json.loads(subprocess.check_output(["ip", "-j", "link"]))]


def of_family(seen, family):
    return {name: address for name, address in seen.items() if name in OUTSIDE[family]}


def state(host):
    kept = {name: text for name, text in leases().items() if "last_reserved_ip" not in name}
    return {"rules": nat(host), "links": sorted(set(links(host)) - {"cni0"}), "leases": kept}


def live(task):
    """One container's life, in a worker: added by one side, checked and deleted by the other."""
    title, plugin, family, (adder, add_flavour), (deleter, delete_flavour), version, keys, delete, neighbour = task
    life = Life(title)
    paths = flavours()
    adding, deleting = paths[add_flavour], paths[delete_flavour]
    config = configuration(plugin, family, version, **keys)
    with Host([Container("c1")]) as host:
        container = host.containers[0]
        build_world(host)
        ip("netns", "add", "neighbour")
        other = Container("neighbour")
        try:
            if neighbour:
                # Stays in its hands; nobody may touch what it has.
                answer = neighbour.call(host, "ADD", configuration(plugin, family, "1.0.0"), other, PATH=adding)
                life.expect("a neighbour", not answer.failed, answer.text)
            before = state(host)
            added = adder.call(host, "ADD", config, container, PATH=adding)
            if not life.expect("ADD", not added.failed, added.text):
                return life
            now = state(host)["rules"]
            changed = {name for name in now if now[name] != before["rules"][name]} - {"nf_tables"}
            expected = {f"{program}-{add_flavour}" for program in PROGRAMS[: len(RANGES[family])]}
            life.expect("the rules are where they were asked for", changed == expected, changed)
            seen = of_family(seen_by_world(container), family)
            life.expect("the world sees the host", seen == OUTSIDE[family], seen)

            later = {**config, "prevResult": added.json}
            if version >= "0.4.0":
                checked = deleter.call(host, "CHECK", later, container, PATH=deleting)
                life.expect("CHECK", not checked.failed, checked.text)
            if "namespace" in delete or "CNI_NETNS" in delete:
                ip("netns", "delete", container.name)
            final = config if "result" in delete else later
            environment = {"CNI_NETNS": ""} if "CNI_NETNS" in delete else {}
            for again in ("", " again"):
                deleted = deleter.call(host, "DEL", final, container, PATH=deleting, **environment)
                life.expect(f"DEL{again}", not deleted.failed, deleted.text)
            after = state(host)
            for _ in range(100):
                # The kernel takes the links of a deleted namespace away at a moment of its own.
                if after["links"] == before["links"] or Path(container.path).exists():
                    break
                time.sleep(0.05)
                after = state(host)
            for what, left in after.items():
                life.expect(f"{what} are as before", left == before[what], left)
            if neighbour:
                seen = of_family(seen_by_world(other), family)
                life.expect("the neighbour is still masqueraded", seen == OUTSIDE[family], seen)
        finally:
            for name in ("world", "neighbour"):
                ip("netns", "delete", name)
    return life


DELETIONS = ("DEL", "DEL without a result", "DEL with a namespace that is gone", "DEL with an empty CNI_NETNS")


def lives(go, ours):
    asked_for = {"ipMasqBackend": "iptables"}
    for plugin in PLUGINS:
        for flavour in FLAVOURS:
            for family in RANGES:
                where = f"{plugin}, {family}, iptables-{flavour}"
                what = (plugin, family)
                for delete in DELETIONS:
                    yield (f"go, then ours, {where}, {delete}", *what, (go, flavour), (ours, flavour), "1.0.0", {}, delete,
                           go)  # fmt: skip
                yield (f"go, then ours, {where}, 0.3.1", *what, (go, flavour), (ours, flavour), "0.3.1", {},
                       "DEL without a result", None)  # fmt: skip
                yield f"ours, then go, {where}", *what, (ours, flavour), (go, flavour), "1.0.0", asked_for, "DEL", go
                yield f"ours, then ours, {where}", *what, (ours, flavour), (ours, flavour), "1.0.0", asked_for, "DEL", go
        # What `update-alternatives` does to a node: rules of one kind, programs of the other.
        for one, other in (FLAVOURS, FLAVOURS[::-1]):
            for adder, keys in ((go, {}), (ours, asked_for)):
                yield (f"{plugin}, {adder.name}, iptables-{one}, then ours, iptables-{other}", plugin, "dual stack",
                       (adder, one), (ours, other), "1.0.0", keys, "DEL", None)  # fmt: skip


def main():
    executable = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PRODUCT", ".build/install/cni"))
    sys.argv = [os.path.realpath(__file__), executable]
    enter_private_namespaces()
    flavours()
    go, ours = Side("go", os.environ.get("PEER_BIN_DIR", "/usr/lib/cni")), Side("ours", prepare_ours(executable))
    passed = failed = 0
    with multiprocessing.Pool(2 * os.cpu_count(), initializer=own_state) as workers:
        for body, tasks in (
            (handover_ports.live, handover_ports.lives(go, ours, flavours(), Life)),
            (live, lives(go, ours)),
        ):
            for life in workers.imap(body, tasks):
                for failure in life.failures:
                    print(failure)
                passed, failed = passed + life.passed, failed + len(life.failures)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
