"""podman, with its CNI back end.

It listens itself on the ports that it publishes, so that nobody else takes them. For that reason [::1] is not asked: no kernel lets it
lead to a container, and it is podman who does not answer there.
"""

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from image import ANSWER, PAUSE
from node import HOST, OUTSIDE, PLUGINS, Failure, ask, chains_held, command_line, ip, run, wait_until
from traffic import (
    Server,
    collect,
    direct,
    every_address,
    expect_answers,
    outside_server,
    published,
    settle,
    unpublished,
    world,
)

CONFIGURATION = f"""
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
cni_plugin_dirs = ["{PLUGINS}"]
infra_image = "{PAUSE}"
[network]
network_backend = "cni"
cni_plugin_dirs = ["{PLUGINS}"]
network_config_dir = "/etc/cni/net.d"
"""
STORAGE = """
[storage]
driver = "overlay"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
"""
ANY = '{ "default": [{ "type": "insecureAcceptAnything" }] }'


def configure():
    """What podman and buildah find in /etc/containers."""
    for name, text in (("containers.conf", CONFIGURATION), ("storage.conf", STORAGE), ("policy.json", ANY)):
        Path("/etc/containers", name).write_text(text)


def podman(*arguments, **keywords):
    return run("podman", *arguments, **keywords)


def inspect(name):
    return json.loads(podman("inspect", "--type", "container", name))[0]


def server(name, ports=(), listening=(("tcp", 80), ("udp", 53)), named=None):
    """What podman says of a container that runs, which calls itself `named` if that is not its name."""
    state = inspect(name)
    name = named or name
    networks = state["NetworkSettings"]["Networks"]
    addresses = {4: [], 6: []}
    for network in sorted(networks):
        addresses[4] += [networks[network]["IPAddress"]] if networks[network]["IPAddress"] else []
        addresses[6] += [networks[network]["GlobalIPv6Address"]] if networks[network]["GlobalIPv6Address"] else []
    made = Server(name, f"/proc/{state['State']['Pid']}/ns/net", addresses, ports, listening)
    kind, port = listening[0]
    if not wait_until(lambda: ask(made.namespace, kind, "127.0.0.1", port).startswith(name)):
        raise Failure(f"{name} does not answer itself")
    settle(made.namespace)
    return made


def publish(ports):
    return [word for kind, outer, inner in ports for word in ("--publish", f"{outer}:{inner}/{kind}")]


def begin(name, *options, ports=(), listening=(("tcp", 80), ("udp", 53)), networks=("one",)):
    """Runs a container that answers."""
    podman("run", "--detach", "--name", name, *[word for network in networks for word in ("--network", network)],
           *publish(ports), *options, ANSWER, "/bin/answer", name, *[f"{kind}/{port}" for kind, port in listening])  # fmt: skip
    return server(name, ports, listening)


class Networks:
    """Networks that are there while something is tried, each a number: `one` is 10.31.1.0/24 and fd00:31:1::/64."""

    def __init__(self, *names, options=()):
        self.names = names
        self.options = options

    def __enter__(self):
        for number, name in enumerate(self.names, 1):
            podman("network", "create", "--subnet", f"10.31.{number}.0/24", "--ipv6", "--subnet", f"fd00:31:{number}::/64",
                   *self.options, name)  # fmt: skip

    def __exit__(self, *_):
        podman("rm", "--all", "--force", "--time", "0", check=False)
        podman("network", "rm", *self.names, check=False)


def leases(name):
    return sorted(path.name for path in Path("/var/lib/cni/networks", name).glob("*")
                  if not path.name.startswith(("lock", "last_reserved")))  # fmt: skip


# Parts of the time that a command takes.
MOMENTS = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
AT_THE_END = "the end of the chain"
PORTS = (("tcp", 8081, 80), ("udp", 8053, 53))


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
    """Networks of other kinds: internal, isolated from others, with a VLAN and an MTU."""
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
    # Not every kernel's bridges know VLANs.
    vlan = ("--opt", "vlan=5") if bridges_know_vlans() else ()
    with Networks("one", options=(*vlan, "--opt", "mtu=1400")):
        c1, c2 = begin("c1"), begin("c2")
        report.expect("MTU", "mtu 1400" in podman("exec", "c1", "ip", "link", "show", "eth0"))
        expect_answers(report, [*direct(c1, "c2", c2.namespace), *world(c1), *world(c2)])


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


