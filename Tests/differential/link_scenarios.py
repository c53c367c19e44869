"""Scenarios of the plugins that give a container an interface in other ways than by a bridge."""

from scenario import (
    MAC, SIMPLE, V4, V4_DEFAULT, V6, V6_DEFAULT, Scenario, host_local, in_container, in_host, several, static,
)  # fmt: skip

DUAL = host_local(V4, V6, routes=[V4_DEFAULT, V6_DEFAULT])
ONLY_V6 = host_local(V6, routes=[V6_DEFAULT])
STATIC = static({"address": "10.22.0.5/16", "gateway": "10.22.0.1"}, routes=[V4_DEFAULT])

# A link of the host that others stand on; the other end has nobody.
MASTER = several(in_host("link", "add", "up0", "type", "veth", "peer", "name", "up1"),
                 in_host("link", "set", "up0", "up"), in_host("link", "set", "up1", "up"))  # fmt: skip
DEFAULT_ROUTE = several(MASTER, in_host("address", "add", "192.0.2.2/24", "dev", "up0"),
                        in_host("route", "add", "default", "via", "192.0.2.1"))  # fmt: skip
INNER_MASTER = several(in_container("link", "add", "up0", "type", "veth", "peer", "name", "up1"),
                       in_container("link", "set", "up0", "up"), in_container("link", "set", "up1", "up"))  # fmt: skip
# A device to move: its other end stays.
DEVICE = several(in_host("link", "add", "dev0", "type", "veth", "peer", "name", "dev1"),
                 in_host("link", "set", "dev0", "address", MAC))  # fmt: skip


def plugin(type, ipam=SIMPLE, **keys):
    config = {"type": type, **keys}
    if ipam:
        config["ipam"] = ipam
    return config


def standing(type, **keys):
    """Keys of a plugin whose link stands on another."""
    return {"type": type, "master": "up0", **keys}


def of_kind(type, good, errors, needs=(), **common):
    """Both lists of a plugin: (name, configuration, keywords of Scenario)."""
    return (
        [Scenario(f"{type}{name}", config, needs=needs, **{**common, **more}) for name, config, more in good],
        [Scenario(f"{type}{name}", config, needs=needs, **{**common, **more}) for name, config, more in errors])  # fmt: skip


def masters(type, **keys):
    """What all plugins whose link stands on another have in common."""
    good = [
        ("", plugin(**standing(type, **keys)), {}),
        (", IPv6", plugin(**standing(type, ipam=ONLY_V6, **keys)), {}),
        (", dual stack", plugin(**standing(type, ipam=DUAL, **keys)), {}),
        (", static", plugin(**standing(type, ipam=STATIC, **keys)), {}),
        (", mtu", plugin(**standing(type, mtu=1400, **keys)), {}),
        (", two containers", plugin(**standing(type, **keys)), {"containers": 1 if type == "vlan" else 2}),
        (", in the container", plugin(**standing(type, linkInContainer=True, **keys)),
         {"prepare": INNER_MASTER, "key": "linkInContainer"}),
        (", another interface name", plugin(**standing(type, **keys)), {"interface": "net1"}),
    ]  # fmt: skip
    if type != "vlan":  # Go's asks for a master.
        good += [(", master of the default route", plugin(type, **keys), {"prepare": DEFAULT_ROUTE})]
    errors = [
        (", no such master", plugin(**{**standing(type, **keys), "master": "absent"}), {}),
        (", no default route", plugin(type, **keys), {"prepare": None}),
        (", mtu above the master's", plugin(**standing(type, mtu=9000, **keys)), {}),
        (", mtu negative", plugin(**standing(type, mtu=-1, **keys)), {}),
        (", taken name in the container", plugin(**standing(type, **keys)),
         {"prepare": several(MASTER, in_container("link", "add", "eth0", "type", "bridge"))}),
        (", IPAM plugin missing", plugin(**standing(type, ipam={"type": "no-such-plugin"}, **keys)), {}),
        (", link gone at CHECK", plugin(**standing(type, **keys)), {"tamper": in_container("link", "delete", "eth0")}),
        (", address gone at CHECK", plugin(**standing(type, **keys)),
         {"tamper": in_container("address", "flush", "dev", "eth0")}),
    ]  # fmt: skip
    return good, errors


