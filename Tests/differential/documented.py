"""The differences that are meant: each names the paragraph of Documentation/compatibility.md that explains it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

# Codes with which the Go plugins say only "something failed".
GENERIC = {100, 999}


@dataclass(frozen=True)
class Place:
    """Where in a comparison two values differ."""

    mode: str  # how the plugins were called: "direct", "cnitool", "ours, then go", …
    scenario: str
    phase: str  # "ADD c1", "after ADD", …
    path: str  # within what is compared in that phase


@dataclass(frozen=True)
class Difference:
    heading: str
    applies: Callable  # (place, Go's value, ours) -> bool


def gone_with_bridge(place, go, ours):
    """Our DEL of the last container takes along the bridge that our ADD made: with it go its settings and routes."""
    if place.phase.lower() != "after del" or place.mode == "ours, then go":
        return False
    if place.path == "/host/routes":
        return [route for route in go if route["dev"] != "cni0"] == ours
    return ours == "(absent)" and (place.path == "/host/links/cni0" or "/conf/cni0/" in place.path)


def tolerant(place, go, ours):
    """A DEL that goes through although the configuration has a mistake, and what follows from it."""
    if place.phase.startswith(("DEL", "del")):
        return (place.path, ours) in (("/failed", False), ("/code", "(absent)"), ("/status", "(absent)"),
                                      ("/result", None))  # fmt: skip
    return place.phase == "cache" and ours == []


def accepts(place, go, ours):
    return (place.path, ours) in (("/failed", False), ("/code", "(absent)"), ("/status", "(absent)")) or (
        place.path == "/result" and go == "(absent)")


def refuses(place, go, ours):
    return (place.path, go) in (("/failed", False), ("/code", "(absent)"), ("/status", "(absent)")) or (
        place.path == "/result" and ours == "(absent)")


def tuning(place, go, ours):
    if not place.scenario.startswith("tuning"):
        return False
    return (
        # Go 1.1 does not know IFNAME at CHECK.
        place.phase.lower().startswith("check") and accepts(place, go, ours)
        and place.scenario in ("tuning, kernel settings", "tuning behind ptp")
        or place.path.endswith("/mtu") and "/interfaces/" in place.path and go == "(absent)"
        or "/settings/" in place.path and place.phase.lower() == "after del" and place.mode != "ours, then go")


def sbr(place, go, ours):
    if not place.scenario.startswith("sbr"):
        return False
    if place.path == "/containers/c1/routes" and "dual stack" in place.scenario:
        def is_v6(route):
            return ":" in route["dst"] or ":" in route.get("gateway", "")

        return [route for route in go if not (is_v6(route) and route["table"] == "100")] == ours
    return (
        place.phase.startswith("CHECK") and refuses(place, go, ours)
        or place.mode == "protocol" and place.phase.startswith("DEL") and accepts(place, go, ours))


def vrf(place, go, ours):
    """The Go plugin of v1.1.1 loses the interface's routes, and its CHECK finds nothing; see Documentation/compatibility.md."""
    if not place.scenario.startswith("vrf"):
        return False
    if place.path == "/containers/c1/routes" and place.phase.lower() == "after add":
        # Theirs are those that the kernel makes again; ours are those and what other plugins have set.
        added = [route for route in ours if route not in go]
        return all(route["protocol"] == "kernel" for route in go) and added != [] and all(
            route["protocol"] != "kernel" for route in added)
    return (
        place.mode == "protocol" and place.phase.startswith("DEL") and accepts(place, go, ours)
        or place.phase.startswith("CHECK") and refuses(place, go, ours)
        # Of the plugin before, which misses its routes.
        or (place.scenario, place.phase) == ("vrf behind ptp", "check c1") and accepts(place, go, ours))


def of_bandwidth(place, go, ours):
    """What the Go plugin leaves; bursts that it cannot reckon with; its CHECK that ends badly where there is nothing to check."""
    if not place.scenario.startswith("bandwidth"):
        return False
    if place.phase == "after DEL":
        return place.path.endswith("/qdisc") and (go, ours) == ("tbf", "noqueue") or (
            place.path.startswith("/traffic/") and ours == "(absent)")
    if place.phase.lower().startswith("check"):
        return place.scenario == "bandwidth, nothing" and accepts(place, go, ours) or (
            place.scenario == "bandwidth, tbf gone at CHECK" and refuses(place, go, ours))
    return ", burst " in place.scenario and place.phase.lower() == "after add" and (
        place.path.startswith("/traffic/") and "/options/" in place.path)


def firewall(place, go, ours):
    """The last DEL leaves no chains; mistakes are found at CHECK, too, and in CNI_ARGS that nobody reads."""
    if not place.scenario.startswith("firewall"):
        return False
    return (
        place.phase == "rules after DEL" and "CNI-" not in str(ours)
        or place.scenario.startswith("firewall, policy ") and place.phase.startswith("CHECK") and refuses(place, go, ours)
        or place.mode == "protocol" and place.phase == "CNI_ARGS malformed" and refuses(place, go, ours))  # fmt: skip