def monitor_killed(report):
    """conmon is who cleans up when a container ends."""
    with Networks("one", "two"):
        for what in ("conmon", "conmon and the container"):
            begin("c1", networks=("one", "two"), ports=PORTS)
            state = inspect("c1")["State"]
            os.kill(state["ConmonPid"], signal.SIGKILL)
            if what != "conmon":
                os.kill(state["Pid"], signal.SIGKILL)
            podman("rm", "--force", "--time", "0", "c1")
            report.same(f"leases after {what} was killed", leases("one") + leases("two"), [])
            unpublished(report, PORTS)


def end_orphans(kept):
    """Whoever was started by a podman that was killed before it had written that down: conmon, and crun, which waits for
    somebody to start the container that it has made. They have the ports open that podman is to publish again."""
    for path in Path("/proc").glob("[0-9]*"):
        words = command_line(path.name)
        if words[0].endswith(("/conmon", "/crun")) and kept not in words:
            try:
                os.kill(int(path.name), signal.SIGKILL)
            except ProcessLookupError:
                pass


def killed_midway(report):
    """podman itself, at moments of `podman run` and `podman rm`: what it forgets, `cnitool gc` finds."""
    with Networks("one", "two"):
        kept = begin("kept", ports=(("tcp", 8099, 80),))
        keep = f"{inspect('kept')['Id']}/eth0"
        for name in ("one", "two"):
            file = Path("/etc/cni/net.d", f"{name}.conflist")
            configuration = json.loads(file.read_text())
            configuration["plugins"].append({"type": "hold"})
            file.write_text(json.dumps(configuration))
        words = {
            "run": ["run", "--detach", "--name", "c1", "--network", "one", "--network", "two", *publish(PORTS), ANSWER],
            "rm": ["rm", "--force", "--time", "0", "c1"],
        }  # fmt: skip
        for command in words:
            duration = 0
            for moment in (None, *MOMENTS, *([AT_THE_END] if command == "run" else [])):
                if command == "rm":
                    begin("c1", networks=("one", "two"), ports=PORTS)
                started = time.monotonic()
                with chains_held() if moment == AT_THE_END else nullcontext() as held:
                    process = subprocess.Popen(["podman", *words[command]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                    if held:
                        report.expect("a chain comes to its end", held())
                    elif moment is not None:
                        time.sleep(moment * duration)
                    if moment is None:
                        process.wait()
                        duration = time.monotonic() - started
                    else:
                        process.kill()
                        process.wait()
                podman("rm", "--force", "--time", "0", "c1", check=False)
                end_orphans(inspect("kept")["Id"])
                # The network namespaces that podman has forgotten are its own to leave behind, the rest is CNI's.
                for path in Path("/run/netns").glob("netns-*"):
                    if not path.samefile(kept.namespace):
                        ip("netns", "delete", path.name)
                collect("one", "two", keep=[keep])
                report.same(f"leases after the end at {moment} of {command}", [leases("one"), leases("two")],
                            [every_address(kept), []])  # fmt: skip
                unpublished(report, PORTS, 0.2)
        # Who was not meant has all of its own.
        expect_answers(report, [*direct(kept), *published(kept), *world(kept)])


SCENARIOS = {
    "two networks, published ports": two_networks,
    "chosen addresses and ports": chosen,
    "network connect, disconnect": connect,
    "disconnect of the first network": first_network_goes,
    "network reload": reload,
    "restart, stop, start, kill": restart,
    "12 containers at once": many,
    "internal, isolated, VLAN": policies,
    "macvlan": macvlan,
    "a pod": pod,
    "conmon killed": monitor_killed,
    "podman killed midway": killed_midway,
}  # fmt: skip


def live(report):
    configure()
    podman("load", "--input", "/run/images.tar")
    with_world = outside_server()
    # Directories and files that podman makes once.
    with Networks("one"):
        begin("c1")
    for title, scenario in SCENARIOS.items():
        report.run(title, scenario)
    with_world.kill()
