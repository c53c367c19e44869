"""Scenarios of bandwidth, behind a plugin that makes a veth pair."""

import subprocess

from host import inside
from scenario import V4, V6, Scenario, host_local
from state import command

BRIDGE = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": host_local(V4, V6)}
PTP = {"type": "ptp", "ipam": host_local(V4)}

MEGABIT = 1_000_000


def limits(ingress=None, egress=None, burst=None, capital=False):
    keys = {}
    for name, rate in (("ingress", ingress), ("egress", egress)):
        if rate is not None:
            keys[f"{name}Rate"] = rate
            keys[f"{name}Burst"] = rate // 10 if burst is None else burst
    return {key[0].upper() + key[1:]: value for key, value in keys.items()} if capital else keys


def bandwidth(name, keys=None, behind=BRIDGE, **more):
    # The Go plugin takes the host's end from the result, and none before 0.3.0 names interfaces.
    return Scenario(f"bandwidth{name}", {"type": "bandwidth", **(keys or {})}, behind=behind, since="0.3.0", **more)


def on_host_end(*arguments):
    """Changes something about the host's end of the first container's interface."""

    def tamper(host):
        with inside(host.name):
            links = command("ip", "-j", "link", "show", "type", "veth")
            names = sorted(link["ifname"] for link in links)
            for device in names[:1]:
                run("tc", *[device if word == "END" else word for word in arguments])

    return tamper


def on_ifb(*arguments):
    """Changes something about the first ifb."""

    def tamper(host):
        with inside(host.name):
            for link in command("ip", "-j", "link", "show", "type", "ifb")[:1]:
                run(*[link["ifname"] if word == "IFB" else word for word in arguments])

    return tamper


def run(*arguments):
    subprocess.run(arguments, check=True, capture_output=True)


BOTH = limits(8 * MEGABIT, 16 * MEGABIT)

GOOD = [
    bandwidth("", BOTH),
    bandwidth(", behind ptp", BOTH, behind=PTP),
    bandwidth(", ingress", limits(ingress=5 * MEGABIT)),
    bandwidth(", egress", limits(egress=5 * MEGABIT)),
    bandwidth(", egress, zeros for ingress", {**limits(egress=5 * MEGABIT), **limits(ingress=0)}),
    bandwidth(", nothing", {}),
    bandwidth(", zeros", limits(0, 0)),
    bandwidth(", rates that do not divide evenly", limits(12_345_678, 987_654_321, burst=1_234_567)),
    bandwidth(", fast", limits(40_000 * MEGABIT, 100_000 * MEGABIT)),
    bandwidth(", slow", limits(100_000, 200_000, burst=100_000)),
    bandwidth(", runtimeConfig", capabilities={"bandwidth": BOTH}),
    bandwidth(", runtimeConfig in capitals", capabilities={"bandwidth": limits(0, 3 * MEGABIT, capital=True)}),
    bandwidth(", keys in both places", limits(4 * MEGABIT), capabilities={"bandwidth": BOTH}),
    bandwidth(", mtu", BOTH, behind={**BRIDGE, "mtu": 1400}),
    bandwidth(", two containers", BOTH, containers=2),
    bandwidth(", another interface name", BOTH, interface="net1"),
]
ERRORS = [
    bandwidth(", rate without burst", {"ingressRate": MEGABIT}),
    bandwidth(", burst without rate", {"egressBurst": MEGABIT}),
    bandwidth(", rate without burst in runtimeConfig", capabilities={"bandwidth": {"egressRate": MEGABIT}}),
    bandwidth(", rate negative", {"ingressRate": -1, "ingressBurst": 1}),
    bandwidth(", rate no number", {"ingressRate": "1M", "ingressBurst": 1}),
    bandwidth(", rate with a fraction", {"ingressRate": 1.5, "ingressBurst": 1}),
    bandwidth(", behind no veth pair", BOTH, behind={"type": "loopback"}),
    bandwidth(", ifb gone at CHECK", BOTH, tamper=on_ifb("ip", "link", "delete", "IFB")),
    bandwidth(", rate changed at CHECK", BOTH,
              tamper=on_ifb("tc", "qdisc", "replace", "dev", "IFB", "root", "handle", "1:", "tbf", "rate", "9mbit",
                            "burst", "125000", "latency", "25ms")),
    bandwidth(", tbf gone at CHECK", BOTH, tamper=on_host_end("qdisc", "delete", "dev", "END", "root")),
    bandwidth(", burst beyond 32 bits", limits(8 * MEGABIT, burst=34359738359)),
    bandwidth(", burst smaller than a packet", limits(8 * MEGABIT, burst=1000)),
]  # fmt: skip
