"""What is tried with both implementations: the interface plugins of the first hour and the IPAM plugins."""

from pathlib import Path

import bandwidth_scenarios
import firewall_scenarios
import link_scenarios
import portmap_scenarios
import tuning_scenarios
from scenario import (
    MAC, SIMPLE, V4, V4_DEFAULT, V6, V6_DEFAULT, Scenario, file, host_local, in_container, in_host, ipam, several, static,
)  # fmt: skip

LEASES = "/var/lib/cni/networks/differential"
RESOLV = "/run/cni/resolv.conf"


def bridge(ipam=None, **keys):
    config = {"type": "bridge", "bridge": "cni0", **keys}
    if ipam:
        config["ipam"] = ipam
    return config


LOOPBACK = [
    Scenario("loopback", {"type": "loopback"}, interface="lo"),
    Scenario("loopback, called eth0", {"type": "loopback"}),
    Scenario("loopback, down at CHECK", {"type": "loopback"}, interface="lo",
             tamper=in_container("link", "set", "lo", "down")),
]  # fmt: skip

BRIDGE = [
    Scenario("bridge", bridge(SIMPLE)),
    Scenario("bridge, L2 only", bridge()),
    Scenario("bridge, gateway and masquerade", bridge(SIMPLE, isGateway=True, ipMasq=True), world=True),
    Scenario("bridge, gateway, no masquerade", bridge(SIMPLE, isGateway=True), world=True),
    Scenario("bridge, masquerade by iptables",
             bridge(SIMPLE, isGateway=True, ipMasq=True, ipMasqBackend="iptables"), world=True),
    Scenario("bridge, default gateway", bridge(host_local(V4), isDefaultGateway=True, ipMasq=True), world=True),
    Scenario("bridge, default gateway and a route of its own",
             bridge(host_local(V4, routes=[V4_DEFAULT, {"dst": "192.0.2.0/24", "gw": "10.22.0.9"}]),
                    isDefaultGateway=True)),
    Scenario("bridge, two containers", bridge(SIMPLE, isGateway=True, ipMasq=True), containers=2),
    Scenario("bridge, mtu", bridge(SIMPLE, isGateway=True, mtu=1400)),
    Scenario("bridge, hairpin", bridge(SIMPLE, isGateway=True, hairpinMode=True)),
    Scenario("bridge, promiscuous", bridge(SIMPLE, isGateway=True, promiscMode=True)),
    Scenario("bridge, IPv6", bridge(host_local(V6, routes=[V6_DEFAULT]), isGateway=True, ipMasq=True), world=True),
    Scenario("bridge, dual stack",
             bridge(host_local(V4, V6, routes=[V4_DEFAULT, V6_DEFAULT]), isGateway=True, ipMasq=True), world=True),
    Scenario("bridge, dual stack, default gateway", bridge(host_local(V4, V6), isDefaultGateway=True)),
    Scenario("bridge, two IPv4 ranges", bridge(host_local(V4, {"subnet": "10.23.0.0/24"}))),
    Scenario("bridge, MAC by CNI_ARGS", bridge(SIMPLE), arguments=f"IgnoreUnknown=1;MAC={MAC}", keep_macs=(MAC,)),
    Scenario("bridge, MAC by args", bridge(SIMPLE, args={"cni": {"mac": MAC}}), keep_macs=(MAC,)),
    Scenario("bridge, MAC by runtimeConfig", bridge(SIMPLE), capabilities={"mac": MAC}, keep_macs=(MAC,)),
    Scenario("bridge, static",
             bridge(static({"address": "10.22.0.5/16", "gateway": "10.22.0.1"}, routes=[V4_DEFAULT]), isGateway=True)),
    Scenario("bridge, static, gateway worked out",
             bridge(static({"address": "10.22.0.5/16"}), isGateway=True, isDefaultGateway=True)),
    Scenario("bridge, DNS of the network wins",
             bridge(static({"address": "10.22.0.5/16"}, dns={"nameservers": ["192.0.2.1"]}),
                    dns={"nameservers": ["192.0.2.53"], "domain": "example.org", "search": ["a", "b"],
                         "options": ["ndots:2"]})),
    Scenario("bridge, another interface name", bridge(SIMPLE), interface="net1"),
    Scenario("bridge, there before",
             bridge(SIMPLE, isGateway=True), prepare=several(in_host("link", "add", "cni0", "type", "bridge"),
                                                             in_host("address", "add", "10.22.0.1/16", "dev", "cni0"))),
    Scenario("bridge, another address, forced",
             bridge(SIMPLE, isGateway=True, forceAddress=True),
             prepare=several(in_host("link", "add", "cni0", "type", "bridge"),
                             in_host("address", "add", "10.99.0.1/16", "dev", "cni0"))),
    Scenario("bridge, route via a gateway",
             bridge(host_local(V4, routes=[{"dst": "192.0.2.0/24", "gw": "10.22.0.77"}]))),
    Scenario("bridge, odd capitals and nulls",
             {"type": "bridge", "Bridge": "cni0", "ISGATEWAY": True, "ipam": {"type": "host-local", "Subnet": "10.22.0.0/16",
              "routes": None, "ranges": None}, "args": None, "dns": None}),
]  # fmt: skip

