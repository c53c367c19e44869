"""What a plugin left in the kernel and on disk, in a form that two implementations can be compared by."""

import ipaddress
import json
import re
import subprocess
from pathlib import Path

from host import NAMESPACES, inside

GENERATED = re.compile(r"\bveth[0-9a-zA-Z_-]+")

# Indexes, counters and clocks say nothing about what was configured.
VOLATILE = {
    "ifindex", "link_index", "operstate", "state", "link_netnsid", "link", "address", "broadcast_mac", "stats", "stats64", "valid_life_time",
    "preferred_life_time", "timer", "hello_timer", "tcn_timer", "topology_change_timer", "gc_timer",
    "message_age_timer", "forward_delay_timer", "hold_timer", "id", "no", "root_port", "group_addr", "ifid",
    "parentdev", "parentbus", "metrics_id", "nhid", "bridge_id", "root_id", "designated_bridge", "designated_root",
}  # fmt: skip
# Depend on the moment of looking: carriers and addresses settle asynchronously.
MOMENTARY_FLAGS = {"linkdown", "dead", "pervasive", "LOWER_UP", "NO-CARRIER", "tentative"}


def command(*arguments):
    output = subprocess.run(arguments, check=True, capture_output=True).stdout
    return json.loads(output) if output.strip() else []


def families(namespace):
    """"inet" and "inet6", of those of which a namespace has global addresses."""
    with inside(namespace):
        links = command("ip", "-j", "address", "show", "scope", "global")
    return {address["family"] for link in links for address in link.get("addr_info", []) if address}


def sysctl(path):
    try:
        return Path("/proc/sys/net", path).read_text().strip()
    except OSError:
        return None


def is_link_local(text):
    try:
        address = ipaddress.ip_network(text or "::1", strict=False)
    except ValueError:
        return False
    return address.version == 6 and (address.is_link_local or address.is_multicast)


def follows_address(route):
    """Does the kernel make this route of an IPv6 address, at a moment of its own? The address itself is compared."""
    return is_link_local(route.get("dst")) or (":" in route.get("dst", "") and route.get("table") == "local")


def cleaned(value):
    """Without what is volatile; flags as a sorted list."""
    if isinstance(value, dict):
        result = {}
        for key, item in value.items():
            if key in VOLATILE or (key in MOMENTARY_FLAGS and item is True):
                continue
            if key == "flags":
                item = sorted(set(item) - MOMENTARY_FLAGS)
            result[key] = cleaned(item)
        return result
    if isinstance(value, list):
        return [cleaned(item) for item in value]
    return value


class Namespace:
    """Links, addresses, routes and settings of one network namespace."""

    def __init__(self, name):
        self.macs = {}
        if not (NAMESPACES / name).exists():
            self.state = None
            return
        with inside(name):
            links = command("ip", "-j", "-d", "address", "show")
            routes = command("ip", "-j", "-d", "-4", "route", "show", "table", "all")
            routes += command("ip", "-j", "-d", "-6", "route", "show", "table", "all")
            rules = [{"family": family, **rule} for family in ("-4", "-6") for rule in command("ip", "-j", family, "rule")]
            names = [link["ifname"] for link in links]
            settings = {
                "ipv4/ip_forward": sysctl("ipv4/ip_forward"),
                "ipv6/conf/all/forwarding": sysctl("ipv6/conf/all/forwarding"),
                "core/somaxconn": sysctl("core/somaxconn"),
            }
            for interface in names:
                if GENERATED.fullmatch(interface):
                    interfaces_settings = ("ipv4/conf/{}/proxy_arp", "ipv6/conf/{}/disable_ipv6")
                else:
                    interfaces_settings = (
                        "ipv4/conf/{}/arp_notify", "ipv4/conf/{}/arp_accept", "ipv4/conf/{}/rp_filter", "ipv6/conf/{}/accept_dad", "ipv6/conf/{}/enhanced_dad",
                        "ipv6/conf/{}/accept_ra", "ipv6/conf/{}/disable_ipv6", "ipv6/conf/{}/addr_gen_mode",
                    )  # fmt: skip
                for pattern in interfaces_settings:
                    settings[pattern.format(interface)] = sysctl(pattern.format(interface))
        self.macs = {link["ifname"]: link.get("address") for link in links}
        self.state = {
            "links": {link["ifname"]: self.link(link) for link in links},
            "routes": [cleaned(route) for route in routes if not follows_address(route)],
            "rules": [cleaned(rule) for rule in rules],
            "settings": settings,
        }

    @staticmethod
    def link(link):
        result = cleaned({key: value for key, value in link.items() if key != "addr_info"})
        result["addresses"] = sorted(
            (cleaned(address) for address in link.get("addr_info", [])
             if not (address["family"] == "inet6" and is_link_local(address["local"]))),
            key=lambda address: json.dumps(address, sort_keys=True))
        return result


