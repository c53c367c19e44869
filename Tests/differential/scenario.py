"""A scenario: a configuration, tried with both implementations, and what happens around it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

from host import Container, inside, ip

MAC = "02:11:22:33:44:55"
V4_DEFAULT = {"dst": "0.0.0.0/0"}
V6_DEFAULT = {"dst": "::/0"}


@dataclass
class Scenario:
    name: str
    config: dict
    arguments: Optional[str] = None  # CNI_ARGS
    capabilities: dict = field(default_factory=dict)  # runtimeConfig
    interface: str = "eth0"
    containers: int = 1
    prepare: Optional[Callable] = None  # (host): before ADD
    tamper: Optional[Callable] = None  # (host): between ADD and CHECK
    world: bool = False  # is the outside reached, and what does it see?
    keep_macs: tuple = ()
    needs: tuple = ()  # link kinds that the kernel must have
    key: Optional[str] = None  # a key that older Go plugins do not know
    since: str = "0.1.0"  # the first version that the Go plugin knows and whose results say what it must know
    previous: Optional[Callable] = None  # (version, host): the result of the plugin before; not through cnitool
    chain: tuple = ()  # the plugins before; only through cnitool
    behind: Optional[dict] = None  # the plugin before, which each side's own runs; through cnitool it is of the chain
    rules: Optional[str] = None  # the table of iptables that is compared, by what iptables-save prints

    @property
    def plugin(self):
        return self.config["type"]

    def make_containers(self):
        return [Container(f"c{number + 1}", self.interface, self.arguments) for number in range(self.containers)]

    def before(self, version):
        """The configuration of the plugin before."""
        return {"cniVersion": version, "name": "differential", **self.behind}

    def configuration(self, version, host=None):
        config = {"cniVersion": version, "name": "differential", **self.config}
        if self.capabilities:
            config["runtimeConfig"] = self.capabilities
        if self.previous and host:
            config["prevResult"] = self.previous(version, host)
        return config

    def list(self, version):
        plugin = dict(self.config)
        if self.capabilities:
            plugin["capabilities"] = {key: True for key in self.capabilities}
        chain = (*self.chain, self.behind) if self.behind else self.chain
        return {"cniVersion": version, "name": "differential", "plugins": [*chain, plugin]}


def host_local(*ranges, **keys):
    return {"type": "host-local", "ranges": [[entry] if isinstance(entry, dict) else entry for entry in ranges], **keys}


def static(*addresses, **keys):
    return {"type": "static", "addresses": list(addresses), **keys}


V4 = {"subnet": "10.22.0.0/16"}
V6 = {"subnet": "fd00:22::/64"}
SIMPLE = {"type": "host-local", "subnet": "10.22.0.0/16", "routes": [V4_DEFAULT]}


def in_host(*command):
    def prepare(host):
        with inside(host.name):
            ip(*command)

    return prepare


def in_container(*command):
    def tamper(host):
        with inside(host.containers[0].name):
            ip(*command)

    return tamper


def several(*steps):
    def prepare(host):
        for step in steps:
            step(host)

    return prepare


def file(path, content):
    def prepare(_):
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    return prepare


def ipam(config):
    """An IPAM plugin called by itself: it gets the whole configuration, and is run by its own name."""
    return {"type": config["type"], "ipam": config}
