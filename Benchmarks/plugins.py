"""The rows of single plugins: ADD and DEL of each as a process, called the way a runtime calls it.

A plugin has a row where both sides have it and the kernel has its links. Both sides find the same: links of their own
to stand on or to move, an address range of their own.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from throwaway import kernel_has

VERSION = "1.0.0"
LEAST = 1.5


@dataclass
class Row:
    plugin: str
    keys: Callable  # side's name -> keys of the configuration
    prepare: Optional[str] = None  # `ip` commands; {side} is the side's name
    kind: Optional[str] = None  # a link kind that the kernel must have
    addresses: bool = True
    interface: str = "eth0"
    name: Optional[str] = None  # of the row, if not the plugin's

    @property
    def title(self):
        return self.name or self.plugin + ("+host-local" if self.addresses else "")


MASTER = """
link add up-{side} type veth peer name down-{side}
link set up-{side} up
link set down-{side} up
"""

ROWS = [
    Row("loopback", lambda side: {}, addresses=False, interface="lo"),
    Row("ptp", lambda side: {}),
    Row("ptp", lambda side: {"ipMasq": True}, name="ptp+host-local ipMasq"),
    Row("macvlan", lambda side: {"master": f"up-{side}"}, MASTER, "macvlan"),
    Row("ipvlan", lambda side: {"master": f"up-{side}"}, MASTER, "ipvlan"),
    Row("vlan", lambda side: {"master": f"up-{side}", "vlanId": 5}, MASTER, "vlan"),
    Row("host-device", lambda side: {"device": f"up-{side}"}, MASTER),
    Row("dummy", lambda side: {}, kind="dummy"),
    Row("tap", lambda side: {}),
]  # fmt: skip


def ip(script, side):
    subprocess.run(["ip", "-batch", "-"], input=script.format(side=side).encode(), check=True)


def obstacle(row, *sides):
    """Why a row cannot be measured; None if it can."""
    for side in sides:
        if not Path(side.directory, row.plugin).exists():
            return f"{side.name} has no {row.plugin}"
    if row.kind and not kernel_has(row.kind):
        return f"this kernel has no {row.kind}"
    return None


def measure(bench, row):
    """ADD and DEL of one plugin on both sides, in turns."""

    def body(side):
        network = f"{side.name}-{row.title.replace('+', '-').replace(' ', '-')}"
        config = {"cniVersion": VERSION, "name": network, "type": row.plugin, **row.keys(side.name)}
        if row.addresses:
            config["ipam"] = {"type": "host-local", "subnet": side.subnet, "routes": [{"dst": "0.0.0.0/0"}]}
        stdin = bench.configuration(f"{network}.json", config)
        plugin = [f"{side.directory}/{row.plugin}"]

        def once():
            return {
                op: bench.run(plugin, side.environment(op) | {"CNI_IFNAME": row.interface}, stdin)[0]
                for op in ("ADD", "DEL")}  # fmt: skip

        return once

    sides = (bench.go, bench.ours)
    for side in sides:
        if row.prepare:
            ip(row.prepare, side.name)
    try:
        go, ours = bench.interleave(40, 2, *(body(side) for side in sides))
    finally:
        for side in sides:
            subprocess.run(["ip", "link", "delete", f"up-{side.name}"], capture_output=True)
    for op in ("ADD", "DEL"):
        bench.add(row.title, op, "wall ms", go[op], ours[op], least=LEAST)
