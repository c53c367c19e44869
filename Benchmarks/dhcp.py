"""The row of `dhcp`: a lease from dnsmasq and its release, by the daemon of each side."""

import shutil
import subprocess
import time
from pathlib import Path

VERSION = "1.0.0"
LEAST = 1.5
SERVER = """
link add lan type bridge
address add 10.40.0.1/16 dev lan
link set lan up
"""
CLIENT = """
link add lan-{side} type veth peer name dhcp0 netns {side}
link set lan-{side} master lan
link set lan-{side} up
"""


def obstacle(*sides):
    for side in sides:
        if not Path(side.directory, "dhcp").exists():
            return f"{side.name} has no dhcp"
    return None if shutil.which("dnsmasq", path="/usr/sbin:/sbin:/usr/bin") else "there is no dnsmasq"


def start_server(work):
    subprocess.run(["ip", "-batch", "-"], input=SERVER.encode(), check=True)
    # Without its ping before an offer, which would be most of the time.
    return subprocess.Popen(
        ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=lan", "--bind-interfaces",
         "--no-ping", "--leasefile-ro", f"--pid-file={work}/dnsmasq.pid", "--user=root",
         "--dhcp-range=10.40.1.0,10.40.9.255,1h", "--dhcp-authoritative"],
        env={"PATH": "/usr/sbin:/sbin:/usr/bin"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip


def start_daemon(work, side):
    subprocess.run(["ip", "-batch", "-"], input=CLIENT.format(side=side.name).encode(), check=True)
    socket = work / f"dhcp-{side.name}.sock"
    daemon = subprocess.Popen(
        [f"{side.directory}/dhcp", "daemon", "-socketpath", str(socket)], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    for _ in range(200):
        if socket.exists():
            return daemon, socket
        time.sleep(0.05)
    raise RuntimeError(f"the dhcp daemon of {side.name} made no socket")


def measure(bench, work):
    started = [start_server(work)]

    def body(side):
        daemon, socket = start_daemon(work, side)
        started.append(daemon)
        network = f"{side.name}-dhcp"
        config = {
            "cniVersion": VERSION, "name": network, "type": "dhcp",
            "ipam": {"type": "dhcp", "daemonSocketPath": str(socket)}}  # fmt: skip
        stdin = bench.configuration(f"{network}.json", config)

        def once():
            return {
                op: bench.run(
                    [f"{side.directory}/dhcp"], side.environment(op, "lease") | {"CNI_IFNAME": "dhcp0"}, stdin)[0]
                for op in ("ADD", "DEL")}  # fmt: skip

        return once

    try:
        go, ours = bench.interleave(20, 1, *(body(side) for side in (bench.go, bench.ours)))
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()
        subprocess.run(["ip", "link", "delete", "lan"], capture_output=True)
        for side in (bench.go, bench.ours):
            subprocess.run(["ip", "link", "delete", f"lan-{side.name}"], capture_output=True)
    for op in ("ADD", "DEL"):
        bench.add("dhcp", op, "wall ms", go[op], ours[op], least=LEAST)