DIFFERENCES = [
    Difference("bandwidth", of_bandwidth),
    Difference("Back ends of firewall", firewall),
    Difference(
        "Results of another version",
        lambda place, go, ours: place.scenario in ("tuning", "sbr", "vrf", "portmap") and place.mode == "protocol"
        and place.phase in ("cniVersion absent", "cniVersion empty") and accepts(place, go, ours)),
    Difference("Kernel settings and interfaces (tuning)", tuning),
    Difference("Source based routing (sbr)", sbr),
    Difference("VRFs (vrf)", vrf),
    Difference(
        "Interfaces on a master: macvlan, ipvlan, vlan",
        lambda place, go, ours: place.scenario.startswith("vlan") and place.path.endswith("/arp_notify")
        or place.scenario in ("ipvlan, mtu above the master's", "ipvlan, mtu negative")
        or place.scenario == "ipvlan, master of the default route" and accepts(place, go, ours)),
    Difference(
        "Devices of the host (host-device)",
        lambda place, go, ours: place.scenario.startswith("host-device") and (
            place.mode == "protocol" and place.phase.startswith("DEL") and accepts(place, go, ours)
            or place.path.endswith("/altnames") and go == "(absent)" or place.path.endswith("/arp_notify")
            or place.phase.lower() == "after del" and place.path.endswith("/dev0/ifalias") and ours == "(absent)")),
    Difference(
        "tap",
        lambda place, go, ours: place.scenario.startswith("tap") and (
            place.path.endswith(("/info_data/vnet_hdr", "/info_data/pi"))
            or place.scenario == "tap, taken name in the container")),
    Difference("Owner marks", lambda place, go, ours: place.path.endswith("/ifalias") and go == "(absent)"),
    Difference(
        "Error codes", lambda place, go, ours: place.path == "/code" and go in GENERIC and isinstance(ours, int)),
    Difference(
        "Protocol versions",
        lambda place, go, ours: place.path == "/supportedVersions" and set(go) < set(ours)
        or place.mode == "protocol" and place.path == "/cniVersion" and place.phase.startswith("VERSION")
        or place.mode == "protocol" and place.phase in ("cniVersion absent", "cniVersion empty")
        and (place.path, go, ours) == ("/code", 1, 7)),
    Difference(
        "Masquerading",
        lambda place, go, ours: place.mode == "ours, then go" and "iptables" not in place.scenario
        and (place.phase == "traces" and go == [] or place.phase.startswith("DEL c") and place.path != "/result"
             and ours in (True, 999, 1) or place.phase.startswith("DEL c") and ours == "(absent)")),
    Difference(
        "Port mappings in iptables",
        lambda place, go, ours: place.scenario.startswith("portmap by iptables") and (
            # The Go plugin of v1.1.1 looks for the rules of each family in both.
            place.phase.startswith("CHECK") and accepts(place, go, ours)
            # What keeps others from 127.0.0.1, where the configuration does not ask for iptables.
            or place.scenario.endswith("as the host") and (place.mode, place.phase) == ("ours, then go", "traces")
            or place.scenario.endswith("the same twice") and (
                place.phase == "rules" and "8080,8080" in str(go)
                # Later ones than v1.1.1 look for that rule.
                or place.mode == "ours, then go" and place.phase.startswith("CHECK") and refuses(place, go, ours))
            # The common chains go with the last container.
            or place.phase == "rules after DEL" and place.mode != "ours, then go" and "CNI-" in str(go)
            and "CNI-" not in str(ours))),
    Difference("Empty bridges", gone_with_bridge),
    Difference(
        "Transmit queue length", lambda place, go, ours: place.path.endswith("/txqlen") and go == "(absent)"),
    Difference(
        "Queues",
        # A qdisc counts one user for each queue of its link, and itself.
        lambda place, go, ours: place.path.endswith(("/num_tx_queues", "/num_rx_queues")) and ours == 1
            or place.path.startswith("/traffic/veth") and place.path.endswith("/refcnt") and ours == 2),
    Difference(
        "Duplicate address detection", lambda place, go, ours: place.path.endswith("/nodad") and ours is True),
    Difference(
        "DEL",
        lambda place, go, ours: place.mode in ("direct", "cnitool", "go, then ours") and tolerant(place, go, ours)),
    Difference(
        "Results of loopback",
        lambda place, go, ours: place.scenario.startswith("loopback") and place.path.startswith((
            "/result/interfaces", "/result/ip4", "/result/ip6", "/result/ips"))
        and (go == "(absent)") == (place.path.endswith(("/version", "/ip4", "/ip6")))
        or place.scenario.startswith("loopback") and (place.path, ours) == ("/result/dns", {})),
    Difference(
        "Two default routes",
        lambda place, go, ours: place.scenario == "bridge, default gateway and a route of its own"
        and (accepts(place, go, ours) or place.phase.lower() in ("after add", "after del", "after a failed add")
             or go is None)),
    Difference(
        "A failed ADD",
        lambda place, go, ours: place.phase == "after DEL" and (
            "last_reserved_ip" in place.path and ours == "(absent)"
            or place.scenario.endswith("lan, taken name in the container") and "veth#" in place.path and ours == "(absent)"
            or place.scenario == "ptp, taken name in the container" and place.path.endswith("/ip_forward")
            and ours == "0")),
    Difference(
        "CHECK of a bridge without IPAM",
        lambda place, go, ours: "L2 only" in place.scenario and place.phase.lower().startswith("check")
        and accepts(place, go, ours)),
    Difference(
        "Environment and names",
        lambda place, go, ours: place.mode == "protocol" and (
            place.phase.startswith("name ") and place.path == "/code" and ours == 4
            or "without CNI_PATH" in place.phase and (accepts(place, go, ours) or (go, ours) == (4, 7))
            or place.phase == "CNI_ARGS malformed" and place.scenario in ("loopback", "sbr", "vrf", "portmap"))),
]  # fmt: skip


def headings():
    text = Path(__file__).resolve().parents[2].joinpath("Documentation/compatibility.md").read_text()
    return {line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#")}


def missing_paragraphs():
    return sorted({difference.heading for difference in DIFFERENCES} - headings())


def explanation(mode, scenario, phase, path, go, ours):
    """The heading of the paragraph that explains a difference; None if it is not meant."""
    place = Place(mode, scenario, phase, path)
    for difference in DIFFERENCES:
        if difference.applies(place, go, ours):
            return difference.heading
    return None