def macvlan():
    good, errors = masters("macvlan")
    good += [(f", {mode}", plugin(**standing("macvlan", mode=mode)), {})
             for mode in ("bridge", "private", "vepa", "passthru")]  # fmt: skip
    good += [
        (", without IPAM", plugin(**standing("macvlan", ipam=None)), {}),
        (", MAC by configuration", plugin(**standing("macvlan", mac=MAC)), {"keep_macs": (MAC,)}),
        (", MAC by CNI_ARGS", plugin(**standing("macvlan")),
         {"arguments": f"IgnoreUnknown=1;MAC={MAC}", "keep_macs": (MAC,)}),
        (", MAC by runtimeConfig", plugin(**standing("macvlan")),
         {"capabilities": {"mac": MAC}, "keep_macs": (MAC,)}),
    ]  # fmt: skip
    errors += [
        (", mode unknown", plugin(**standing("macvlan", mode="hub")), {}),
        (", MAC malformed", plugin(**standing("macvlan", mac="zz")), {}),
        (", MAC changed at CHECK", plugin(**standing("macvlan")),
         {"tamper": in_container("link", "set", "eth0", "address", MAC)}),
    ]  # fmt: skip
    return of_kind("macvlan", good, errors, prepare=MASTER)


def ipvlan():
    good, errors = masters("ipvlan")
    good += [(f", {mode}", plugin(**standing("ipvlan", mode=mode)), {}) for mode in ("l2", "l3", "l3s")]
    errors += [
        (", mode unknown", plugin(**standing("ipvlan", mode="l4")), {}),
        (", without IPAM", plugin(**standing("ipvlan", ipam=None)), {}),
    ]  # fmt: skip
    return of_kind("ipvlan", good, errors, needs=("ipvlan",), prepare=MASTER)


def vlan():
    good, errors = masters("vlan", vlanId=100)
    good += [(", least", plugin(**standing("vlan", vlanId=0)), {}), (", most", plugin(**standing("vlan", vlanId=4094)), {})]
    errors += [
        (", too large", plugin(**standing("vlan", vlanId=4095)), {}),
        (", negative", plugin(**standing("vlan", vlanId=-1)), {}),
        (", no number", plugin(**standing("vlan", vlanId="five")), {}),
        (", taken", plugin(**standing("vlan", vlanId=5)),
         {"prepare": several(MASTER, in_host("link", "add", "other", "link", "up0", "type", "vlan", "id", "5"))}),
    ]  # fmt: skip
    return of_kind("vlan", good, errors, needs=("vlan",), prepare=MASTER)


def dummy():
    good = [
        ("", plugin("dummy"), {}),
        (", dual stack", plugin("dummy", ipam=DUAL), {}),
        (", two containers", plugin("dummy"), {"containers": 2}),
        (", another interface name", plugin("dummy"), {"interface": "net1"}),
    ]  # fmt: skip
    errors = [
        (", without IPAM", plugin("dummy", ipam=None), {}),
        (", taken name in the container", plugin("dummy"),
         {"prepare": in_container("link", "add", "eth0", "type", "bridge")}),
        (", link gone at CHECK", plugin("dummy"), {"tamper": in_container("link", "delete", "eth0")}),
    ]  # fmt: skip
    return of_kind("dummy", good, errors, needs=("dummy",))


def ptp():
    good = [
        ("", plugin("ptp"), {"world": True}),
        (", masquerade", plugin("ptp", ipMasq=True), {"world": True}),
        (", masquerade by iptables", plugin("ptp", ipMasq=True, ipMasqBackend="iptables"), {"world": True}),
        (", IPv6", plugin("ptp", ipam=ONLY_V6, ipMasq=True), {"world": True}),
        (", dual stack", plugin("ptp", ipam=DUAL, ipMasq=True), {"world": True}),
        (", static", plugin("ptp", ipam=STATIC), {}),
        (", mtu", plugin("ptp", mtu=1400), {}),
        (", two containers", plugin("ptp"), {"containers": 2}),
        (", another interface name", plugin("ptp"), {"interface": "net1"}),
        (", DNS of the network", plugin("ptp", dns={"nameservers": ["192.0.2.53"], "search": ["a"]}), {}),
        (", route via a gateway",
         plugin("ptp", ipam=host_local(V4, routes=[{"dst": "192.0.2.0/24", "gw": "10.22.0.77"}])), {}),
    ]  # fmt: skip
    errors = [
        (", taken name in the container", plugin("ptp"),
         {"prepare": in_container("link", "add", "eth0", "type", "bridge")}),
        (", IPAM plugin missing", plugin("ptp", ipam={"type": "no-such-plugin"}), {}),
        (", without IPAM", plugin("ptp", ipam=None), {}),
        (", link gone at CHECK", plugin("ptp"), {"tamper": in_container("link", "delete", "eth0")}),
        (", address gone at CHECK", plugin("ptp"), {"tamper": in_container("address", "flush", "dev", "eth0")}),
        (", route gone at CHECK", plugin("ptp"), {"tamper": in_container("route", "delete", "default")}),
    ]  # fmt: skip
    return of_kind("ptp", good, errors)


