"""The throw-away host that a container runtime has to itself, and a machine outside that talks to it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
TOOLS = TESTS.parent / ".build/runtimes"
for directory in (TESTS / "differential", TESTS.parent / "Scripts"):
    sys.path.insert(0, str(directory))

import remains  # noqa: E402
from host import inside, ip  # noqa: E402

PLUGINS = Path("/run/cni-bin")
# Where Debian's containerd, and others, look for plugins if they are told nothing: there they find the same.
ELSEWHERE = ("/usr/lib/cni", "/opt/cni/bin")
NETWORKS = Path("/etc/cni/net.d")
HOST = {4: "192.0.2.1", 6: "2001:db8::1"}
OUTSIDE = {4: "192.0.2.2", 6: "2001:db8::2"}
LOCAL = {4: "127.0.0.1", 6: "::1"}
# A runtime keeps things in all of these.
PRIVATE = ("/run", "/var/lib", "/var/tmp", "/var/log", "/var/cache", "/dev/shm", "/etc/cni", "/etc/containers",
           "/etc/containerd")  # fmt: skip


def build(executable):
    """Makes this process' namespaces a host, whose only CNI plugins are the executable's, with a network and a client."""
    for directory in PRIVATE:
        if os.path.isdir(directory):
            subprocess.run(["mount", "-t", "tmpfs", "none", directory], check=True)
    cover_opt()
    for directory in (PLUGINS, NETWORKS, "/run/netns", "/var/lib/cni", "/run/cni"):
        Path(directory).mkdir(parents=True, exist_ok=True)
    os.environ.update(HOME="/run/home", TMPDIR="/var/tmp", XDG_RUNTIME_DIR="/run")
    os.mkdir("/run/home")
    install(executable, PLUGINS)
    for directory in ELSEWHERE:
        if os.path.isdir(directory):
            subprocess.run(["mount", "--bind", str(PLUGINS), directory], check=True)
    ip("link", "set", "lo", "up")
    ip("netns", "add", "client")
    ip("link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", "client")
    ip("link", "set", "up0", "up")
    ip("-n", "client", "link", "set", "lo", "up")
    ip("-n", "client", "link", "set", "eth0", "up")
    for family, length in ((4, "24"), (6, "64")):
        unique = ["nodad"] if family == 6 else []
        ip("address", "add", f"{HOST[family]}/{length}", "dev", "up0", *unique)
        ip("-n", "client", "address", "add", f"{OUTSIDE[family]}/{length}", "dev", "eth0", *unique)
    # The way to containers' own addresses, for whom the host lets in.
    ip("-n", "client", "route", "add", "10.0.0.0/8", "via", HOST[4])
    ip("-n", "client", "route", "add", "fd00::/8", "via", HOST[6])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
    remains.links_settle()


def cover_opt():
    """containerd makes directories in /opt, where other programs are that may be needed: it can be written, and is as before."""
    for directory in ("/opt", "/run/opt/upper", "/run/opt/work"):
        Path(directory).mkdir(parents=True, exist_ok=True)
    layers = "lowerdir=/opt,upperdir=/run/opt/upper,workdir=/run/opt/work"
    subprocess.run(["mount", "-t", "overlay", "-o", layers, "none", "/opt"], check=True)
    Path("/opt/cni/bin").mkdir(parents=True, exist_ok=True)


def install(executable, directory):
    """Puts every plugin there, one file under many names. Of a directory, what is in it."""
    if os.path.isdir(executable):
        for name in ("upper", "work"):
            Path("/run/plugins", name).mkdir(parents=True)
        layers = f"lowerdir={executable},upperdir=/run/plugins/upper,workdir=/run/plugins/work"
        subprocess.run(["mount", "-t", "overlay", "-o", layers, "none", str(directory)], check=True)
    else:
        tool = Path(directory, "cnitool")
        shutil.copyfile(executable, tool)
        tool.chmod(0o755)
        for name in remains.output(str(tool), "--list-names").split():
            Path(directory, name).hardlink_to(tool)
    hold = Path(directory, "hold")
    hold.write_text(HOLD)
    hold.chmod(0o755)


@contextmanager
def without_plugin(name):
    """Nobody finds it meanwhile."""
    plugin, aside = PLUGINS / name, PLUGINS / f"{name}.aside"
    plugin.rename(aside)
    try:
        yield
    finally:
        aside.rename(plugin)


HOLD = """#!/bin/sh
# Stands after a plugin of a chain. While /run/hold has a command and a number, it counts what it is called for, whichever of its places
# in a chain that is, and from that number on waits there.
if read -r command number 2>/dev/null </run/hold && [ "$CNI_COMMAND" = "$command" ]; then
  call=1
  while [ -e /run/hold ] && ! mkdir "/run/calls/$call" 2>/dev/null; do call=$((call + 1)); done
  if [ "$call" -ge "$number" ]; then
    echo "$PPID" >/run/held
    while [ -e /run/hold ]; do sleep 0.05; done
  fi