BRIDGE_ERRORS = [
    Scenario("bridge, taken name in the container", bridge(SIMPLE),
             prepare=in_container("link", "add", "eth0", "type", "bridge")),
    Scenario("bridge, name is no bridge", bridge(SIMPLE),
             prepare=in_host("link", "add", "cni0", "type", "veth", "peer", "name", "other")),
    Scenario("bridge, another address", bridge(SIMPLE, isGateway=True),
             prepare=several(in_host("link", "add", "cni0", "type", "bridge"),
                             in_host("address", "add", "10.99.0.1/16", "dev", "cni0"))),
    Scenario("bridge, hairpin and promiscuous", bridge(SIMPLE, hairpinMode=True, promiscMode=True)),
    Scenario("bridge, IPAM plugin missing", bridge({"type": "no-such-plugin"})),
    Scenario("bridge, MAC malformed", bridge(SIMPLE), arguments="MAC=zz", keep_macs=(MAC,)),
    Scenario("bridge, unknown CNI_ARGS", bridge(SIMPLE), arguments="COLOUR=blue"),
    Scenario("bridge, unknown CNI_ARGS ignored", bridge(SIMPLE), arguments="COLOUR=blue;IgnoreUnknown=true"),
    Scenario("bridge, address gone at CHECK", bridge(SIMPLE, isGateway=True),
             tamper=in_container("address", "flush", "dev", "eth0")),
    Scenario("bridge, route gone at CHECK", bridge(SIMPLE, isGateway=True),
             tamper=in_container("route", "delete", "default")),
    Scenario("bridge, link gone at CHECK", bridge(SIMPLE), tamper=in_container("link", "delete", "eth0")),
    Scenario("bridge, bridge gone at CHECK", bridge(SIMPLE), tamper=in_host("link", "delete", "cni0")),
    Scenario("bridge, MAC changed at CHECK", bridge(SIMPLE),
             tamper=in_container("link", "set", "eth0", "address", MAC)),
    Scenario("bridge, lease gone at CHECK", bridge(SIMPLE),
             tamper=lambda host: Path(LEASES, "10.22.0.2").unlink(missing_ok=True)),
]  # fmt: skip