def host_device():
    good = [
        ("", plugin("host-device", device="dev0"), {}),
        (", without IPAM", plugin("host-device", ipam=None, device="dev0"), {}),
        (", by MAC", plugin("host-device", hwaddr=MAC), {}),
        (", dual stack", plugin("host-device", ipam=DUAL, device="dev0"), {}),
        (", static", plugin("host-device", ipam=STATIC, device="dev0"), {}),
        (", another interface name", plugin("host-device", device="dev0"), {"interface": "net1"}),
        (", keeps its name", plugin("host-device", device="dev0"), {"interface": "dev0"}),
        (", up before", plugin("host-device", device="dev0"),
         {"prepare": several(DEVICE, in_host("link", "set", "dev0", "up"))}),
    ]  # fmt: skip
    errors = [
        (", no such device", plugin("host-device", device="absent"), {}),
        (", no such MAC", plugin("host-device", hwaddr="02:00:00:00:00:99"), {}),
        (", nothing said", plugin("host-device"), {}),
        (", MAC malformed", plugin("host-device", hwaddr="zz"), {}),
        (", no such PCI device", plugin("host-device", pciBusID="0000:ff:1f.7"), {}),
        (", taken name in the container", plugin("host-device", device="dev0"),
         {"prepare": several(DEVICE, in_container("link", "add", "eth0", "type", "bridge"))}),
        (", IPAM plugin missing", plugin("host-device", ipam={"type": "no-such-plugin"}, device="dev0"), {}),
        (", address gone at CHECK", plugin("host-device", device="dev0"),
         {"tamper": in_container("address", "flush", "dev", "eth0")}),
    ]  # fmt: skip
    return of_kind("host-device", good, errors, prepare=DEVICE, keep_macs=(MAC,))


def tap():
    good = [
        ("", plugin("tap"), {}),
        (", multiqueue", plugin("tap", multiQueue=True), {}),
        (", owner and group", plugin("tap", owner=1000, group=1001), {}),
        (", owner 0", plugin("tap", owner=0, group=0), {}),
        (", mtu", plugin("tap", mtu=1400), {}),
        (", MAC by configuration", plugin("tap", mac=MAC), {"keep_macs": (MAC,)}),
        (", MAC by CNI_ARGS", plugin("tap"), {"arguments": f"IgnoreUnknown=1;MAC={MAC}", "keep_macs": (MAC,)}),
        (", MAC by runtimeConfig", plugin("tap"), {"capabilities": {"mac": MAC}, "keep_macs": (MAC,)}),
        (", dual stack", plugin("tap", ipam=DUAL), {}),
        (", without IPAM", plugin("tap", ipam=None), {}),
        (", on a bridge", plugin("tap", ipam=None, bridge="br0"),
         {"prepare": several(in_container("link", "add", "br0", "type", "bridge"),
                             in_container("link", "set", "br0", "up"))}),
    ]  # fmt: skip
    errors = [
        (", taken name in the container", plugin("tap"),
         {"prepare": in_container("link", "add", "eth0", "type", "bridge")}),
        (", no such bridge", plugin("tap", bridge="absent"), {}),
        (", MAC malformed", plugin("tap", mac="zz"), {}),
        (", link gone at CHECK", plugin("tap"), {"tamper": in_container("link", "delete", "eth0")}),
    ]  # fmt: skip
    return of_kind("tap", good, errors)


ALL_KINDS = [ptp(), macvlan(), host_device(), tap(), ipvlan(), vlan(), dummy()]
GOOD = [scenario for good, _ in ALL_KINDS for scenario in good]
ERRORS = [scenario for _, errors in ALL_KINDS for scenario in errors]
