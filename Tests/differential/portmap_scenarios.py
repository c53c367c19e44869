"""Scenarios of portmap in the form that both implementations have: iptables.

Each gets the result of a plugin before it that is made up here, and the interface that goes with it. Besides results, what
`iptables-save` and `ip6tables-save` print is compared.
"""

import subprocess

from host import inside, ip
from scenario import Scenario, several
from tuning_scenarios import OWN_MAC, result

V4, V6 = ("10.22.0.5/16", "10.22.0.1"), ("fd00:22::5/64", "fd00:22::1")
WEB = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
DNS = {"hostPort": 8053, "containerPort": 53, "protocol": "udp"}


def interface(host):
    """The container's interface as the plugin before made it."""
    container = host.containers[0].name
    with inside(host.name):
        ip("link", "add", "host0", "type", "veth", "peer", "name", "eth0", "address", OWN_MAC, "netns", container)
        ip("address", "add", "10.22.0.1/16", "dev", "host0")
        ip("address", "add", "fd00:22::1/64", "dev", "host0", "nodad")
        ip("link", "set", "host0", "up")
    with inside(container):
        ip("address", "add", V4[0], "dev", "eth0")
        ip("address", "add", V6[0], "dev", "eth0", "nodad")
        ip("link", "set", "eth0", "up")


def iptables(*words, programs=("iptables", "ip6tables")):
    def step(host):
        with inside(host.name):
            for program in programs:
                subprocess.run([program, "-t", "nat", *words], check=True, capture_output=True)

    return step


def portmap(name, ports, *addresses, backend="iptables", **keys):
    own = {key: keys.pop(key) for key in [*keys] if key not in ("prepare", "tamper", "key")}
    if backend:
        own["backend"] = backend
    return Scenario(
        f"portmap by iptables{name}", {"type": "portmap", **own}, capabilities={"portMappings": ports},
        previous=result(*(addresses or [V4])), rules="nat", **{"prepare": interface, **keys})  # fmt: skip


MANY = [{"hostPort": 9000 + number, "containerPort": 80 + number, "protocol": ("tcp", "udp")[number % 2]}
           for number in range(40)]  # fmt: skip

GOOD = [
    portmap("", [WEB]),
    portmap(", UDP and SCTP", [DNS, {**WEB, "protocol": "sctp"}]),
    portmap(", IPv6", [WEB, DNS], V6),
    portmap(", dual stack", [WEB, DNS], V4, V6),
    portmap(", hostIP", [{**WEB, "hostIP": "10.22.0.1"}, {**DNS, "hostIP": "127.0.0.1"}], V4, V6),
    portmap(", hostIP of IPv6", [{**WEB, "hostIP": "fd00:22::1"}], V4, V6),
    portmap(", hostIP unspecified", [{**WEB, "hostIP": "0.0.0.0"}, {**DNS, "hostIP": "::"}], V4, V6),
    portmap(", more than fifteen ports", MANY, V4, V6),
    portmap(", the same twice", [WEB, WEB]),
    portmap(", keys in capitals", [{"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}]),
    portmap(", snat off", [WEB], V4, V6, snat=False),
    portmap(", masqAll", [WEB, DNS], V4, V6, masqAll=True, key="masqAll"),
    portmap(", markMasqBit", [WEB], V4, V6, markMasqBit=31),
    portmap(", markMasqBit least", [WEB], markMasqBit=0),
    portmap(", conditions", [WEB, DNS], V4, V6, conditionsV4=["!", "-s", "192.0.2.0/24", "-m", "comment", "--comment", 'a "b'],
            conditionsV6=["-s", "2001:db8::/32"]),
    portmap(", external chain", [WEB], V4, V6, externalSetMarkChain="ELSEWHERE", prepare=several(interface, iptables("-N", "ELSEWHERE"))),
    portmap(", beside others", [WEB], V4, V6,
            prepare=several(interface, iptables("-A", "POSTROUTING", "-j", "ACCEPT"), iptables("-A", "PREROUTING", "-j", "ACCEPT"))),
    portmap(", no ports", []),
    portmap(", as the host", [WEB, DNS], V4, V6, backend=None,
            prepare=several(interface, iptables("-A", "POSTROUTING", "-o", "docker0", "-j", "MASQUERADE"))),
]  # fmt: skip

ERRORS = [
    portmap(", port 0", [{**WEB, "hostPort": 0}]),
    portmap(", container's port 0", [{**WEB, "containerPort": 0}]),
    portmap(", markMasqBit too large", [WEB], markMasqBit=32),
    portmap(", markMasqBit negative", [WEB], markMasqBit=-1),
    portmap(", two ways to mark", [WEB], markMasqBit=4, externalSetMarkChain="ELSEWHERE"),
    portmap(", external chain missing", [WEB], externalSetMarkChain="ELSEWHERE"),
    portmap(", condition malformed", [WEB], conditionsV4=["--no-such-condition"]),
    portmap(", entrance gone at CHECK", [WEB], tamper=iptables("-F", "CNI-HOSTPORT-DNAT", programs=["iptables"])),
]