HOST_LOCAL = [
    Scenario("host-local", ipam(SIMPLE)),
    Scenario("host-local, three containers", ipam(SIMPLE), containers=3),
    Scenario("host-local, range", ipam({**SIMPLE, "rangeStart": "10.22.3.7", "rangeEnd": "10.22.3.8"}), containers=2),
    Scenario("host-local, range used up", ipam({**SIMPLE, "rangeStart": "10.22.3.7", "rangeEnd": "10.22.3.8"}),
             containers=3),
    Scenario("host-local, gateway", ipam({**SIMPLE, "gateway": "10.22.0.2"}), containers=2),
    Scenario("host-local, smallest subnet", ipam({"type": "host-local", "subnet": "10.22.0.4/30"}), containers=2),
    Scenario("host-local, IPv6", ipam(host_local(V6)), containers=2),
    Scenario("host-local, dual stack", ipam(host_local(V4, V6, routes=[V4_DEFAULT, V6_DEFAULT]))),
    Scenario("host-local, two ranges in a set",
             ipam(host_local([{"subnet": "10.22.0.0/30"}, {"subnet": "10.23.0.0/30"}])), containers=3),
    Scenario("host-local, two sets", ipam(host_local(V4, {"subnet": "10.23.0.0/24", "gateway": "10.23.0.254"}))),
    Scenario("host-local, single and ranges", ipam({**SIMPLE, "ranges": [[{"subnet": "10.23.0.0/24"}]]})),
    Scenario("host-local, goes on after the last",
             ipam(SIMPLE), prepare=file(f"{LEASES}/last_reserved_ip.0", b"10.22.0.41")),
    Scenario("host-local, wraps around", ipam({**SIMPLE, "rangeEnd": "10.22.0.9"}),
             prepare=file(f"{LEASES}/last_reserved_ip.0", b"10.22.0.9")),
    Scenario("host-local, skips what others hold", ipam(SIMPLE), containers=2,
             prepare=file(f"{LEASES}/10.22.0.2", b"someone\r\neth0")),
    Scenario("host-local, routes",
             ipam({**SIMPLE, "routes": [V4_DEFAULT, {"dst": "192.0.2.0/24", "gw": "10.22.0.7"}]})),
    Scenario("host-local, resolvConf", ipam({**SIMPLE, "resolvConf": RESOLV}),
             prepare=file(RESOLV, b"# comment\nnameserver 192.0.2.53\n; other\nnameserver 2001:db8::53\n"
                                  b"domain example.org\nsearch a.example b.example\noptions ndots:2 edns0\nbroken\n")),
    Scenario("host-local, resolvConf missing", ipam({**SIMPLE, "resolvConf": "/run/cni/absent"})),
    Scenario("host-local, dataDir", ipam({**SIMPLE, "dataDir": "/var/lib/cni/networks/elsewhere"})),
    Scenario("host-local, IP by CNI_ARGS", ipam(SIMPLE), arguments="IP=10.22.7.7"),
    Scenario("host-local, IP by args", {**ipam(SIMPLE), "args": {"cni": {"ips": ["10.22.7.7"]}}}),
    Scenario("host-local, IP by runtimeConfig", ipam(SIMPLE), capabilities={"ips": ["10.22.7.7"]}),
    Scenario("host-local, IP with a prefix", ipam(SIMPLE), capabilities={"ips": ["10.22.7.7/16"]}),
    Scenario("host-local, two IPs", ipam(host_local(V4, V6)), capabilities={"ips": ["10.22.7.7", "fd00:22::7"]}),
    Scenario("host-local, ipRanges", ipam({"type": "host-local"}),
             capabilities={"ipRanges": [[{"subnet": "10.24.0.0/24"}]]}),
    Scenario("host-local, IP outside", ipam(SIMPLE), arguments="IP=192.0.2.1"),
    Scenario("host-local, IP malformed", ipam(SIMPLE), arguments="IP=ten"),
    Scenario("host-local, IP is the gateway", ipam(SIMPLE), arguments="IP=10.22.0.1"),
    Scenario("host-local, IP taken", ipam(SIMPLE), arguments="IP=10.22.0.2",
             prepare=file(f"{LEASES}/10.22.0.2", b"someone\r\neth0")),
    Scenario("host-local, no ranges", ipam({"type": "host-local"})),
    Scenario("host-local, subnet malformed", ipam({"type": "host-local", "subnet": "10.22.0.0"})),
    Scenario("host-local, subnet with host bits", ipam({"type": "host-local", "subnet": "10.22.0.1/16"})),
    Scenario("host-local, subnet too small", ipam({"type": "host-local", "subnet": "10.22.0.0/31"})),
    Scenario("host-local, range outside", ipam({**SIMPLE, "rangeStart": "10.23.0.1"})),
    Scenario("host-local, ranges overlap", ipam(host_local(V4, {"subnet": "10.22.4.0/24"}))),
    Scenario("host-local, lease gone at CHECK", ipam(SIMPLE),
             tamper=lambda host: Path(LEASES, "10.22.0.2").unlink(missing_ok=True)),
    Scenario("host-local, no ipam", {"type": "host-local"}),
]  # fmt: skip

