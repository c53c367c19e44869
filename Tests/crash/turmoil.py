"""A host that does not hold still: links that come and go a thousand times a second, rules that are flushed, a firewalld
that is reloaded, while containers come and go."""

import copy
import ipaddress
import itertools
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kernel
import world as worlds
from world import NAMESPACES, World, chain

CONTAINERS = 12
ROUNDS = 3
# So many that no table of theirs fits into one datagram.
LINKS = 150
LINKS_AT_ONCE = 100
CHANGES_WANTED = 1000
# How often the containers come and go at most until the kernel has interrupted a dump of theirs.
ROUNDS_AT_MOST = 20
NEWLINK, DELLINK = 16, 17
LINK_GROUP = 1
SO_RCVBUFFORCE = 33


def attribute(kind, value):
    data = struct.pack("=HH", 4 + len(value), kind) + value
    return data + bytes(-len(data) % 4)


def message(kind, flags, body):
    return struct.pack("=IHHII", 16 + len(body), kind, flags | 1, 0, 0) + body


def link(name, kind, group=0):
    info = attribute(18, attribute(1, kind.encode()))
    return message(NEWLINK, 0x600, struct.pack("=BxHiII", 0, 0, 0, 0, 0) + attribute(3, name.encode() + b"\0")
                   + attribute(27, struct.pack("=I", group)) + info)  # fmt: skip


class Changes:
    """Links that come and go, until the end of `with`. They are of the kind that is soonest made and removed; bandwidth has
    some of it, too.

    `rate` is how many came or went in a second, as the kernel told it."""

    KIND = "ifb"

    def __init__(self):
        self.told = Counter()
        self.ended = threading.Event()

    def __enter__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        for number in range(LINKS):
            self.socket.send(link(f"still{number}", self.KIND))
        names = {}
        kernel.network(names)
        missing = {f"still{number}" for number in range(LINKS)} - set(names.values())
        if missing:
            raise OSError(f"{len(missing)} links of the kind {self.KIND} could not be made")
        self.listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self.listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self.listener.settimeout(0.2)
        self.listener.bind((0, LINK_GROUP))
        self.started = time.monotonic()
        self.threads = [threading.Thread(target=work) for work in (self.work, self.listen)]
        for thread in self.threads:
            thread.start()
        return self

    def work(self):
        # All of the group in one message: each deletion by itself would wait for a grace period of the kernel's.
        deletion = message(DELLINK, 0, struct.pack("=BxHiII", 0, 0, 0, 0, 0) + attribute(27, struct.pack("=I", 77)))
        creation = b"".join(link(f"moving{number}", self.KIND, 77) for number in range(LINKS_AT_ONCE))
        for count in itertools.count(1):
            self.socket.send(creation)
            self.socket.send(deletion)
            if self.ended.is_set():
                return
            # Room for the others.
            rest = count * 2 * LINKS_AT_ONCE / (1.5 * CHANGES_WANTED) - (time.monotonic() - self.started)
            if rest > 0:
                time.sleep(rest)

    def listen(self):
        while True:
            try:
                data = self.listener.recv(1 << 18)
            except TimeoutError:
                if self.ended.is_set():
                    return
                continue
            except OSError:
                # What did not fit is not counted.
                continue
            offset = 0
            while offset < len(data):
                length, kind = struct.unpack_from("=IH", data, offset)
                # A link that is new has all its flags changed; others are only up, or have another master.
                if kind == DELLINK or struct.unpack_from("=I", data, offset + 28)[0] == 0xFFFFFFFF:
                    self.told[kind] += 1
                offset += (length + 3) & ~3

    def __exit__(self, *_):
        seconds = time.monotonic() - self.started
        self.rate = self.told.total() / seconds
        self.ended.set()
        for thread in self.threads:
            thread.join()
        self.socket.close()
        self.listener.close()


class Repeated:
    """Commands that are run again and again, until the end of `with`; each has to succeed."""

    def __init__(self, *commands, pause=0.02):
        self.commands = commands
        self.pause = pause
        self.count = 0
        self.errors = []
        self.ended = threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
        return self

    def work(self):
        while not self.ended.wait(self.pause):
            for command in self.commands:
                process = subprocess.run(command.split(), capture_output=True, text=True)
                if process.returncode != 0:
                    self.errors.append(f"{command}: exit status {process.returncode}: {process.stderr.strip()}")
            self.count += 1

    def once_more(self):
        """Until all of the commands have run from beginning to end."""
        wanted, deadline = self.count + 2, time.monotonic() + 120
        while self.count < wanted and time.monotonic() < deadline:
            time.sleep(0.01)

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def problems(self):
        if not self.count:
            return [f"not run even once: {self.commands[0]}"]
        return [*self.errors[:3], *([f"and {len(self.errors) - 3} more"] if len(self.errors) > 3 else [])]


