"""The throw-away host that a container runtime has to itself, and a machine outside that talks to it."""

import os
import shutil
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
PRIVATE = ("/run", "/var/lib", "/var/tmp", "/dev/shm", "/etc/cni", "/etc/containers", "/etc/containerd")


def build(executable):
    """Makes this process' namespaces a host, whose only CNI plugins are the executable's, with a network and a client."""
    for directory in PRIVATE:
        if os.path.isdir(directory):
            subprocess.run(["mount", "-t", "tmpfs", "none", directory], check=True)
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


def install(executable, directory):
    """Puts every plugin there, one file under many names. Of a directory, what is in it."""
    hold = Path(directory, "hold")
    hold.write_text(HOLD)
    hold.chmod(0o755)
    if os.path.isdir(executable):
        layers = f"lowerdir={directory}:{executable}"
        subprocess.run(["mount", "-t", "overlay", "-o", layers, "none", str(directory)], check=True)
        return
    tool = Path(directory, "cnitool")
    shutil.copyfile(executable, tool)
    tool.chmod(0o755)
    for name in remains.output(str(tool), "--list-names").split():
        Path(directory, name).hardlink_to(tool)


HOLD = """#!/bin/sh
# The last plugin of a chain. While /run/hold is there, it stops an ADD for which everything has been done already.
case $CNI_COMMAND in
  VERSION) ;;
  ADD) if [ -e /run/hold ]; then touch /run/held; fi
    while [ -e /run/hold ]; do sleep 0.05; done ;;
  *) exit 0 ;;
esac
exec "${0%/*}/portmap"
"""


@contextmanager
def chains_held():
    """Gives what waits until an ADD has come to the plugin `hold`. There it ends with the body."""
    Path("/run/hold").touch()
    try:
        yield lambda: wait_until(Path("/run/held").exists, 30)
    finally:
        for file in ("/run/hold", "/run/held"):
            Path(file).unlink(missing_ok=True)


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
            if kind == "udp":
                asker.send(b"?")
            return asker.recv(300).decode()
        except OSError as error:
            return type(error).__name__


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
