#!/usr/bin/env python3
"""The chain that clusters run, bridge + portmap + firewall + bandwidth + tuning, every plugin a process.

    chain.py [EXECUTABLE] [COUNT]    (or PRODUCT in the environment)

COUNT containers (100) with four ports each are added in parallel and removed in parallel: no error, packets get through
in between, and the host is as it was. An ADD that fails at the end of the chain leaves nothing. Nothing but the plugins is
executed. Everything happens in namespaces of its own, which end with this program, however it ends.
"""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Scripts"))

from remains import changes, host, links_settle, output  # noqa: E402
from throwaway import Tally, enter_private_namespaces  # noqa: E402

IN_FLIGHT = 20
PLUGINS = Path("/run/cni-bin")
HOST = "192.0.2.1"
HOST6 = "2001:db8::1"
tally = Tally()
expect = tally.expect


def network(name, **tuning):
    ranges = [[{"subnet": "10.22.0.0/16"}], [{"subnet": "fd00:22::/64"}]]
    return {
        "cniVersion": "1.0.0", "name": name,
        "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True,
             "ipam": {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": True}},
            {"type": "firewall"},
            {"type": "bandwidth", "ingressRate": 1_000_000_000, "ingressBurst": 80_000_000,
             "egressRate": 1_000_000_000, "egressBurst": 80_000_000},
            {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}, **tuning},
        ],
    }  # fmt: skip


