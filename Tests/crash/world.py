"""Throw-away hosts, thousands of them: each is a network namespace that a worker moves into, and a container's."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "differential"))

import kernel  # noqa: E402
from host import NAMESPACES, STATE, inside  # noqa: E402
from throwaway import CLONE_NEWNET, LIBC, checked  # noqa: E402

AXE = "/run/axe"
TOOL = "/run/cni-bin/cnitool"
NETWORK = "chain"
MS_BIND, MNT_DETACH = 4096, 2
TIME_LIMIT = 120


def chain():
    """The chain that clusters run, with everything in it that leaves something somewhere."""
    ranges = [[{"subnet": "10.22.0.0/16"}], [{"subnet": "fd00:22::/64"}]]
    return {
        "cniVersion": "1.1.0", "name": NETWORK,
        "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True,
             "ipam": {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": True}},
            {"type": "firewall"},
            {"type": "bandwidth", "ingressRate": 1_000_000_000, "ingressBurst": 80_000_000,
             "egressRate": 1_000_000_000, "egressBurst": 80_000_000},
            {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}, "mtu": 1400},
        ],
    }  # fmt: skip


PORTS = [
    {"hostPort": 20000, "containerPort": 80, "protocol": "tcp"}, {"hostPort": 20001, "containerPort": 53, "protocol": "udp"},
]  # fmt: skip
NEIGHBOURS_PORTS = [{**port, "hostPort": port["hostPort"] + 10} for port in PORTS]


def new_namespace():
    checked(LIBC.unshare(CLONE_NEWNET), "unshare")


def make_container(name):
    path = NAMESPACES / name
    path.touch()
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        new_namespace()
        checked(LIBC.mount(b"/proc/self/ns/net", str(path).encode(), None, MS_BIND, None), f"mount {path}")
    finally:
        checked(LIBC.setns(home, CLONE_NEWNET), "setns")
        os.close(home)


def remove_container(name):
    path = NAMESPACES / name
    if path.exists():
        LIBC.umount2(str(path).encode(), MNT_DETACH)
        path.unlink()


def switch_on(link):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", link.encode(), 1))  # SIOCSIFFLAGS, IFF_UP


def empty(directory):
    for entry in Path(directory).iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


class Answer:
    """What a command gave."""

    def __init__(self, status, text, error, hangs=False):
        self.hangs = hangs
        self.status = status
        self.text = text
        self.error = f"it hangs {error.strip()}".strip() if hangs else error.strip()

    @property
    def failed(self):
        return self.status != 0

    @property
    def died(self):
        return self.status >= 128 or self.status < 0


def run(words, environment):
    """A program and what it starts. Where it hangs, nothing of it goes on into the next world."""
    process = subprocess.Popen(words, env=environment, text=True, errors="replace", stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip
    hangs = False
    try:
        text, error = process.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        hangs = True
        os.killpg(process.pid, signal.SIGKILL)
        text, error = process.communicate()
    return Answer(124 if hangs else process.returncode, text, error, hangs)


FRESH = []


class World:
    """A host and its container `c0`; with `neighbour` a second container that has been attached before and stays so."""

    made = False  # one before this one, by the same process

    def __init__(self, processes=False, neighbour=False, configuration=None, plugins=None):
        if World.made:
            kernel.remove_links()
        World.made = True
        for name in ("c0", "neighbour"):
            remove_container(name)
        for state in STATE:
            empty(state)
        new_namespace()
        switch_on("lo")
        make_container("c0")
        self.configurations = Path(f"/run/cni-worker-{os.getpid()}")
        self.configurations.mkdir(exist_ok=True)
        empty(self.configurations)
        self.configure(configuration or chain())
        self.environment = {
            "PATH": os.environ["PATH"], "NETCONFPATH": str(self.configurations),
            "CAP_ARGS": json.dumps({"portMappings": PORTS}),
            # The order of what is in a set is the same each time, and with it that of the calls.
            "SWIFT_DETERMINISTIC_HASHING": "1",
        }  # fmt: skip
        if processes:
            self.environment["CNI_PATH"] = plugins or "/run/cni-bin"
        self.neighbour = neighbour
        if neighbour:
            make_container("neighbour")
            self.need("add", "neighbour", ports=NEIGHBOURS_PORTS)
            self.neighbour_before = self.container("neighbour")
            self.contents_before = kernel.contents()
            self.before, self.container_before = kernel.host(), self.container()
        else:
            # A fresh host is like any other.
            if not FRESH:
                FRESH.append((kernel.host(), self.container()))
            self.before, self.container_before = FRESH[0]

    def configure(self, configuration):
        Path(self.configurations, "10.conflist").write_text(json.dumps(configuration))

    def call(self, command, container="c0", axe=(), ports=None):
        """`cnitool` with a command of its; under the axe with these options. Ports are PORTS, if not others, or none: []."""
        words = [TOOL, command, NETWORK]
        if command == "gc":
            if self.neighbour:
                words += ["--keep", self.neighbour_attachment]
        else:
            words.append(str(NAMESPACES / container))
        environment = self.environment
        if ports is not None:
            environment = {**environment, "CAP_ARGS": json.dumps({"portMappings": ports} if ports else {})}
        if axe:
            words = [AXE, *axe, "--", *words]
        return run(words, environment)

    @property
    def neighbour_attachment(self):
        digest = hashlib.sha512(str(NAMESPACES / "neighbour").encode()).digest()[:10].hex()
        return f"cnitool-{digest}/eth0"

    def need(self, command, container="c0", ports=None):
        answer = self.call(command, container, ports=ports)
        if answer.failed:
            raise OSError(f"{command} of {container} on a sound host: {answer.error}")
        return answer

    def container(self, name="c0"):
        if not (NAMESPACES / name).exists():
            return None
        with inside(name):
            return kernel.container()

    def left(self):
        """What is not as it was before; nothing, if all is well."""
        lines = kernel.differences(self.before, kernel.host())
        container = self.container()
        if container is not None and self.container_before is not None:
            lines += ["container's " + line for line in kernel.differences(self.container_before, container)]
        if self.neighbour:
            neighbours = kernel.differences(self.neighbour_before, self.container("neighbour"))
            lines += ["neighbour's " + line for line in neighbours]
            now = kernel.contents()
            lines += [f"files: changed: {file}" for file, content in self.contents_before.items()
                      if now.get(file, content) != content]  # fmt: skip
        return lines

    def neighbour_is_well(self):
        """What its CHECK says; nothing, if all is well or there is none."""
        if not self.neighbour:
            return []
        answer = self.call("check", "neighbour", ports=NEIGHBOURS_PORTS)
        return [f"neighbour's CHECK: {answer.error}"] if answer.failed else []

    def attached(self):
        """Host and container as one, to hold two attachments against each other."""
        return {**kernel.host(), **{f"container's {key}": value for key, value in (self.container() or {}).items()}}

    def container_goes(self):
        remove_container("c0")
        self.container_before = None

    def container_comes(self):
        if not (NAMESPACES / "c0").exists():
            make_container("c0")
            self.container_before = self.container()

    def cache_goes(self):
        shutil.rmtree("/var/lib/cni/results", ignore_errors=True)
