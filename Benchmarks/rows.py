"""The rows of the table: networks of one plugin, of a plugin behind an interface, and as clusters run them.

A row is measured where both sides have its plugins and the kernel has its links. All sides find the same: a host of
their own, with links to stand on or to move, and one container that is there already.
"""

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from hosts import WORK, execute
from throwaway import kernel_has

SUBNET = "10.22.0.0/16"
PORTS = {"portMappings": [
    {"hostPort": 8080 + index, "containerPort": 80 + index, "protocol": "tcp"} for index in (0, 1)]}
RATES = {"ingressRate": 100000000, "ingressBurst": 1000000, "egressRate": 100000000, "egressBurst": 1000000}
SYSCTL = {"net.core.somaxconn": "500"}


@dataclass
class Row:
    title: str
    plugins: list
    floor: Optional[list] = None  # the same as pieces of `floor`
    prepare: str = ""  # `ip` commands for the host
    kind: Optional[str] = None  # of links, which the kernel must have
    capabilities: Optional[dict] = None
    interface: str = "eth0"
    resident: bool = True
    needs: list = field(default_factory=list)  # programs
    serve: bool = False  # with a DHCP server and the sides' daemons

    def obstacle(self, tools):
        """Why it cannot be measured; None if it can."""
        types = [plugin["type"] for plugin in self.plugins]
        types += [plugin["ipam"]["type"] for plugin in self.plugins if "ipam" in plugin]
        for side in ("go", "ours"):
            for name in types:
                if not Path(tools.paths[side], name).exists():
                    return f"{'the peer' if side == 'go' else 'our set'} has no {name}"
        if self.kind and not kernel_has(self.kind):
            return f"this kernel has no {self.kind}"
        for program in self.needs:
            if not shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin"):
                return f"there is no {program}"
        return None


def with_leases(plugin, **keys):
    return {"type": plugin, **keys,
            "ipam": {"type": "host-local", "subnet": SUBNET, "routes": [{"dst": "0.0.0.0/0"}]}}


PTP = with_leases("ptp")
BRIDGE = with_leases("bridge", bridge="cni0", isGateway=True)
MASQUERADING = BRIDGE | {"ipMasq": True}
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
FIREWALL = {"type": "firewall"}
TUNING = {"type": "tuning", "sysctl": SYSCTL}
CHAIN = [MASQUERADING, PORTMAP, FIREWALL, TUNING]

MASTER = """
link add card0 type veth peer name card1
link set card0 up
link set card1 up
"""
STATIC = {"type": "static", "addresses": [{"address": "10.22.0.2/16", "gateway": "10.22.0.1"}]}
HOST_LOCAL = {"type": "host-local", "ipam": {"type": "host-local", "subnet": SUBNET}}

ROWS = [
    Row("loopback", [{"type": "loopback"}], ["loopback", "result"], interface="lo", resident=False),
    Row("host-local", [HOST_LOCAL], ["host-local", "result"]),
    Row("static", [{"type": "static", "ipam": STATIC}], ["result"], resident=False),
    Row("dhcp", [{"type": "dhcp", "ipam": {"type": "dhcp", "daemonSocketPath": "/run/bench/dhcp.sock"}}],
        interface="dhcp0", resident=False, needs=["dnsmasq"], serve=True),
    Row("bridge+host-local", [BRIDGE], ["bridge", "host-local", "result"]),
    Row("bridge+host-local, ipMasq", [MASQUERADING], ["bridge", "host-local", "elements=1", "result"],
        needs=["iptables"]),
    Row("ptp+host-local", [PTP], ["ptp", "host-local", "result"]),
    Row("ptp+host-local, ipMasq", [PTP | {"ipMasq": True}], ["ptp", "host-local", "elements=1", "result"],
        needs=["iptables"]),
    Row("macvlan+host-local", [with_leases("macvlan", master="card0")], ["macvlan", "host-local", "result"], MASTER, "macvlan"),
    Row("ipvlan+host-local", [with_leases("ipvlan", master="card0")], None, MASTER, "ipvlan"),
    Row("vlan+host-local", [with_leases("vlan", master="card0", vlanId=5)], None, MASTER, "vlan", resident=False),
    Row("host-device+host-local", [with_leases("host-device", device="card0")], ["host-device", "host-local", "result"],
        MASTER, resident=False),
    Row("dummy+host-local", [with_leases("dummy")], None, kind="dummy"),
    Row("tap+host-local", [with_leases("tap")], None),
    Row("ptp+host-local, portmap 2 ports", [PTP, PORTMAP], ["ptp", "host-local", "elements=8", "localnet", "result"],
        capabilities=PORTS, needs=["iptables"]),
    Row("ptp+host-local, firewall", [PTP, FIREWALL], ["ptp", "host-local", "elements=2", "result"], needs=["iptables"]),
    Row("ptp+host-local, bandwidth", [PTP, {"type": "bandwidth", **RATES}], ["ptp", "host-local", "bandwidth", "result"]),
    Row("ptp+host-local, tuning", [PTP, TUNING], ["ptp", "host-local", "tuning", "result"]),
    Row("ptp+host-local, sbr", [PTP, {"type": "sbr"}], ["ptp", "host-local", "sbr", "result"]),
    Row("ptp+host-local, vrf", [PTP, {"type": "vrf", "vrfname": "blue"}], None, kind="vrf"),
    Row("full chain", CHAIN,
        ["bridge", "host-local", "elements=1", "elements=8", "elements=2", "tuning", "result"],
        capabilities=PORTS, needs=["iptables"]),
]  # fmt: skip

LAN = """
link add lan type bridge
address add 10.40.0.1/16 dev lan
link set lan up
link add port type veth peer name dhcp0 netns {container}
link set port master lan
link set port up
"""


def serve_leases(host):
    """A DHCP server, a network card of the container in its network, and the daemon of the side."""
    socket = WORK / f"{host.name}-dhcp.sock"
    execute("ip", "-n", host.name, "-batch", "-", input=LAN.format(container=host.container))
    # Without its ping before an offer, which would be most of the time.
    host.start(
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=lan", "--bind-interfaces",
        "--no-ping", "--leasefile-ro", f"--pid-file={WORK}/{host.name}-dnsmasq.pid", "--user=root",
        "--dhcp-range=10.40.1.0,10.40.9.255,1h", "--dhcp-authoritative")  # fmt: skip
    directory = host.tools.paths["go" if host.side == "go" else "ours"]
    # Two of ours on one machine: each with a state of its own.
    state = [] if host.side == "go" else ["-statedir", WORK / f"{host.name}-dhcp"]
    host.start(f"{directory}/dhcp", "daemon", "-socketpath", socket, *state)
    file = host.configurations / "10.conflist"
    file.write_text(file.read_text().replace("/run/bench/dhcp.sock", str(socket)))
    for _ in range(400):
        if socket.exists():
            return
        time.sleep(0.05)
    said = (WORK / f"{host.name}.log").read_text()[-500:]
    raise RuntimeError(f"the dhcp daemon of {host.side} made no socket: {said}")
