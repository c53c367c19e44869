"""Scenarios of the chained plugins that work in the container alone: tuning, sbr and vrf.

Called directly, each gets the result of a plugin before it that is made up here, and the interface that goes with it; through
cnitool, it stands in a list behind ptp.
"""

from host import inside, ip
from link_scenarios import DUAL, plugin
from scenario import MAC, Scenario, in_container, several

OWN_MAC = "02:00:00:00:00:01"
V4, V6 = ("10.1.0.2/24", "10.1.0.1"), ("fd00:1::2/64", "fd00:1::1")


def result(*addresses, name="eth0"):
    """What the plugin before reports, by version."""

    def of(version, host):
        if version < "0.3.0":
            family = {"." in address: {"ip": address, "gateway": gateway} for address, gateway in addresses}
            return {"cniVersion": version, **({"ip4": family[True]} if True in family else {}),
                    **({"ip6": family[False]} if False in family else {})}  # fmt: skip
        ips = [{"address": address, "gateway": gateway, "interface": 0} for address, gateway in addresses]
        if version < "1.0.0":
            ips = [{"version": "4" if "." in ip["address"] else "6", **ip} for ip in ips]
        interface = {"name": name, "mac": OWN_MAC, "sandbox": host.containers[0].path}
        return {"cniVersion": version, "interfaces": [interface], "ips": ips}

    return of


