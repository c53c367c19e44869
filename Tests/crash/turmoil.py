"""A host that does not hold still: links that come and go a thousand times a second, rules that are flushed, a firewalld
that is reloaded, while containers come and go."""

import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kernel
import world as worlds
from world import World, chain

CONTAINERS = 12
ROUNDS = 3
# So many that no table of theirs fits into one datagram.
LINKS = 150
CHANGES_WANTED = 1000
NEWLINK, DELLINK, NEWADDR, DELADDR = 16, 17, 20, 21


def attribute(kind, value):
    data = struct.pack("=HH", 4 + len(value), kind) + value
    return data + bytes(-len(data) % 4)


def message(kind, flags, body):
    return struct.pack("=IHHII", 16 + len(body), kind, flags | 1, 0, 0) + body


def link(name, kind, group=0):
    info = attribute(18, attribute(1, kind.encode()))
    return message(NEWLINK, 0x600, struct.pack("=BxHiII", 0, 0, 0, 0, 0) + attribute(3, name.encode() + b"\0")
                   + attribute(27, struct.pack("=I", group)) + info)  # fmt: skip


def address(kind, index, number):
    value = struct.pack("!BBBB", 198, 18 + number // 65536 % 2, number // 256 % 256, number % 256)
    return message(kind, 0x600 if kind == NEWADDR else 0,
                   struct.pack("=BBBBi", socket.AF_INET, 32, 0, 0, index) + attribute(2, value)
                   + attribute(1, value))  # fmt: skip


class Changes:
    """Links and addresses that come and go, until the end of `with`."""

    def __init__(self, kind="bridge"):
        self.kind = kind
        self.count = 0
        self.ended = threading.Event()

    def __enter__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        for number in range(LINKS):
            self.socket.send(link(f"still{number}", self.kind))
        names = {}
        kernel.network(names)
        index = {name: number for number, name in names.items()}
        indices = [index[f"still{number}"] for number in range(LINKS)]
        for number in range(LINKS * 4):
            self.socket.send(address(NEWADDR, indices[number % LINKS], number))
        self.index = indices[0]
        self.started = time.monotonic()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
        return self

    def work(self):
        while not self.ended.is_set():
            for number in range(4):
                self.socket.send(link(f"moving{number}", self.kind, 77))
                # As one message after the other would have to wait for everybody else each time.
                self.socket.send(b"".join(address(NEWADDR, self.index, 100_000 + host) for host in range(100)))
                self.socket.send(b"".join(address(DELADDR, self.index, 100_000 + host) for host in range(100)))
            # All of the group in one message: each deletion by itself would wait for a grace period of the kernel's.
            group = attribute(27, struct.pack("=I", 77))
            self.socket.send(message(DELLINK, 0, struct.pack("=BxHiII", 0, 0, 0, 0, 0) + group))
            self.count += 4 * 200 + 8
            # Room for the others.
            rest = self.count / (2 * CHANGES_WANTED) - (time.monotonic() - self.started)
            if rest > 0:
                time.sleep(rest)

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.rate = self.count / (time.monotonic() - self.started)
        self.socket.close()


class Repeated:
    """A command that is run again and again, until the end of `with`."""

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
                    self.errors.append(f"{command}: {process.stderr.strip()}")
            self.count += 1

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def come_and_go(world, problem, rounds, checks=True):
    """Containers that come and go, several at a time; says how many calls there were."""
    names = [f"c{number}" for number in range(CONTAINERS)]
    for name in names[1:]:
        worlds.make_container(name)
    calls = 0
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(rounds):
                for command in ("add", "check", "del") if checks else ("add", "del"):
                    answers = pool.map(lambda name, command=command: world.call(command, name, ports=[]), names)
                    for name, answer in zip(names, answers):
                        calls += 1
                        if answer.failed:
                            problem(f"{command.upper()} of {name}: {answer.error}")
            world.call("add")
            answer = world.call("gc")
            calls += 2
            if answer.failed:
                problem(f"GC: {answer.error}")
    finally:
        for name in names[1:]:
            worlds.remove_container(name)
    return calls


def changing_links(rounds):
    """Dumps that the kernel marks as interrupted."""
    world = World()
    problems = []
    with Changes() as changes:
        calls = come_and_go(world, problems.append, rounds)
        interrupted = kernel.dump.interrupted
        for _ in range(50):
            kernel.network({})
        interrupted = kernel.dump.interrupted - interrupted
    left = [line for line in world.left() if "still" not in line and "moving" not in line and "198.1" not in line]
    problems += [f"afterwards: {line}" for line in left]
    if changes.rate < CHANGES_WANTED:
        problems.append(f"there were only {changes.rate:.0f} changes a second")
    if not interrupted:
        problems.append("the kernel interrupted no dump")
    note = f"{changes.rate:.0f} changes of links and addresses a second, {interrupted} of 250 dumps interrupted"
    return f"{note}, {calls} calls", problems


def flushed(rounds):
    """`iptables -F` of all tables, as scripts of administrators do."""
    problems = []
    configuration = chain()
    world = World(configuration=configuration)
    subprocess.run(["iptables", "-P", "FORWARD", "ACCEPT"], check=True)
    subprocess.run(["iptables", "-t", "nat", "-N", "SOMEBODYS"], check=True)
    world.before = kernel.host()
    commands = [f"{program} -t {table} -F" for program in ("iptables", "ip6tables") for table in ("filter", "nat")]
    with Repeated(*commands) as flush:
        # Between ADD and CHECK somebody has removed what CHECK looks for, where rules are in iptables.
        calls = come_and_go(world, problems.append, rounds, checks=False)
    problems += flush.errors[:3]
    problems += [f"afterwards: {line}" for line in world.left()]
    return f"flushed {flush.count} times, {calls} calls", problems


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
        copy = Path(f"/run/firewalld-{os.getpid()}")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree("/etc/firewalld", copy)
        shutil.rmtree(copy / "zones", ignore_errors=True)
        (copy / "zones").mkdir()
        Path("/run/dbus").mkdir(exist_ok=True)
        Path("/run/firewalld").mkdir(exist_ok=True)
        worlds.checked(worlds.LIBC.mount(str(copy).encode(), b"/etc/firewalld", None, worlds.MS_BIND, None), "mount")
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


def sources():
    """What firewalld was told of addresses."""
    command = ["firewall-cmd", "--zone=trusted", "--list-sources"]
    return subprocess.run(command, capture_output=True, text=True).stdout.split()


def reloaded(rounds):
    """`firewall-cmd --reload`, which forgets all that was told at run time."""
    problems = []
    world = World()
    with Firewalld():
        for _ in range(2):
            # Its first reload settles what it makes at start.
            subprocess.run(["firewall-cmd", "--reload"], capture_output=True, check=True)
        world.before = kernel.host()
        told = sources()
        with Repeated("firewall-cmd --reload", pause=0.2) as reload:
            calls = come_and_go(world, problems.append, rounds, checks=False)
        subprocess.run(["firewall-cmd", "--reload"], capture_output=True, check=True)
        problems += reload.errors[:3]
        problems += [f"afterwards: {line}" for line in world.left()]
        if sources() != told:
            problems.append(f"firewalld still knows {sources()}")
    return f"reloaded {reload.count} times, {calls} calls", problems


TURMOILS = {"1,000 changes a second": changing_links, "iptables -F": flushed, "firewall-cmd --reload": reloaded}


def attempt(what, rounds):
    try:
        note, problems = TURMOILS[what](rounds)
    except Exception as error:
        note, problems = "", [f"{type(error).__name__}: {error}"]
    return note, problems
