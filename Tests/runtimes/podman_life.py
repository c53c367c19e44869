"""podman, with its CNI back end.

It listens itself on the ports that it publishes, so that nobody else takes them. For that reason [::1] is not asked: no kernel lets it
lead to a container, and it is podman who does not answer there.
"""

import json
from concurrent.futures import ThreadPoolExecutor

from image import ANSWER
from node import HOST, OUTSIDE, ask, end, leases, run, wait_until, without_plugin
from podman import PORTS, Networks, begin, configure, inspect, podman, publish, server
from podman_killed import killed_midway, monitor_killed
from traffic import (
    Server,
    collect,
    direct,
    every_address,
    expect_answers,
    outside_server,
    published,
    unpublished,
    world,
)


def two_networks(report):
    with Networks("one", "two"):
        c1 = begin("c1", networks=("one", "two"), ports=PORTS)
        report.same("addresses of each family", [len(c1.addresses[family]) for family in (4, 6)], [2, 2])
        neighbour = begin("c2", networks=("one",))
        other = begin("c3", networks=("two",))
        first = Server("c1", c1.namespace, {family: c1.addresses[family][:1] for family in (4, 6)})
        second = Server("c1", c1.namespace, {family: c1.addresses[family][1:] for family in (4, 6)})
        expect_answers(report, [
            *direct(c1), *direct(first, "outside", "client"), *published(c1), *direct(first, "c2", neighbour.namespace),
            *direct(second, "c3", other.namespace), *direct(neighbour, "c1", c1.namespace),
            *direct(other, "c1", c1.namespace), *world(c1), *world(neighbour), *world(other),
            *[(f"{kind} from {who.name} by the host's {family}", (who.namespace, kind, HOST[family], port), ("c1", inner))
              for who in (neighbour, other) for family in (4, 6) for kind, port, inner in PORTS],
        ])  # fmt: skip
        answer = podman("exec", "c2", "nc", "-w", "2", HOST[4], "8081", seconds=20)
        report.same("podman exec", answer.split()[:2], ["c1", "80"])
        podman("rm", "--force", "--time", "0", "c1")
        unpublished(report, PORTS)
        report.same("leases of what is left", leases("one"), every_address(neighbour))


def chosen(report):
    """Addresses that were asked for, host addresses of mappings, a range of ports."""
    with Networks("one"):
        mac = "02:00:00:00:31:07"
        c1 = begin("c1", "--ip", "10.31.1.77", "--ip6", "fd00:31:1::77", "--mac-address", mac, "--publish",
                   f"{HOST[4]}:8082:80", "--publish", "127.0.0.1:8083:80", "--publish", f"[{HOST[6]}]:8084:80",
                   "--publish", "8090-8093:90-93", listening=[("tcp", port) for port in (80, 90, 91, 92, 93)])  # fmt: skip
        report.same("its addresses", c1.addresses, {4: ["10.31.1.77"], 6: ["fd00:31:1::77"]})
        report.expect("its MAC address", mac in podman("exec", "c1", "ip", "link", "show", "eth0"))
        expect_answers(report, [
            ("a mapping for the host's address", ("client", "tcp", HOST[4], 8082), ("c1", 80, OUTSIDE[4])),
            ("a mapping for its IPv6 address", ("client", "tcp", HOST[6], 8084), ("c1", 80, OUTSIDE[6])),
            ("a mapping for 127.0.0.1", (None, "tcp", "127.0.0.1", 8083), ("c1", 80)),
            *[question for port in range(8090, 8094)
              for question in published(Server("c1", None, {}, [("tcp", port, port - 8000)]))],
        ])  # fmt: skip
        for where, address, port in (("client", HOST[6], 8082), (None, "127.0.0.1", 8082), ("client", HOST[4], 8083),
                                     ("client", HOST[4], 8084)):  # fmt: skip
            answer = ask(where, "tcp", address, port, 0.5)
            report.expect(f"no mapping at {address} {port}", not answer.startswith("c1"), answer)


