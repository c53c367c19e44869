#!/usr/bin/env python3
"""200 containers at once, 50 calls in flight, into one bridge network that is not there yet; then all away again.

    storm.py [EXECUTABLE] [COUNT]    (or PRODUCT in the environment)

Everything happens in namespaces of its own, which end with this program, however it ends.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Scripts"))

from throwaway import Tally, enter_private_namespaces  # noqa: E402

IN_FLIGHT = 50
NETWORK = {
    "cniVersion": "1.0.0", "name": "storm",
    "plugins": [{
        "type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True,
        "ipam": {"type": "host-local", "subnet": "10.22.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]},
    }],
}  # fmt: skip
tally = Tally()
expect = tally.expect


def output(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout


def links(kind):
    return json.loads(output("ip", "-j", "link", "show", "type", kind) or "[]")


def files():
    """Whatever there is that names a container: leases, the index of their owners, cached results."""
    kept = ("lock", "last_reserved_ip.")
    return [
        str(path) for path in Path("/var/lib/cni").rglob("*")
        if (path.is_file() or path.is_symlink()) and not path.name.startswith(kept)]  # fmt: skip


def main():
    executable = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PRODUCT", ".build/install/cni"))
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    sys.argv[1:] = [executable, str(count)]
    enter_private_namespaces()
    os.mkdir("/run/net.d")
    Path("/run/net.d/10-storm.conflist").write_text(json.dumps(NETWORK))
    os.symlink(executable, "/run/cnitool")
    environment = {"PATH": os.environ["PATH"], "NETCONFPATH": "/run/net.d"}
    names = [f"c{number}" for number in range(count)]
    for name in names:
        subprocess.run(["ip", "netns", "add", name], check=True)

    def call(command, name):
        return subprocess.run(
            ["/run/cnitool", command, "storm", f"/run/netns/{name}"], env=environment, capture_output=True, text=True,
            timeout=300)  # fmt: skip

    def all_at_once(command):
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            answers = list(pool.map(lambda name: call(command, name), names))
        bad = [answer for answer in answers if answer.returncode != 0]
        expect(f"{count} of {command}", not bad, f"{len(bad)} failed, the first: {bad[0].stderr if bad else ''}")
        return answers

    results = [json.loads(answer.stdout) for answer in all_at_once("add") if answer.returncode == 0]
    addresses = {result["ips"][0]["address"] for result in results}
    expect("different addresses", len(addresses) == count, f"{len(addresses)}")
    expect("one bridge", len(links("bridge")) == 1, links("bridge"))
    macs = {result["interfaces"][0]["mac"] for result in results} | {link["address"] for link in links("bridge")}
    expect("whose MAC address never changed", len(macs) == 1, macs)
    expect("a port for each", len(links("veth")) == count, len(links("veth")))
    all_at_once("check")

    all_at_once("del")
    expect("no link left", not links("veth"), len(links("veth")))
    expect("no file left", not files(), files()[:5])
    rules = [line.strip() for line in output("nft", "list", "ruleset").splitlines() if "10.22." in line]
    expect("no rule left", not rules, rules[:5])
    expect("the bridge's MAC address is as it was", {link["address"] for link in links("bridge")} <= macs, macs)

    sys.exit(tally.close())


if __name__ == "__main__":
    main()