STATIC = [
    Scenario("static", ipam(static({"address": "10.22.0.5/16", "gateway": "10.22.0.1"}))),
    Scenario("static, no gateway", ipam(static({"address": "10.22.0.5/16"}))),
    Scenario("static, dual stack, routes, DNS",
             ipam(static({"address": "10.22.0.5/16", "gateway": "10.22.0.1"},
                         {"address": "fd00:22::5/64", "gateway": "fd00:22::1"},
                         routes=[V4_DEFAULT, {"dst": "192.0.2.0/24", "gw": "10.22.0.7"}, V6_DEFAULT],
                         dns={"nameservers": ["192.0.2.53"], "domain": "example.org", "search": ["a"],
                              "options": ["ndots:2"]}))),
    Scenario("static, two of a family",
             ipam(static({"address": "10.22.0.5/16"}, {"address": "10.23.0.5/16"}))),
    Scenario("static, IP by CNI_ARGS", ipam(static()), arguments="IP=10.22.7.7/16;GATEWAY=10.22.0.9"),
    Scenario("static, IPs by CNI_ARGS", ipam(static()), arguments="IP=10.22.7.7/16,fd00:22::7/64;GATEWAY=10.22.0.9,fd00:22::1"),
    Scenario("static, IP by args", {**ipam(static({"address": "10.22.0.5/16"})), "args": {"cni": {"ips": ["10.22.7.7/16"]}}}),
    Scenario("static, IP by runtimeConfig", ipam(static({"address": "10.22.0.5/16"})),
             capabilities={"ips": ["10.22.7.7/16", "fd00:22::7/64"]}),
    Scenario("static, nothing", ipam(static())),
    Scenario("static, address without prefix", ipam(static({"address": "10.22.0.5"}))),
    Scenario("static, address malformed", ipam(static({"address": "ten/8"}))),
    Scenario("static, gateway malformed", ipam(static({"address": "10.22.0.5/16", "gateway": "one"}))),
    Scenario("static, no ipam", {"type": "static"}),
]  # fmt: skip

ALL = (LOOPBACK + BRIDGE + BRIDGE_ERRORS + link_scenarios.GOOD + link_scenarios.ERRORS + HOST_LOCAL + STATIC
       + tuning_scenarios.GOOD + tuning_scenarios.ERRORS + tuning_scenarios.CHAINS
       + bandwidth_scenarios.GOOD + bandwidth_scenarios.ERRORS + portmap_scenarios.GOOD + portmap_scenarios.ERRORS
       + firewall_scenarios.GOOD + firewall_scenarios.ERRORS)  # fmt: skip
CROSSED = (LOOPBACK[:1] + BRIDGE + link_scenarios.GOOD + tuning_scenarios.GOOD + bandwidth_scenarios.GOOD
           + portmap_scenarios.GOOD + [scenario for scenario in HOST_LOCAL + STATIC if "," not in scenario.name])  # fmt: skip