class Containers:
    """Several of one world, each with ports of its own, that are attached and deleted four at a time."""

    def __init__(self, world):
        self.world = world
        self.names = [f"c{number}" for number in range(CONTAINERS)]
        self.calls = 0
        self.addresses = {}
        # What their ADD said, though it succeeded.
        self.said = {}
        self.worlds = {}
        for number, name in enumerate(self.names):
            # One's own environment, and all else in common.
            each = self.worlds[name] = copy.copy(world)
            each.environment = {**world.environment, "CAP_ARGS": json.dumps({"portMappings": self.ports(number)})}

    @staticmethod
    def ports(number):
        return [{"hostPort": 20000 + number, "containerPort": 80, "protocol": "tcp"},
                {"hostPort": 20000 + number, "containerPort": 53, "protocol": "udp"}]  # fmt: skip

    def __enter__(self):
        for name in self.names[1:]:
            worlds.make_container(name)
        return self

    def __exit__(self, *_):
        for name in self.names[1:]:
            worlds.remove_container(name)

    def need(self, command, names=None):
        """Each of them has to succeed."""
        names = self.names if names is None else names
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda name: self.worlds[name].need(command, name), names))
        self.calls += len(names)
        for name, answer in zip(names, answers):
            if command == "add":
                given = json.loads(answer.text)["ips"]
                addresses = [ipaddress.ip_interface(each["address"]).ip for each in given]
                self.addresses[name] = [ipaddress.ip_interface(each) for each in addresses]
                self.said[name] = answer.error
            elif command == "del":
                self.addresses.pop(name, None)

    def collect(self):
        """GC, which knows of none of them."""
        self.world.need("gc")
        self.addresses = {}
        self.calls += 1


# Whoever locks a file that others remove locks nothing: it stays.
LOCKS = ("firewall.lock",)


def expect_nothing(world, problems, is_theirs=lambda line: False):
    problems += [f"afterwards: {line}" for line in world.left() if not line.endswith(LOCKS) and not is_theirs(line)]


def changing_links(rounds, problems):
    """Dumps that the kernel marks as interrupted."""
    world = World()
    interrupted = Counter()
    with Changes() as changes, Containers(world) as containers:
        for _ in range(rounds):
            for command in ("add", "check", "del"):
                containers.need(command)
        for count in range(ROUNDS_AT_MOST):
            for command in ("add", "check", "del", "add", "gc"):
                interrupted[command.upper()] += traced(world, command)
                containers.calls += 1
            if count + 1 >= rounds and interrupted.total():
                break
    expect_nothing(world, problems, lambda line: "still" in line or "moving" in line)
    if not changes.told[NEWLINK] or not changes.told[DELLINK]:
        problems.append("no link came or went")
    if not interrupted.total():
        problems.append(f"in {ROUNDS_AT_MOST} rounds the kernel interrupted no dump")
    met = ", ".join(f"{number} of {command}" for command, number in interrupted.items() if number) or "none"
    note = (f"{changes.told[NEWLINK]} links came and {changes.told[DELLINK]} went, {changes.rate:.0f} changes a second; "
            f"dumps that were interrupted: {met}, in {count + 1} rounds")  # fmt: skip
    return f"{note}, {containers.calls} calls"


# A dump that was interrupted: whose, by which socket, and which of its questions.
INTERRUPTED = re.compile(r"(\d+) .*?(?:recvfrom|recvmsg)\((\d+), .*?nlmsg_flags=[\w|]*NLM_F_DUMP_INTR.*?nlmsg_seq=(\d+)")


def traced(world, command):
    """Calls it under strace; says how many dumps of its were interrupted."""
    trace = Path(f"/run/trace-{os.getpid()}")
    words = [worlds.TOOL, command, worlds.NETWORK, *([] if command == "gc" else [str(NAMESPACES / "c0")])]
    process = subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-o", str(trace), "-e", "trace=recvfrom,recvmsg", *words],
        env=world.environment, capture_output=True, text=True, timeout=worlds.TIME_LIMIT)  # fmt: skip
    if process.returncode != 0:
        raise OSError(f"{command} under strace: {process.stderr.strip()}")
    return len({found.groups() for found in map(INTERRUPTED.match, trace.read_text(errors="replace").splitlines()) if found})


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


BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><auth>EXTERNAL</auth><listen>unix:path=/run/dbus/system_bus_socket</listen>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/>
<allow receive_type="signal"/></policy></busconfig>
"""


class Firewalld:
    """A bus and a firewalld in the worker's namespaces, with a copy of the machine's configuration."""

    def __enter__(self):
        copy_of_it = Path(f"/run/firewalld-{os.getpid()}")
        shutil.rmtree(copy_of_it, ignore_errors=True)
        shutil.copytree("/etc/firewalld", copy_of_it)
        shutil.rmtree(copy_of_it / "zones", ignore_errors=True)
        (copy_of_it / "zones").mkdir()
        Path("/run/dbus").mkdir(exist_ok=True)
        Path("/run/firewalld").mkdir(exist_ok=True)
        worlds.checked(
            worlds.LIBC.mount(str(copy_of_it).encode(), b"/etc/firewalld", None, worlds.MS_BIND, None), "mount")
        configuration = Path(f"/run/bus-{os.getpid()}.conf")
        configuration.write_text(BUS)
        self.bus = subprocess.Popen(
            ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--nopidfile", "--print-address=1"],
            stdout=subprocess.PIPE, text=True)  # fmt: skip
        self.bus.stdout.readline()
        self.daemon = subprocess.Popen(["firewalld", "--nofork", "--nopid"], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)  # fmt: skip
        for _ in range(200):
            if subprocess.run(["firewall-cmd", "--state"], capture_output=True).returncode == 0:
                return self
            time.sleep(0.1)
        raise OSError("firewalld does not answer")

    def __exit__(self, *_):
        for process in (self.daemon, self.bus):
            process.terminate()
            process.wait(timeout=30)
        worlds.LIBC.umount2(b"/etc/firewalld", worlds.MNT_DETACH)
        Path("/run/dbus/system_bus_socket").unlink(missing_ok=True)


RELOAD = "firewall-cmd --reload"
# The same call without the time that its program takes to start.
RELOADS = (RELOAD, *4 * ("dbus-send --system --print-reply --dest=org.fedoraproject.FirewallD1 "
                         "/org/fedoraproject/FirewallD1 org.fedoraproject.FirewallD1.reload",))  # fmt: skip


def expect_sources(containers, when, problems):
    """firewalld knows the addresses of those that are attached, now and after a reload, and no others."""
    wanted = {str(address) for addresses in containers.addresses.values() for address in addresses}
    for kind in ("", "--permanent "):
        command = f"firewall-cmd {kind}--zone=trusted --list-sources".split()
        found = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
        for what, these in (("does not know", wanted - found), ("still knows", found - wanted)):
            said = {containers.said[name] for name, addresses in containers.addresses.items()
                    if not these.isdisjoint(map(str, addresses))}  # fmt: skip
            if these:
                problems.append(f"{when}: firewalld {what} {kind}{' '.join(sorted(these))}; their ADD said: {said or 'nothing'}")


def reloaded(rounds, problems):
    """`firewall-cmd --reload`, which forgets all that was told at run time."""
    world = World()
    with Firewalld():
        for _ in range(2):
            # Its first reload settles what it makes at start.
            subprocess.run(RELOAD.split(), capture_output=True, check=True)
        world.before = kernel.host()
        with Containers(world) as containers:
            expect_sources(containers, "before", problems)
            containers.need("add")
            containers.need("check")
            expect_sources(containers, "attached", problems)
            with Repeated(*RELOADS, pause=0) as reload:
                reload.once_more()
                for _ in range(rounds + 1):
                    containers.need("del", containers.names[1::2])
                    containers.need("add", containers.names[1::2])
            problems += reload.problems()
            expect_sources(containers, "after reloads", problems)
            for name in containers.names:
                answer = containers.worlds[name].call("check", name)
                if answer.failed:
                    problems.append(f"CHECK of {name} after reloads: {answer.error}")
            with Repeated(*RELOADS, pause=0) as again:
                again.once_more()
                containers.need("del", containers.names[::2])
                containers.collect()
            problems += again.problems()
        expect_sources(containers, "afterwards", problems)
        subprocess.run(RELOAD.split(), capture_output=True, check=True)
        expect_nothing(world, problems)
        expect_sources(containers, "after the last reload", problems)
    return f"reloaded {(reload.count + again.count) * len(RELOADS)} times, {containers.calls} calls"


TURMOILS = {"1,000 changes a second": changing_links, "iptables -F": flushed, "firewall-cmd --reload": reloaded}


def attempt(what, rounds):
    note, problems = "", []
    try:
        note = TURMOILS[what](rounds, problems)
    except Exception as error:
        problems.append(f"{type(error).__name__}: {error}")
    return note, problems
