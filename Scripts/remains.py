"""All that networks of containers could leave on a host, as the tools of an administrator show it."""

import difflib
import json
import re
import subprocess
import time
from pathlib import Path

# What host-local keeps of a network, not of a container: where the next address is looked for, and the lock.
KEPT = ("lock", "last_reserved_ip.")


def output(*command):
    """What a program says; one that fails says nothing, which is not to be taken for nothing being there."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def without_counters(text):
    lines = (re.sub(r"\[\d+:\d+\]", "", line) for line in text.splitlines() if not line.startswith("#"))
    return "\n".join(line for line in lines if "# Warning" not in line)


def connections(*options):
    """A connection of TCP that both ends have closed is remembered for two minutes, and leads nobody astray; neither
    does what a bridge has said to routers (IGMP)."""
    return [line for family in ("ipv4", "ipv6") for line in output("conntrack", "-L", "-f", family, *options).splitlines()
            if not re.search(" (TIME_WAIT|CLOSE) | dst=224.0.0.| dst=ff02:", line)]  # fmt: skip


def files(*directories):
    return sorted(
        str(path) for directory in directories for path in Path(directory).rglob("*")
        if (path.is_file() or path.is_symlink()) and not path.name.startswith(KEPT))  # fmt: skip


def rules():
    """All rule sets that lead packets anywhere, by the name of who shows them."""
    forms = {
        f"{program}-{form}-save": without_counters(output(f"{program}-{form}-save"))
        for program in ("iptables", "ip6tables") for form in ("nft", "legacy")}  # fmt: skip
    return {"nft list ruleset": output("nft", "list", "ruleset"), **forms}


def host():
    links = json.loads(output("ip", "-j", "address"))
    return {
        "ip link": sorted(link["ifname"] for link in links),
        "ip address": sorted(f"{link['ifname']} {address['local']}/{address['prefixlen']}" for link in links
                             for address in link["addr_info"]),
        "ip route": [re.sub(r"( linkdown| pref medium)", "", line) for family in ("-4", "-6")
                     for line in sorted(output("ip", family, "route", "show", "table", "all").splitlines())],
        "ip rule": [line for family in ("-4", "-6") for line in output("ip", family, "rule").splitlines()],
        # Without the numbers that the kernel gives them when somebody asks.
        "ip netns": sorted(line.split()[0] for line in output("ip", "netns").splitlines()),
        **rules(),
        "tc qdisc": output("tc", "qdisc", "show"),
        "conntrack -L": connections(),
        "conntrack -L --dst-nat": connections("--dst-nat"),
        "files": files("/var/lib/cni", "/run/cni"),
    }  # fmt: skip


def is_settled(link):
    """Whether a link has the address that it gives itself, if it has somebody at the other end, and nothing is in doubt."""
    if "LOOPBACK" in link["flags"] or "LOWER_UP" not in link["flags"]:
        return True
    addresses = [address for address in link["addr_info"] if address["family"] == "inet6"]
    return any(address["scope"] == "link" for address in addresses) and not any("tentative" in address for address in addresses)


def links_settle(seconds=120):
    """Waits for the links' own addresses and their routes, which come when the kernel has noticed the other end, and seen to
    it that nobody else has them: on a busy machine, many seconds later."""
    deadline = time.monotonic() + seconds
    while not all(map(is_settled, json.loads(output("ip", "-j", "address")))) and time.monotonic() < deadline:
        time.sleep(0.1)


def changes(before, after):
    """Yields what is different, with the lines that are gone (-) and that have come (+)."""
    for what in before:
        if before[what] != after[what]:
            was, found = (value.splitlines() if isinstance(value, str) else list(map(str, value))
                          for value in (before[what], after[what]))  # fmt: skip
            lines = list(difflib.unified_diff(was, found, "before", "after", lineterm="", n=2))
            yield what, "\n".join(lines)[:3000] or f"{before[what]!r} before, {after[what]!r} after"


def veths():
    return {link["ifname"] for link in json.loads(output("ip", "-j", "link", "show", "type", "veth")) if link}


def settled(before, part=lambda whole: whole, seconds=5, links=60):
    """The host, or a part of it, once it is as it was, or after that time: the kernel takes the links of a namespace that has
    gone away at a moment of its own, on a busy machine many seconds later, so that these have a time of their own."""
    begin = time.monotonic()
    while True:
        after = part(host())
        if after == before:
            return after
        awaited = veths().difference(before.get("ip link", ()))
        if time.monotonic() - begin > (links if awaited else seconds):
            return after
        time.sleep(0.2)