def leases():
    """host-local's directory: addresses with their holders, and where each range will go on."""
    found = {}
    for file in Path("/var/lib/cni/networks").glob("*/*"):
        name = file.name
        if name.startswith("last_reserved_ip.") or is_address(name):
            found[f"{file.parent.name}/{name}"] = file.read_bytes().decode(errors="replace")
    return found


def is_address(text):
    try:
        ipaddress.ip_address(text)
        return True
    except ValueError:
        return False


def packet_rules(host_name):
    """The lines of the host's rule sets, iptables' and nf_tables', that something was written into."""
    lines = []
    with inside(host_name):
        for arguments in (["nft", "list", "ruleset"], ["iptables-save"], ["ip6tables-save"]):
            process = subprocess.run(arguments, capture_output=True)
            lines += process.stdout.decode(errors="replace").splitlines()
    return lines


def traffic(host_name):
    """What the host's links have of traffic control, beyond what they came with: qdiscs, and the filters of what links
    receive. Of a filter's actions those that can be reached."""
    with inside(host_name):
        qdiscs = [qdisc for qdisc in command("tc", "-j", "qdisc", "show") if qdisc["handle"] != "0:"]
        filters = {}
        for name in sorted(qdisc["dev"] for qdisc in qdiscs if qdisc["kind"] in ("ingress", "clsact")):
            filters[name] = [cleaned(entry) for entry in command("tc", "-j", "filter", "show", "dev", name, "ingress")]
    for entry in (entry for entries in filters.values() for entry in entries):
        actions = entry.get("options", {}).get("actions", [])
        for number, action in enumerate(actions):
            for counter in ("index", "ref", "bind"):
                action.pop(counter, None)
            if action.get("control_action", {}).get("type") == "stolen":
                del actions[number + 1 :]
                break
    found = {}
    for qdisc in qdiscs:
        name = qdisc.pop("dev")
        found.setdefault(name, {"qdiscs": [], "filters": filters.get(name, [])})["qdiscs"].append(cleaned(qdisc))
    return found


def saved_rules(host, table):
    """What iptables-save says of a table, without counters. Go plugins that do not know "isolated" do not mention it in the
    comments of rules."""
    saved = {}
    with inside(host.name):
        for program in ("iptables", "ip6tables"):
            process = subprocess.run([f"{program}-save", "-t", table], capture_output=True, text=True)
            saved[program] = [line.split(" [")[0] if line[0] == ":" else line.replace("|isolated", "")
                              for line in process.stdout.splitlines() if line[0] != "#"]  # fmt: skip
    return saved


class Snapshot:
    def __init__(self, host):
        self.host = Namespace(host.name)
        self.traffic = traffic(host.name)
        self.containers = {container.name: Namespace(container.name) for container in host.containers}

    def canonical(self, names):
        value = {
            "host": self.host.state,
            "containers": {name: space.state for name, space in self.containers.items()},
            "leases": leases(),
            "traffic": self.traffic,
        }
        value = renamed(value, names)
        # Sorted once the names are comparable.
        for space in (value["host"], *value["containers"].values()):
            if space:
                space["routes"].sort(key=lambda route: json.dumps(route, sort_keys=True))
        return value


def renamed(value, names):
    """Generated names, wherever they occur, numbered in the order in which they were first seen."""

    def number(match):
        return names.setdefault(match.group(0), f"veth#{len(names) + 1}")

    if isinstance(value, dict):
        return {GENERATED.sub(number, key): renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [renamed(item, names) for item in value]
    if isinstance(value, str):
        return GENERATED.sub(number, value)
    return value


def canonical_result(result, snapshot, host, names, keep_macs=()):
    """A result in which each MAC address has been held against the kernel's, and is then no longer there."""
    if not isinstance(result, dict):
        return result
    result = json.loads(json.dumps(result))
    if result.get("cniVersion") == "1.0.0" and result.get("dns") == {}:
        del result["dns"]  # the Go library wrote it until 1.2, and no longer does
    spaces = {container.path: snapshot.containers[container.name] for container in host.containers}
    for interface in result.get("interfaces") or []:
        mac = interface.get("mac")
        if not mac:
            continue
        space = spaces.get(interface.get("sandbox"), snapshot.host)
        actual = space.macs.get(interface["name"])
        if mac != actual:
            interface["mac"] = f"{mac}, but the kernel's is {actual}"
        elif mac not in keep_macs:
            interface["mac"] = "the kernel's"
    return renamed(result, names)


def differences(left, right, path=""):
    """Yields (path, left, right) wherever two JSON values differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys(), key=str):
            if key not in left:
                yield f"{path}/{key}", "(absent)", right[key]
            elif key not in right:
                yield f"{path}/{key}", left[key], "(absent)"
            else:
                yield from differences(left[key], right[key], f"{path}/{key}")
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right)):
            yield from differences(one, other, f"{path}/{index}")
    elif left != right:
        yield path, left, right
