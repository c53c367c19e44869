"""Tables of iptables that somebody flushes, with the containers' rules in them."""

import re
import subprocess

import kernel
from crowd import Containers, Repeated, expect_nothing
from world import World, chain


def of_iptables(**keys):
    configuration = chain()
    for plugin in configuration["plugins"]:
        plugin.update(keys.get(plugin["type"], {}))
    return configuration


FAMILIES = {4: ("iptables", "192.0.2.0/24"), 6: ("ip6tables", "2001:db8::/32")}
ADMINISTRATORS = [f"{program} -t {table} -A {chain_name} -s {net} -j ACCEPT" for program, net in FAMILIES.values()
                  for table, chain_name in (("filter", "FORWARD"), ("nat", "PREROUTING"))]  # fmt: skip


def rules(version, table):
    program = FAMILIES[version][0] + "-save"
    return subprocess.run([program, "-t", table], capture_output=True, text=True, check=True).stdout


def missing_rules(containers, masquerades):
    """Of attached containers' rules in iptables, those that are not there."""
    there = {(version, table): rules(version, table) for version in FAMILIES for table in ("filter", "nat")}
    for name, addresses in containers.addresses.items():
        port = 20000 + containers.names.index(name)
        for address in addresses:
            to = f"[{address.ip}]" if address.version == 6 else f"{address.ip}"
            filtering, nat = there[address.version, "filter"], there[address.version, "nat"]
            wanted = {
                "what it sends": f"-A CNI-FORWARD -s {address} -j ACCEPT" in filtering,
                "what it gets": f"-A CNI-FORWARD -d {address} " in filtering,
                "its port of TCP": bool(re.search(rf"-p tcp .*--dport {port} .*{re.escape(to)}:80\b", nat)),
                "its port of UDP": bool(re.search(rf"-p udp .*--dport {port} .*{re.escape(to)}:53\b", nat)),
                "its masquerading": not masquerades or f"-A POSTROUTING -s {address} " in nat,
            }
            yield from (f"{name}: {address}: no rule for {what}" for what, is_there in wanted.items() if not is_there)
    for version, (_, net) in FAMILIES.items():
        for table in ("filter", "nat"):
            if f"-s {net} -j ACCEPT" not in there[version, table]:
                yield f"the administrator's own rule for {net} is not in {table}"


def flushed(rounds, problems):
    """`iptables -F` of all tables, as scripts of administrators do, who then add their own rules again."""
    asked = of_iptables(bridge={"ipMasqBackend": "iptables"}, portmap={"backend": "iptables"}, firewall={"backend": "iptables"})
    notes = [flushed_meanwhile(configuration, rounds, masquerades, problems)
             for configuration, masquerades in ((asked, True), (chain(), False))]  # fmt: skip
    return f"in iptables as asked for: {notes[0]}; as the host has rules there: {notes[1]}"


def flushed_meanwhile(configuration, rounds, masquerades, problems):
    world = World(configuration=configuration)
    flushes = [f"{program} -t {table} -F" for program, _ in FAMILIES.values() for table in ("filter", "nat")]
    for command in ("iptables -P FORWARD ACCEPT", "iptables -t nat -N SOMEBODYS", *flushes, *ADMINISTRATORS):
        subprocess.run(command.split(), check=True)
    world.before = kernel.host()
    with Containers(world) as containers:
        stay, move = containers.names[::2], containers.names[1::2]
        containers.need("add")
        containers.need("check")
        problems += list(missing_rules(containers, masquerades))[:5]
        with Repeated(*flushes, *ADMINISTRATORS) as flush:
            flush.once_more()
            for _ in range(rounds):
                containers.need("del", move)
                containers.need("add", move)
            containers.need("del", move)
            containers.need("del", stay[:2])
            flush.once_more()
        problems += flush.problems()
        for name in stay[2:]:
            answer = containers.worlds[name].call("check", name)
            # What is flushed is gone, and CHECK is there to say so.
            if not answer.failed or not answer.error.startswith("cnitool: ") or answer.died:
                problems.append(f"CHECK of {name}, whose rules were flushed: {answer.error or 'succeeds'}")
        containers.need("del", stay[2:4])
        containers.collect()
    expect_nothing(world, problems)
    return f"flushed {flush.count} times, {containers.calls} calls"
