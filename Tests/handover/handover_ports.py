"""Port mappings change hands between Debian's Go plugins and ours: see handover.py, which runs this.

Each life is a chain of plugins as a runtime would run it: bridge (which masquerades), then portmap. Before, meanwhile and
afterwards a client outside and the host itself send packets to the host's ports, over TCP and UDP, IPv4 and IPv6.
"""

import socket
import subprocess
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

from differential import build_world
from host import Container, Host, inside, ip

RANGES = {"IPv4": [[{"subnet": "10.22.0.0/16"}]],
          "dual stack": [[{"subnet": "10.22.0.0/16"}], [{"subnet": "fd00:22::/64"}]]}  # fmt: skip
ROUTES = {"IPv4": [{"dst": "0.0.0.0/0"}], "dual stack": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}
# Where a client may look for a host's port: from outside, and from the host itself.
PLACES = {"IPv4": [("world", "198.51.100.1"), ("host", "198.51.100.1"), ("host", "127.0.0.1")],
          "dual stack": [("world", "198.51.100.1"), ("host", "198.51.100.1"), ("host", "127.0.0.1"),
                         ("world", "2001:db8:51::1"), ("host", "2001:db8:51::1")]}  # fmt: skip
PORTS = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
         {"hostPort": 8081, "containerPort": 80, "protocol": "udp"},
         {"hostPort": 8082, "containerPort": 82, "protocol": "tcp", "hostIP": "198.51.100.1"}]  # fmt: skip
OTHER_PORTS = [{"hostPort": 8090, "containerPort": 80, "protocol": "tcp"},
               {"hostPort": 8091, "containerPort": 80, "protocol": "udp"}]  # fmt: skip
PROGRAMS = ("iptables", "ip6tables")
FLAVOURS = ("nft", "legacy")


# Packets


