"""podman's commands, and containers that answer."""

import json
from pathlib import Path

from image import ANSWER, PAUSE
from node import PLUGINS, ask, required, run
from traffic import Server, settle

CONFIGURATION = f"""
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
cni_plugin_dirs = ["{PLUGINS}"]
infra_image = "{PAUSE}"
[network]
network_backend = "cni"
cni_plugin_dirs = ["{PLUGINS}"]
network_config_dir = "/etc/cni/net.d"
"""
STORAGE = """
[storage]
driver = "overlay"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
"""
ANY = '{ "default": [{ "type": "insecureAcceptAnything" }] }'

# What most containers publish.
PORTS = (("tcp", 8081, 80), ("udp", 8053, 53))


def configure():
    """What podman and buildah find in /etc/containers."""
    for name, text in (("containers.conf", CONFIGURATION), ("storage.conf", STORAGE), ("policy.json", ANY)):
        Path("/etc/containers", name).write_text(text)


def podman(*arguments, **keywords):
    return run("podman", *arguments, **keywords)


def inspect(name):
    return json.loads(podman("inspect", "--type", "container", name))[0]


def server(name, ports=(), listening=(("tcp", 80), ("udp", 53)), named=None):
    """What podman says of a container that runs, which calls itself `named` if that is not its name."""
    state = inspect(name)
    name = named or name
    networks = state["NetworkSettings"]["Networks"]
    addresses = {4: [], 6: []}
    for network in sorted(networks):
        addresses[4] += [networks[network]["IPAddress"]] if networks[network]["IPAddress"] else []
        addresses[6] += [networks[network]["GlobalIPv6Address"]] if networks[network]["GlobalIPv6Address"] else []
    made = Server(name, f"/proc/{state['State']['Pid']}/ns/net", addresses, ports, listening)
    kind, port = listening[0]
    required(f"{name} answers itself", lambda: ask(made.namespace, kind, "127.0.0.1", port).startswith(name))
    settle(made.namespace)
    return made


def publish(ports):
    return [word for kind, outer, inner in ports for word in ("--publish", f"{outer}:{inner}/{kind}")]


def begin(name, *options, ports=(), listening=(("tcp", 80), ("udp", 53)), networks=("one",)):
    """Runs a container that answers."""
    podman("run", "--detach", "--name", name, *[word for network in networks for word in ("--network", network)],
           *publish(ports), *options, ANSWER, "/bin/answer", name, *[f"{kind}/{port}" for kind, port in listening])  # fmt: skip
    return server(name, ports, listening)


class Networks:
    """Networks that are there while something is tried, each a number: `one` is 10.31.1.0/24 and fd00:31:1::/64."""

    def __init__(self, *names, options=()):
        self.names = names
        self.options = options

    def __enter__(self):
        for number, name in enumerate(self.names, 1):
            podman("network", "create", "--subnet", f"10.31.{number}.0/24", "--ipv6", "--subnet", f"fd00:31:{number}::/64",
                   *self.options, name)  # fmt: skip

    def __exit__(self, *_):
        podman("rm", "--all", "--force", "--time", "0", check=False)
        podman("network", "rm", *self.names, check=False)