def connect(report):
    with Networks("one", "two", "three"):
        c1 = begin("c1", ports=PORTS)
        neighbour = begin("c2", networks=("two",))
        podman("network", "connect", "two", "c1")
        podman("network", "connect", "--ip", "10.31.3.33", "three", "c1")
        c1 = server("c1", PORTS)
        report.same("addresses after connect", len(c1.addresses[4]), 3)
        report.expect("the one asked for", "10.31.3.33" in c1.addresses[4], c1.addresses)
        expect_answers(report, [*direct(c1), *published(c1), *direct(neighbour, "c1", c1.namespace)])
        podman("network", "disconnect", "three", "c1")
        podman("network", "disconnect", "two", "c1")
        report.same("leases after disconnect", [leases("two"), leases("three")], [every_address(neighbour), []])
        c1 = server("c1", PORTS)
        expect_answers(report, [*direct(c1), *published(c1), *world(c1)])


def first_network_goes(report):
    """The published ports of a container in two networks outlive its first network."""
    with Networks("one", "two"):
        begin("c1", networks=("one", "two"), ports=PORTS)
        podman("network", "disconnect", "one", "c1")
        c1 = server("c1", PORTS)
        report.same("addresses after disconnect", len(c1.addresses[4]), 1)
        expect_answers(report, [*direct(c1), *published(c1)])
        podman("network", "connect", "one", "c1")
        c1 = server("c1", PORTS)
        expect_answers(report, [*direct(c1), *published(c1)])


def reload(report):
    """After somebody has thrown all rules away."""
    with Networks("one", "two"):
        c1 = begin("c1", networks=("one", "two"), ports=PORTS)
        run("nft", "flush", "ruleset")
        answer = ask("client", "tcp", HOST[4], 8081, 0.5)
        report.expect("without rules nobody answers", not answer.startswith("c1"), answer)
        podman("network", "reload", "c1")
        c1 = server("c1", PORTS)
        expect_answers(report, [*direct(c1), *published(c1), *world(c1)])
        podman("network", "reload", "--all")
        c1 = server("c1", PORTS)
        expect_answers(report, [*direct(c1), *published(c1), *world(c1)])


def restart(report):
    with Networks("one", "two"):
        c1 = begin("c1", networks=("one", "two"), ports=PORTS)
        podman("restart", "--time", "1", "c1")
        c1 = server("c1", PORTS)
        expect_answers(report, [*direct(c1), *published(c1)])
        podman("stop", "--time", "1", "c1")
        report.same("leases after stop", leases("one") + leases("two"), [])
        unpublished(report, PORTS)
        podman("start", "c1")
        c1 = server("c1", PORTS)
        expect_answers(report, [*direct(c1), *published(c1)])
        podman("kill", "--signal", "KILL", "c1")
        report.expect("conmon has it cleaned up", wait_until(lambda: not leases("one") + leases("two")), leases("one"))
        unpublished(report, PORTS)


def many(report):
    with Networks("one", "two"):
        def born(number):
            name = f"m{number}"
            podman("run", "--detach", "--name", name, "--network", "one", "--network", "two", "--publish",
                   f"{8100 + number}:80", "--publish", f"{8200 + number}:53/udp", ANSWER, "/bin/answer", name, "tcp/80",
                   "udp/53")  # fmt: skip

        with ThreadPoolExecutor(12) as pool:
            list(pool.map(born, range(12)))
        servers = [server(f"m{number}", (("tcp", 8100 + number, 80), ("udp", 8200 + number, 53))) for number in range(12)]
        report.same("different addresses", len({address for one in servers for address in every_address(one)}), 48)
        expect_answers(report, [question for one in servers for question in (*direct(one), *published(one))])
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda number: podman("rm", "--force", "--time", "0", f"m{number}"), range(12)))
        report.same("leases", leases("one") + leases("two"), [])


def bridges_know_vlans():
    probe = run("ip", "link", "add", "probe", "type", "bridge", "vlan_filtering", "1", check=False)
    run("ip", "link", "delete", "probe", check=False)
    return probe.returncode == 0


def policies(report):
    """Networks of other kinds: internal, isolated from others, with an MTU."""
    with Networks("one", options=("--internal",)):
        c1, c2 = begin("c1"), begin("c2")
        expect_answers(report, [*direct(c1, "c2", c2.namespace), *direct(c2, "c1", c1.namespace)])
        for family in (4, 6):
            answer = ask(c1.namespace, "tcp", OUTSIDE[family], 7080, 0.5)
            report.expect(f"an internal network does not reach the world, by {family}", "outside" not in answer, answer)
    with Networks("one", "two", options=("--opt", "isolate=true")):
        c1, c2, c3 = begin("c1", ports=PORTS), begin("c2", networks=("two",)), begin("c3")
        expect_answers(report, [*published(c1), *direct(c1, "c3", c3.namespace), *world(c1)])
        for here, there in ((c1, c2), (c2, c1)):
            for family in (4, 6):
                answer = ask(here.namespace, "tcp", there.addresses[family][0], 80, 0.5)
                report.expect(f"{here.name} does not reach {there.name}, by {family}", not answer.startswith("c"), answer)
    with Networks("one", options=("--opt", "mtu=1400")):
        c1, c2 = begin("c1"), begin("c2")
        report.expect("MTU", "mtu 1400" in podman("exec", "c1", "ip", "link", "show", "eth0"))
        expect_answers(report, [*direct(c1, "c2", c2.namespace), *world(c1), *world(c2)])