fi
case $CNI_COMMAND in
  ADD | VERSION) exec "${0%/*}/portmap" ;;
esac
"""


def ask(where, kind, address, port, seconds=15):
    """What is answered at the port, to one who asks from the network namespace `where` (a name, a path, None for the host):
    the answer, or the name of the error."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(where) if where else here():
        asker = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    with asker:
        asker.settimeout(seconds)
        try:
            asker.connect((address, port))
            return (asker.recv(300) if kind == "tcp" else ask_again(asker, seconds)).decode()
        except OSError as error:
            return type(error).__name__


def ask_again(asker, seconds):
    """A datagram may be lost: asks each second, until there is an answer or it is too late."""
    deadline = time.monotonic() + seconds
    while True:
        asker.send(b"?")
        left = deadline - time.monotonic()
        asker.settimeout(max(min(left, 1), 0.01))
        try:
            return asker.recv(300)
        except TimeoutError:
            if left <= 1:
                raise


@contextmanager
def here():
    yield


def start(*command, where=None, log="/run/log", **environment):
    """Starts a program that goes on running, in a namespace."""
    with inside(where) if where else here(), open(log, "ab") as file:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env={**os.environ, **environment})  # fmt: skip


def run(*command, check=True, seconds=120, **environment):
    """Runs a program to its end, and gives what it says."""
    process = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
        env={**os.environ, **environment})  # fmt: skip
    if check and process.returncode != 0:
        raise Failure(f"{' '.join(command)}: exit status {process.returncode}: {process.stderr.strip()[-1500:]}")
    return process if not check else process.stdout.strip()


def leases(*networks):
    """The addresses that host-local has given in these networks, and not got back."""
    return sorted(path.name for name in networks for path in Path("/var/lib/cni/networks", name).glob("*")
                  if not path.name.startswith(remains.KEPT))  # fmt: skip


def end(pid, number=signal.SIGKILL):
    """Sends a signal to a process, which may have come to its end."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def answering(name):
    """The process that answers by that name. Before it is that, it is the runtime's."""
    def find():
        return [int(path.name) for path in Path("/proc").glob("[0-9]*")
                if command_line(path.name)[:2] == ["/bin/answer", name]]  # fmt: skip

    return required(f"{name} runs", find, 30)[0]


def command_line(pid):
    """The words of a process' command line; one empty word if it is gone."""
    try:
        return Path("/proc", pid, "cmdline").read_text().split("\0")
    except OSError:
        return [""]


class Failure(Exception):
    """A step without which the following ones make no sense has failed."""


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(0.05)


def required(what, condition, seconds=30):
    """Waits for what the following steps build on; gives what the condition gives."""
    value = wait_until(condition, seconds)
    if not value:
        raise Failure(f"not after {seconds} seconds: {what}")
    return value
