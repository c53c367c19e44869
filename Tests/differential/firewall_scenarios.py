"""Scenarios of firewall, which comes behind a plugin whose result it is given."""

import subprocess

from host import inside
from scenario import Scenario, in_host, several


def previous(*addresses, host_side="br0"):
    """The result of a plugin before, in the shapes of all versions from 0.4.0 on."""
    interfaces = [{"name": host_side}] if host_side else []
    interfaces.append({"name": "eth0", "sandbox": "/run/netns/c1"})
    return {
        "interfaces": interfaces,
        "ips": [{"version": "6" if ":" in address else "4", "address": address, "interface": len(interfaces) - 1}
                for address in addresses],
        "dns": {},
    }  # fmt: skip


def run(*commands):
    def prepare(host):
        with inside(host.name):
            for command in commands:
                subprocess.run(command.split(), check=True, capture_output=True)

    return prepare


BRIDGE = in_host("link", "add", "br0", "type", "bridge")
DROPPING = several(BRIDGE, run("iptables-nft -P FORWARD DROP", "ip6tables-nft -P FORWARD DROP"))
V4, V6 = "10.22.0.5/16", "fd00:22::5/64"


def firewall(name, *addresses, prepare=DROPPING, result=None, tamper=None, key=None, **keys):
    if result is None:
        result = previous(*addresses)
    given = (lambda version, host: {"cniVersion": version, **result}) if result else None
    return Scenario(f"firewall{name}", {"type": "firewall", **keys}, prepare=prepare, tamper=tamper,
                    previous=given, key=key, rules="filter")  # fmt: skip


GOOD = [
    firewall("", V4),
    firewall(", dual stack", V4, V6),
    firewall(", IPv6", V6),
    firewall(", iptables", V4, V6, backend="iptables"),
    firewall(", iptables on a plain host", V4, V6, backend="iptables", prepare=BRIDGE),
    firewall(", an address twice", V4, V4, backend="iptables"),
    firewall(", no address", backend="iptables"),
    firewall(", administrator's chain", V4, backend="iptables", iptablesAdminChainName="SITE"),
    firewall(", same bridge", V4, V6, backend="iptables", ingressPolicy="same-bridge"),
    firewall(", isolated", V4, V6, backend="iptables", ingressPolicy="isolated", key="same-bridge|isolated"),
    firewall(", open", V4, backend="iptables", ingressPolicy="open"),
]  # fmt: skip

ERRORS = [
    firewall(", no result", result={}),
    firewall(", policy unknown", V4, backend="iptables", ingressPolicy="closed"),
    firewall(", policy without interfaces", backend="iptables", ingressPolicy="isolated",
             result={"ips": [{"version": "4", "address": V4}], "dns": {}}),
    firewall(", rule gone at CHECK", V4, backend="iptables",
             tamper=run("iptables-nft -D CNI-FORWARD -s 10.22.0.5/32 -j ACCEPT")),
    firewall(", entrance gone at CHECK", V4, backend="iptables", tamper=run("iptables-nft -F FORWARD")),
]  # fmt: skip
