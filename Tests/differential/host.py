"""A throw-away host: namespaces of its own, and plugins run inside it as a runtime would run them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Scripts"))

import throwaway  # noqa: E402
from throwaway import CLONE_NEWNET, CLONE_NEWNS, LIBC, checked  # noqa: E402

NAMESPACES = Path("/run/netns")
STATE = ("/run/netns", "/run/cni", "/var/lib/cni")


def enter_private_namespaces():
    """Starts this program again on a throw-away host, which has the directories of state."""
    throwaway.enter_private_namespaces()
    for directory in STATE:
        Path(directory).mkdir(exist_ok=True)


def own_state():
    """For each worker: directories of its own where runtimes and plugins keep their state."""
    checked(LIBC.unshare(CLONE_NEWNS), "unshare")
    # `ip netns` shares its directory among mount namespaces: not here.
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for directory in STATE:
        subprocess.run(["mount", "-t", "tmpfs", "none", directory], check=True)


@contextmanager
def inside(namespace):
    """The calling thread, and what it starts, is in the named network namespace meanwhile."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(NAMESPACES / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        checked(LIBC.setns(there, CLONE_NEWNET), f"setns {namespace}")
        yield
    finally:
        if LIBC.setns(home, CLONE_NEWNET) != 0:
            os._exit(70)
        os.close(there)
        os.close(home)


def ip(*arguments):
    process = subprocess.run(["ip", *arguments], capture_output=True)
    if process.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {process.stderr.decode().strip()}")


class Answer:
    """What one call of a plugin or of cnitool gave."""

    def __init__(self, process):
        self.status = process.returncode
        self.stderr = process.stderr.decode(errors="replace")
        self.text = process.stdout.decode(errors="replace")
        try:
            self.json = json.loads(self.text) if self.text.strip() else None
        except ValueError:
            self.json = {"not JSON": self.text}

    @property
    def failed(self):
        return self.status != 0


class Side:
    """One implementation: a directory of plugins, called directly or through cnitool."""

    def __init__(self, name, directory, cnitool=None):
        self.name = name
        self.directory = str(directory)
        self.cnitool = cnitool

    def call(self, host, command, config, container, *, raw=None, **environment):
        """Runs a plugin with `config` on its standard input, or the bytes `raw`. None in `environment` removes."""
        variables = {
            "PATH": os.environ["PATH"],
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container.id,
            "CNI_NETNS": container.path,
            "CNI_IFNAME": container.interface,
            "CNI_PATH": self.directory,
        }
        if container.arguments:
            variables["CNI_ARGS"] = container.arguments
        variables.update(environment)
        variables = {key: value for key, value in variables.items() if value is not None}
        data = raw if raw is not None else json.dumps(config).encode()
        plugin = config.get("type", "bridge") if isinstance(config, dict) else "bridge"
        with inside(host.name):
            return Answer(
                subprocess.run([f"{self.directory}/{plugin}"], input=data, env=variables, capture_output=True,
                               timeout=60))

    def tool(self, host, command, network, container, configurations, capabilities=None):
        variables = {
            "PATH": os.environ["PATH"],
            "CNI_PATH": self.directory,
            "NETCONFPATH": configurations,
            "CNI_IFNAME": container.interface,
        }
        if container.arguments:
            variables["CNI_ARGS"] = container.arguments
        if capabilities:
            variables["CAP_ARGS"] = json.dumps(capabilities)
        with inside(host.name):
            return Answer(
                subprocess.run([self.cnitool, command, network, container.path], env=variables,
                               capture_output=True, timeout=60))


class Container:
    def __init__(self, name, interface="eth0", arguments=None):
        self.name = name
        self.interface = interface
        self.arguments = arguments
        self.id = f"container-{name}"
        self.path = str(NAMESPACES / name)

    @property
    def tool_id(self):
        """The ID that cnitool gives: made from the path, so that DEL finds what ADD made."""
        return "cnitool-" + hashlib.sha512(self.path.encode()).digest()[:10].hex()


class Host:
    """A network namespace that plays the host, and one per container; gone, with all state, at the end of `with`."""

    name = "host"

    def __init__(self, containers):
        self.containers = containers

    def __enter__(self):
        ip("netns", "add", self.name)
        with inside(self.name):
            ip("link", "set", "lo", "up")
        for container in self.containers:
            ip("netns", "add", container.name)
        return self

    def __exit__(self, *_):
        for name in [container.name for container in self.containers] + [self.name]:
            if (NAMESPACES / name).exists():
                ip("netns", "delete", name)
        for state in ("/var/lib/cni", "/run/cni"):
            for entry in Path(state).glob("*"):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def reset(self):
        """Makes everything anew."""
        self.__exit__()
        self.__enter__()