@contextmanager
def serving(container):
    """Answers with the container's name on port 80, TCP and UDP."""
    sockets = []
    with inside(container.name):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            server = socket.socket(socket.AF_INET6, kind)
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("::", 80))
            sockets.append(server)
    stream, datagram = sockets
    stream.listen()

    def accept():
        with suppress(OSError):
            while True:
                connection, _ = stream.accept()
                with connection, suppress(OSError):
                    connection.sendall(container.name.encode())

    def answer():
        with suppress(OSError):
            while True:
                _, sender = datagram.recvfrom(64)
                if sender is None:
                    return
                datagram.sendto(container.name.encode(), sender)

    threads = [threading.Thread(target=body, daemon=True) for body in (accept, answer)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server in sockets:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()


def ask(place, address, port, transport, attempts):
    """Who answers there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _ in range(attempts):
        with inside(place):
            client = socket.socket(family, socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM)
        with client, suppress(OSError):
            client.settimeout(0.3)
            client.connect((address, port))
            if transport == "udp":
                client.send(b"?")
            answer = client.recv(64)
            if answer:
                return answer.decode()
    return "nobody"


def answers(family, ports, attempts):
    """Who answers on each of the ports of every place."""
    return {f"{place}, {address}, {port['hostPort']}/{port['protocol']}":
            ask(place, address, port["hostPort"], port["protocol"], attempts)
            for place, address in PLACES[family] for port in ports if "hostIP" not in port}  # fmt: skip


# State


def save(host, flavour):
    """What iptables-save says of the table nat, without counters."""
    text = ""
    with inside(host.name):
        for program in PROGRAMS:
            process = subprocess.run([f"{program}-{flavour}-save", "-t", "nat"], capture_output=True, text=True)
            text += program + "\n"
            text += "".join((line.split(" [")[0] if line[0] == ":" else line) + "\n"
                            for line in process.stdout.splitlines() if line[0] != "#")  # fmt: skip
    return text


def of_plugins(host):
    """Every chain and rule of port mappings and masquerading there is, whoever made it."""
    found = {}
    for flavour in FLAVOURS:
        found[flavour] = [line for line in save(host, flavour).splitlines() if "CNI-" in line]
    with inside(host.name):
        text = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout
    found["nf_tables"] = [line.strip() for line in text.splitlines() if "cni" in line]
    return found


def filters(host):
    """The rules of both kinds of iptables that let packets pass."""
    lines = []
    with inside(host.name):
        for program in PROGRAMS:
            for flavour in FLAVOURS:
                process = subprocess.run([f"{program}-{flavour}-save", "-t", "filter"], capture_output=True, text=True)
                lines += [line for line in process.stdout.splitlines() if line.startswith("-A")]
    return [line.replace("/", " ") + " " for line in lines]


# Lives


def chain(family, ports, version, firewall=False, **keys):
    bridge = {"cniVersion": version, "name": "handover", "type": "bridge", "bridge": "cni0", "isGateway": True,
              "ipMasq": True, "ipam": {"type": "host-local", "ranges": RANGES[family], "routes": ROUTES[family]}}  # fmt: skip
    if keys.get("backend") == "iptables":
        bridge["ipMasqBackend"] = "iptables"
    portmap = {"cniVersion": version, "name": "handover", "type": "portmap", "runtimeConfig": {"portMappings": ports}, **keys}
    # To the Go plugin iptables is the default.
    behind = [{"cniVersion": version, "name": "handover", "type": "firewall", "backend": "iptables"}] if firewall else []
    return [bridge, portmap, *behind]


def add(life, side, host, plugins, container, path):
    result = None
    for config in plugins:
        config = {**config, "prevResult": result} if result else config
        answer = side.call(host, "ADD", config, container, PATH=path)
        if not life.expect(f"ADD of {config['type']} for {container.name}", not answer.failed, answer.text):
            return None
        result = answer.json
    return result


def delete(life, side, host, plugins, container, path, result=None, **environment):
    for config in reversed(plugins):
        config = {**config, "prevResult": result} if result else config
        for again in ("", " again"):
            answer = side.call(host, "DEL", config, container, PATH=path, **environment)
            life.expect(f"DEL of {config['type']}{again}", not answer.failed, answer.text)


def expect_answers(life, when, family, ports, container):
    found = answers(family, ports, 20)
    wrong = {where: who for where, who in found.items() if who != container.name}
    life.expect(f"{when}, the ports lead to {container.name}", not wrong, wrong)


def expect_nobody(life, family, ports):
    found = {where: who for where, who in answers(family, ports, 1).items() if who != "nobody"}
    life.expect("afterwards, nobody answers on the ports", not found, found)


def handed_over(life, host, adder, deleter, flavour, family, version, keys, way, neighbour, paths):
    """Added by one side, checked and deleted by the other."""
    container, other = host.containers
    path = paths[flavour]
    plugins, others = chain(family, PORTS, version, **keys), chain(family, OTHER_PORTS, version, **keys)
    addresses = []
    if neighbour and not add(life, adder, host, others, other, path):
        return
    before = of_plugins(host)
    with serving(container), serving(other):
        result = add(life, adder, host, plugins, container, path)
        if not result:
            return
        addresses = [address["address"].split("/")[0] for address in result.get("ips", [])]
        during = of_plugins(host)
        elsewhere = "legacy" if flavour == "nft" else "nft"
        life.expect("the rules are where they were asked for",
                    during[flavour] != before[flavour] and during[elsewhere] == before[elsewhere], during)  # fmt: skip
        expect_answers(life, "after ADD", family, PORTS, container)
        # The Go plugin of v1.1.1 looks for the rules of each family in both.
        if version >= "0.4.0" and deleter.name == "ours":
            for config in plugins:
                checked = deleter.call(host, "CHECK", {**config, "prevResult": result}, container, PATH=path)
                life.expect(f"CHECK of {config['type']}", not checked.failed, checked.text)
        environment = {}
        if "namespace" in way:
            ip("netns", "delete", container.name)
            environment["CNI_NETNS"] = ""
        delete(life, deleter, host, plugins, container, path, None if "result" in way else result, **environment)
        expect_nobody(life, family, PORTS)
        left = [line for line in filters(host) if any(f' {address} ' in line for address in addresses)]
        life.expect("no filter is left", not left, left)
        after = of_plugins(host)
        if neighbour:
            life.expect("rules are as before", after == before, after)
            expect_answers(life, "still", family, OTHER_PORTS, other)
            delete(life, deleter, host, others, other, path)
            after = of_plugins(host)
        left = {name: [line for line in lines if deleter.name == "ours" or "CNI-HOSTPORT-" not in line]
                for name, lines in after.items()}  # fmt: skip
        life.expect("no rule is left", not any(left.values()), left)


KINDS = {
    "default": {},
    "snat off": {"snat": False},
    "markMasqBit": {"markMasqBit": 31},
    "conditions": {"conditionsV4": ["!", "-d", "192.0.2.0/24", "-m", "comment", "--comment", 'a "b\\ c'],
                   "conditionsV6": ["!", "-d", "2001:db8::/32"]},
    "external chain": {"externalSetMarkChain": "ELSEWHERE"},
}  # fmt: skip
MANY = [{"hostPort": 9000 + number, "containerPort": 80, "protocol": ("tcp", "udp", "sctp")[number % 3]} for number in range(60)]
SEVERAL = [*PORTS, {"hostPort": 8085, "containerPort": 85, "protocol": "sctp", "hostIP": "::"},
           {"hostPort": 8086, "containerPort": 86, "protocol": "tcp", "hostIP": "0.0.0.0"},
           {"hostPort": 8086, "containerPort": 86, "protocol": "tcp", "hostIP": "::1"}]  # fmt: skip


def same_text(life, go, ours, flavour, kind, ports, paths):
    """What iptables saves after an ADD is the same; and what one made, the other removes."""
    texts, empty = {}, {}
    for side in (go, ours):
        with Host([Container("c1"), Container("c2")]) as host:
            with inside(host.name):
                for program in PROGRAMS:
                    # The table stays for good, once asked for.
                    subprocess.run([f"{program}-legacy", "-t", "nat", "-S"], capture_output=True)
                    if kind == "external chain":
                        subprocess.run([f"{program}-{flavour}", "-t", "nat", "-N", "ELSEWHERE"], check=True)
                rule_set = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout
            keys = {**KINDS[kind], "backend": "iptables"}
            # Each port of the host is one container's.
            chains = [chain("dual stack", [{**port, "hostPort": port["hostPort"] + 1000 * number} for port in ports],
                            "1.0.0", **keys) for number, _ in enumerate(host.containers)]  # fmt: skip
            for container, plugins in zip(host.containers, chains):
                if add(life, side, host, plugins, container, paths[flavour]) is None:
                    return
            texts[side.name] = save(host, flavour)
            if side is ours:
                for container, plugins in zip(host.containers, chains):
                    delete(life, ours, host, plugins, container, paths[flavour])
                with inside(host.name):
                    now = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout
                life.expect("after our ADD and DEL the rule set is as before", now == rule_set, now)
                empty = [line for line in save(host, flavour).splitlines() if "CNI-" in line]
                life.expect("no chain is left", not empty, empty)

    if flavour == "legacy" and len(ports) == len(MANY):
        # To ip6tables-legacy -C, by which the Go plugin looks for a rule before it adds it, all ports are the same.
        texts = {name: text.split("ip6tables\n")[0] for name, text in texts.items()}
    texts = {name: text.splitlines() for name, text in texts.items()}
    differing = [line for line in texts["go"] if line not in texts["ours"]], [
        line for line in texts["ours"] if line not in texts["go"]]  # fmt: skip
    life.expect("iptables saves the same", texts["go"] == texts["ours"], differing)


def go_tables(containers):
    """`ip cni_hostport` and `ip6 cni_hostport` as v1.9.1 lays them out; each container with address, number of ports."""
    text = ""
    for index, (family, local) in enumerate((("ip", "127.0.0.1"), ("ip6", None))):
        ports, masquerades = "", ""
        for container, addresses, mappings in containers:
            address = addresses[index]
            target = f"[{address}]" if ":" in address else address
            for port in mappings:
                host = port.get("hostIP")
                if host and (":" in host) != (family == "ip6"):
                    continue
                where = f"{family} daddr {host} " if host else ""
                ports += (f'    {where}{port["protocol"]} dport {port["hostPort"]} dnat to '
                          f'{target}:{port["containerPort"]} comment "{container.id}"\n')  # fmt: skip
            for source in filter(None, (address, local)):
                masquerades += f'    {family} saddr {source} {family} daddr {address} masquerade comment "{container.id}"\n'
        text += f"""
table {family} cni_hostport {{
  comment "CNI portmap plugin"
  chain hostports {{
{ports}  }}
  chain hostip_hostports {{
  }}
  chain hostports_all {{
    jump hostip_hostports
    jump hostports
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump hostports_all
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    fib daddr type local jump hostports_all
  }}
  chain masquerading {{
    type nat hook postrouting priority srcnat; policy accept;
{masquerades}  }}
}}
"""
    return text


def host_port_tables(host):
    text = ""
    with inside(host.name):
        for family in ("ip", "ip6"):
            process = subprocess.run(["nft", "list", "table", family, "cni_hostport"], capture_output=True, text=True)
            text += process.stdout
    return text


def load(host, text):
    with inside(host.name):
        subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def from_go_tables(life, host, go, ours, paths):
    """The tables that the Go plugin makes since v1.6, with two containers, whom ours deletes one after the other."""
    family = "dual stack"
    laid_out, chains = [], []
    for container, ports in zip(host.containers, (PORTS, OTHER_PORTS)):
        plugins = chain(family, ports, "1.0.0")
        result = add(life, go, host, plugins[:1], container, paths["nft"])
        if not result:
            return
        laid_out.append((container, [address["address"].split("/")[0] for address in result["ips"]], ports))
        chains.append((plugins, result))
    with inside(host.name):
        subprocess.run(["sysctl", "-qw", "net.ipv4.conf.cni0.route_localnet=1"], check=True)
    load(host, go_tables(laid_out[1:]))
    single = host_port_tables(host)
    load(host, "delete table ip cni_hostport\ndelete table ip6 cni_hostport\n" + go_tables(laid_out))
    container, other = host.containers
    with serving(container), serving(other):
        expect_answers(life, "as laid out", family, PORTS, container)
        for (plugins, result), holder in zip(chains, host.containers):
            checked = ours.call(host, "CHECK", {**plugins[1], "prevResult": result}, holder, PATH=paths["nft"])
            life.expect(f"CHECK of {holder.name}", not checked.failed, checked.text)
        delete(life, ours, host, chains[0][0], container, paths["nft"])
        life.expect("the other's part is as it was", host_port_tables(host) == single, host_port_tables(host))
        expect_nobody(life, family, PORTS)
        expect_answers(life, "still", family, OTHER_PORTS, other)
        delete(life, ours, host, chains[1][0], other, paths["nft"], chains[1][1])
        life.expect("the tables are gone", not host_port_tables(host), host_port_tables(host))


def live(task):
    """One life, in a worker."""
    life, paths, kind, arguments = task
    if kind == "text":
        same_text(life, *arguments, paths)
        return life
    with Host([Container("c1"), Container("c2")]) as host:
        build_world(host)
        try:
            if kind == "tables":
                from_go_tables(life, host, *arguments, paths)
            else:
                handed_over(life, host, *arguments, paths)
        finally:
            ip("netns", "delete", "world")
    return life


def lives(go, ours, paths, new_life):
    asked_for = {"backend": "iptables"}
    for flavour in FLAVOURS:
        for family in RANGES:
            where = f"portmap, {family}, iptables-{flavour}"
            for way in ("DEL", "DEL without a result", "DEL with a namespace that is gone"):
                yield (new_life(f"go, then ours, {where}, {way}"), paths, "handed over",
                       (go, ours, flavour, family, "1.0.0", {}, way, True))  # fmt: skip
            yield (new_life(f"go, then ours, {where}, 0.3.1, alone"), paths, "handed over",
                   (go, ours, flavour, family, "0.3.1", {}, "DEL without a result", False))  # fmt: skip
            if Path(ours.directory, "firewall").exists():
                yield (new_life(f"go, then ours, {where}, with firewall"), paths, "handed over",
                       (go, ours, flavour, family, "1.0.0", {"firewall": True}, "DEL", True))  # fmt: skip
            yield (new_life(f"ours, then go, {where}"), paths, "handed over",
                   (ours, go, flavour, family, "1.0.0", asked_for, "DEL", True))  # fmt: skip
            yield (new_life(f"ours, then ours, {where}"), paths, "handed over",
                   (ours, ours, flavour, family, "1.0.0", asked_for, "DEL", True))  # fmt: skip
        for kind in KINDS:
            yield new_life(f"portmap, iptables-{flavour}, {kind}"), paths, "text", (go, ours, flavour, kind, SEVERAL)
        yield new_life(f"portmap, iptables-{flavour}, many ports"), paths, "text", (go, ours, flavour, "default", MANY)
    yield new_life("portmap, go's own tables, then ours"), paths, "tables", (go, ours)