def vlan(report):
    with Networks("one", options=("--opt", "vlan=5")):
        c1, c2 = begin("c1"), begin("c2")
        report.expect("its ports have the VLAN", " 5 " in run("bridge", "vlan", "show"))
        expect_answers(report, [*direct(c1, "c2", c2.namespace), *world(c1), *world(c2)])


def plugin_goes(report):
    """A plugin's executable is gone when a container is removed: podman says so, and forgets the container. What is left of it, is
    left to `cnitool gc`."""
    with Networks("one"):
        begin("c1", ports=PORTS)
        neighbour = begin("c2")
        keep = f"{inspect('c2')['Id']}/eth0"
        # Who comes first, `podman rm` or what conmon starts, takes the network down, and nobody reads what the latter says.
        end(inspect("c1")["State"]["ConmonPid"])
        with without_plugin("portmap"):
            removed = podman("rm", "--force", "--time", "0", "c1", check=False)
            report.expect("podman tells which plugin it misses", 'failed to find plugin \\"portmap' in removed.stderr, removed)
        podman("rm", "--force", "--time", "0", "c1", check=False)
        collect("one", keep=[keep])
        report.same("leases of what is left", leases("one"), every_address(neighbour))
        unpublished(report, PORTS)
        expect_answers(report, [*direct(neighbour), *world(neighbour)])


def macvlan(report):
    podman("network", "create", "--driver", "macvlan", "--opt", "parent=up0", "--subnet", "192.0.2.0/24", "--ip-range",
           "192.0.2.64/26", "--gateway", "192.0.2.2", "lan")  # fmt: skip
    try:
        c1, c2 = begin("c1", networks=("lan",)), begin("c2", networks=("lan",))
        expect_answers(report, [*direct(c1, "outside", "client", [4]), *direct(c1, "c2", c2.namespace, [4])])
        report.expect("macvlan", "macvlan" in run("nsenter", f"--net={c1.namespace}", "ip", "-d", "link", "show", "eth0"))
    finally:
        podman("rm", "--all", "--force", "--time", "0", check=False)
        podman("network", "rm", "lan", check=False)


def pod(report):
    with Networks("one", "two"):
        podman("pod", "create", "--name", "p", "--network", "one", "--network", "two", *publish(PORTS))
        try:
            podman("run", "--detach", "--pod", "p", "--name", "c1", ANSWER, "/bin/answer", "c1", "tcp/80")
            podman("run", "--detach", "--pod", "p", "--name", "c2", ANSWER, "/bin/answer", "c1", "udp/53")
            infra = json.loads(podman("pod", "inspect", "p"))["InfraContainerID"]
            whole = server(infra, PORTS, named="c1")
            expect_answers(report, [*direct(whole), *published(whole), *world(whole)])
        finally:
            podman("pod", "rm", "--force", "--time", "0", "p", check=False)


SCENARIOS = {
    "two networks, published ports": two_networks,
    "chosen addresses and ports": chosen,
    "network connect, disconnect": connect,
    "disconnect of the first network": first_network_goes,
    "network reload": reload,
    "restart, stop, start, kill": restart,
    "12 containers at once": many,
    "internal, isolated, MTU": policies,
    "a VLAN": vlan,
    "macvlan": macvlan,
    "a pod": pod,
    "a plugin gone": plugin_goes,
    "conmon killed": monitor_killed,
    "podman killed midway": killed_midway,
}  # fmt: skip


def live(report):
    configure()
    podman("load", "--input", "/run/images.tar")
    with_world = outside_server()
    for title, scenario in SCENARIOS.items():
        if scenario is vlan and not bridges_know_vlans():
            report.impossible(title)
        else:
            report.run(title, scenario)
    with_world.kill()