def ports(number):
    first = 20000 + 4 * number
    return [
        {"hostPort": first, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": first + 1, "containerPort": 81, "protocol": "TCP", "hostIP": ""},
        {"hostPort": first + 2, "containerPort": 53, "protocol": "udp", "hostIP": "0.0.0.0"},
        {"hostPort": first + 3, "containerPort": 82, "protocol": "tcp", "hostIP": HOST},
    ]  # fmt: skip


def compare(when, before, after):
    different = dict(changes(before, after))
    for what in before:
        expect(f"{what} {when}", what not in different, different.get(what))


def call(command, number, list_name="chain", prefix=()):
    environment = {
        "PATH": os.environ["PATH"], "NETCONFPATH": "/run/net.d", "CNI_PATH": str(PLUGINS),
        "CAP_ARGS": json.dumps({"portMappings": ports(number)}),
    }  # fmt: skip
    return subprocess.run(
        [*prefix, str(PLUGINS / "cnitool"), command, list_name, f"/run/netns/c{number}"], env=environment,
        capture_output=True, text=True, timeout=300)  # fmt: skip


def in_parallel(command, count):
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        answers = list(pool.map(lambda number: call(command, number), range(count)))
    bad = [answer for answer in answers if answer.returncode != 0]
    expect(f"{count} of {command} in parallel", not bad, f"{len(bad)} failed, the first: {bad[0].stderr if bad else ''}")
    return answers


SERVER = """
import selectors, socket, sys
sockets = selectors.DefaultSelector()
for kind, port in (("t", 80), ("t", 81), ("t", 82), ("u", 53)):
    s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM if kind == "t" else socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", port))
    if kind == "t": s.listen()
    sockets.register(s, selectors.EVENT_READ, (kind, port))
print("ready", flush=True)
while True:
    for key, _ in sockets.select():
        kind, port = key.data
        answer = f"{sys.argv[1]}:{port}".encode()
        if kind == "t":
            connection, _ = key.fileobj.accept()
            connection.sendall(answer)
            connection.close()
        else:
            _, peer = key.fileobj.recvfrom(100)
            key.fileobj.sendto(answer, peer)
"""

CLIENT = """
import socket, sys
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((address, port))
if kind == "udp": s.send(b"?")
print(s.recv(100).decode())
"""


def serve(number):
    server = subprocess.Popen(
        ["ip", "netns", "exec", f"c{number}", sys.executable, "-c", SERVER, str(number)], stdout=subprocess.PIPE, text=True)
    server.stdout.readline()
    return server


def ask(namespace, kind, address, port):
    prefix = ["ip", "netns", "exec", namespace] if namespace else []
    client = [*prefix, sys.executable, "-c", CLIENT, kind, address, str(port)]
    return subprocess.run(client, capture_output=True, text=True).stdout.strip()


def try_traffic(numbers):
    servers = [serve(number) for number in numbers]
    try:
        for number in numbers:
            first = 20000 + 4 * number
            for namespace, address in (("client", HOST), ("client", HOST6), (None, HOST), (None, "127.0.0.1")):
                for kind, offset, port in (("tcp", 0, 80), ("tcp", 1, 81), ("udp", 2, 53), ("tcp", 3, 82)):
                    # Asked for at one address, or for those of IPv4 only.
                    if (offset == 3 and address != HOST) or (offset == 2 and address == HOST6):
                        continue
                    got = ask(namespace, kind, address, first + offset)
                    expect(f"{kind} from {namespace or 'the host'} to {address} port {first + offset}",
                           got == f"{number}:{port}", got)  # fmt: skip
    finally:
        for server in servers:
            server.kill()
            server.wait()


def executed(command):
    """The programs that an ADD or DEL of container 0 executes."""
    trace = "/run/execve"
    answer = call(command, 0, prefix=("strace", "-f", "-qq", "-e", "trace=execve,execveat", "-o", trace))
    expect(f"{command} under strace", answer.returncode == 0, answer.stderr)
    lines = Path(trace).read_text().splitlines()
    # The end of a call may be on a line of its own; one that found nothing to execute says so.
    begun = [line for line in lines if " = -1 " not in line]
    return [match[1] for match in (re.search(r'execve\("([^"]*)"', line) for line in begun) if match]


def main():
    executable = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PRODUCT", ".build/install/cni"))
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    sys.argv[1:] = [executable, str(count)]
    enter_private_namespaces()
    os.mkdir("/run/net.d")
    Path("/run/net.d/10-chain.conflist").write_text(json.dumps(network("chain")))
    # The last plugin refuses it: there is no such setting.
    failing = network("failing")
    failing["plugins"][-1]["sysctl"] = {"net.core.there_is_no_such_setting": "1"}
    Path("/run/net.d/20-failing.conflist").write_text(json.dumps(failing))
    PLUGINS.mkdir()
    first = PLUGINS / "cnitool"
    first.write_bytes(Path(executable).read_bytes())
    first.chmod(0o755)
    for name in output(executable, "--list-names").split():
        (PLUGINS / name).hardlink_to(first)

    # A host on a network with one client.
    for command in (
        "link set lo up", "netns add client", "link add up0 type veth peer name eth0 netns client", "link set up0 up",
        f"address add {HOST}/24 dev up0", f"address add {HOST6}/64 dev up0 nodad", "-n client link set lo up",
        "-n client link set eth0 up", "-n client address add 192.0.2.2/24 dev eth0",
        "-n client address add 2001:db8::2/64 dev eth0 nodad"):  # fmt: skip
        subprocess.run(["ip", *command.split()], check=True)
    for number in range(count):
        subprocess.run(["ip", "netns", "add", f"c{number}"], check=True)

    # As the first network with a gateway will have it, to which the kernel adds addresses of its own.
    for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        Path("/proc/sys/net", setting).write_text("1")
    links_settle()
    before = host()
    in_parallel("add", count)
    expect("the tools of an administrator print the rules", "10.22." in output("nft", "-j", "list", "ruleset"))
    in_parallel("check", count)
    try_traffic([0, count // 2, count - 1])
    in_parallel("del", count)
    compare(f"after {count} containers came and went", before, host())

    answer = call("add", 0, "failing")
    expect("an ADD whose last plugin fails fails", answer.returncode != 0, answer.stdout)
    expect("and says why", "there_is_no_such_setting" in answer.stderr, answer.stderr)
    compare("after a failed ADD", before, host())

    for command, least in (("add", 6), ("del", 6)):
        programs = executed(command)
        strangers = [program for program in programs if Path(program).parent != PLUGINS]
        expect(f"{command} executes the plugins", len(programs) >= least, programs)
        expect(f"{command} executes nothing else", not strangers, strangers)
    compare("after one under strace", before, host())
    sys.exit(tally.close())


if __name__ == "__main__":
    main()
