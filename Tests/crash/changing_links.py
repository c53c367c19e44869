"""Links that come and go a thousand times a second, while containers come and go."""

import itertools
import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import kernel
import world as worlds
from crowd import Containers, expect_nothing
from world import NAMESPACES, World

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
        creations = [link(f"moving{number}", self.KIND, 77) for number in range(LINKS_AT_ONCE)]
        for count in itertools.count():
            for number, creation in enumerate(creations, 1):
                self.socket.send(creation)
                # One after the other: a dump meets them at any time.
                rest = 2 * (count * LINKS_AT_ONCE + number) / (1.5 * CHANGES_WANTED) - (time.monotonic() - self.started)
                if rest > 0:
                    time.sleep(rest)
            self.socket.send(deletion)
            if self.ended.is_set():
                return

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