def interface(*addresses, routes=(), name="eth0"):
    """The container's interface as the plugin before made it."""

    def prepare(host):
        container = host.containers[0].name
        with inside(host.name):
            ip("link", "add", "host0", "type", "veth", "peer", "name", name, "address", OWN_MAC, "netns", container)
            ip("link", "set", "host0", "up")
        with inside(container):
            for address, _ in addresses:
                ip("address", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
            ip("link", "set", name, "up")
            for route in routes:
                ip(*(["-6"] if ":" in " ".join(route) else []), "route", "add", *route)

    return prepare


DEFAULTS = (("default", "via", V4[1]), ("default", "via", V6[1]))


def scenarios(type, good, errors, **common):
    def make(name, config, more):
        return Scenario(f"{type}{name}", {"type": type, **config}, **{**common, **more})

    return [make(*row) for row in good], [make(*row) for row in errors]


def tuning():
    setting = {"net.core.somaxconn": "500"}
    good = [
        ("", {"sysctl": setting, "mac": MAC, "mtu": 1400}, {}),
        (", kernel settings", {"sysctl": {**setting, "net.ipv4.conf.IFNAME.arp_notify": "1",
                                          "net/ipv4/conf/IFNAME/rp_filter": "1"}}, {}),
        (", promiscuous", {"promisc": True}, {}),
        (", all multicast", {"allmulti": True}, {}),
        (", all multicast off", {"allmulti": False}, {}),
        (", queue length", {"txQLen": 77}, {"key": "txQLen"}),
        (", MAC by CNI_ARGS", {}, {"arguments": f"IgnoreUnknown=1;MAC={MAC}"}),
        (", MAC by runtimeConfig", {}, {"capabilities": {"mac": MAC}}),
        (", MAC by args", {"mac": "02:00:00:00:00:99", "args": {"cni": {"mac": MAC}}}, {}),
        (", MAC of args before runtimeConfig", {"args": {"cni": {"mac": MAC}}},
         {"capabilities": {"mac": "02:00:00:00:00:99"}}),
        (", everything by args", {"sysctl": {}, "args": {"cni": {"sysctl": setting, "mtu": 1300, "promisc": True}}}, {}),
        (", nothing", {}, {}),
        (", dataDir", {"mtu": 1400, "dataDir": "/run/cni/elsewhere"}, {}),
    ]  # fmt: skip
    errors = [
        (", setting of the host", {"sysctl": {"kernel.hostname": "x"}}, {}),
        (", setting by a way round", {"sysctl": {"net/../kernel/hostname": "x"}}, {}),
        (", setting that is not there", {"sysctl": {"net.absent": "1"}}, {}),
        (", value that is none", {"sysctl": {"net.core.somaxconn": "many"}}, {}),
        (", value that is a number", {"sysctl": {"net.core.somaxconn": 5}}, {}),
        (", MAC malformed", {"mac": "zz"}, {}),
        (", mtu too small", {"mtu": 20}, {}),
        (", value changed at CHECK", {"mtu": 1400}, {"tamper": in_container("link", "set", "eth0", "mtu", "1300")}),
        (", MAC changed at CHECK", {"mac": MAC},
         {"tamper": in_container("link", "set", "eth0", "address", "02:00:00:00:00:98")}),
        (", promiscuous off at CHECK", {"promisc": True},
         {"tamper": in_container("link", "set", "eth0", "promisc", "off")}),
        (", interface gone at CHECK", {"mtu": 1400}, {"tamper": in_container("link", "delete", "eth0")}),
        (", no interface", {"mtu": 1400}, {"prepare": None}),
    ]  # fmt: skip
    return scenarios("tuning", good, errors, previous=result(V4), prepare=interface(V4), keep_macs=(MAC, OWN_MAC))


def sbr():
    dual = {"previous": result(V4, V6), "prepare": interface(V4, V6, routes=DEFAULTS)}
    good = [
        ("", {}, {}),
        (", a route of its own", {},
         {"prepare": interface(V4, routes=[("192.0.2.0/24", "via", "10.1.0.77"), ("198.51.100.0/24", "dev", "eth0")])}),
        (", default route that is there", {}, {"prepare": interface(V4, routes=DEFAULTS[:1])}),
        (", dual stack", {}, dual),
        (", two addresses", {}, {"previous": result(V4, ("10.5.0.2/24", "10.5.0.1")),
                                 "prepare": interface(V4, ("10.5.0.2/24", "10.5.0.1")), "since": "0.3.0"}),
        (", table", {"table": 5000}, {"key": "table,omitempty"}),
        (", table, dual stack", {"table": 5000}, {**dual, "key": "table,omitempty"}),
        (", table 100 taken", {}, {"prepare": several(interface(V4), in_container("rule", "add", "from", "10.9.9.9", "table", "100"))}),
        (", gateways", {"gateways": ["10.1.0.9"]}, {"key": "gateways"}),
        (", source hints", {"addSourceHints": True}, {"key": "addSourceHints"}),
    ]  # fmt: skip
    errors = [
        (", no addresses", {}, {"previous": result()}),
        (", no interface", {}, {"prepare": None}),
        (", gateway out of reach", {"gateways": ["192.0.2.1"]}, {"key": "gateways"}),
        (", gateway malformed", {"gateways": ["ten"]}, {"key": "gateways"}),
        (", two gateways of a family", {"gateways": ["10.1.0.1", "10.1.0.9"]}, {"key": "gateways"}),
        (", rule gone at CHECK", {}, {"tamper": in_container("rule", "delete", "from", "10.1.0.2")}),
    ]  # fmt: skip
    return scenarios("sbr", good, errors, previous=result(V4), prepare=interface(V4), keep_macs=(OWN_MAC,))


def vrf():
    name = {"vrfname": "blue"}
    both = {"previous": result(V4, V6), "prepare": interface(V4, V6, routes=DEFAULTS)}
    there = several(interface(V4), in_container("link", "add", "blue", "type", "vrf", "table", "7"),
                    in_container("link", "set", "blue", "up"))  # fmt: skip
    good = [
        ("", name, {}),
        (", table", {**name, "table": 1000}, {}),
        (", dual stack", name, both),
        (", there already", name, {"prepare": there}),
        (", there with the table", {**name, "table": 7}, {"prepare": there}),
    ]  # fmt: skip
    errors = [
        (", no name", {}, {}),
        (", there with another table", {**name, "table": 8}, {"prepare": there}),
        (", name of something else", name,
         {"prepare": several(interface(V4), in_container("link", "add", "blue", "type", "bridge"))}),
        (", no interface", name, {"prepare": None}),
        (", released at CHECK", name, {"tamper": in_container("link", "set", "eth0", "nomaster")}),
    ]  # fmt: skip
    return scenarios("vrf", good, errors, needs=("vrf",), since="0.3.1", previous=result(V4), prepare=interface(V4),
                     keep_macs=(OWN_MAC,))  # fmt: skip


def chains():
    """In a list, as runtimes call them."""
    ptp = (plugin("ptp", ipam=DUAL),)
    return [
        Scenario("tuning behind ptp", {"type": "tuning", "mtu": 1400, "mac": MAC,
                                       "sysctl": {"net.ipv4.conf.IFNAME.arp_accept": "1"}}, chain=ptp, keep_macs=(MAC,)),
        Scenario("vrf behind ptp", {"type": "vrf", "vrfname": "blue"}, chain=ptp, needs=("vrf",), since="0.3.1"),
    ]  # fmt: skip


ALL_KINDS = [tuning(), sbr(), vrf()]
GOOD = [scenario for good, _ in ALL_KINDS for scenario in good]
ERRORS = [scenario for _, errors in ALL_KINDS for scenario in errors]
CHAINS = chains()
