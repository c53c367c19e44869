#!/usr/bin/env python3
"""The dhcp daemon under load, with dnsmasq as the server: 100 containers at once; killed and started again with 100
leases; leases that are renewed on time; the end of all of them seen by the server.

    dhcp.py [EXECUTABLE] [COUNT]    (or PRODUCT in the environment)

Everything happens in namespaces of its own, which end with this program, however it ends.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Scripts"))

from throwaway import Tally, enter_private_namespaces  # noqa: E402

STATE = Path("/run/state")
LEASES = Path("/run/dnsmasq.leases")
SERVER_LOG = Path("/run/dnsmasq.log")
SOCKET = Path("/run/cni/dhcp.sock")
PLUGINS = "/run/plugins"
# The shortest that dnsmasq gives is two minutes; what is renewed after a second comes with options that say so.
RENEWAL, REBINDING = 8, 60
CONFIGURATION = {
    "cniVersion": "1.1.0", "name": "lan", "type": "bridge", "bridge": "cni0", "ipam": {"type": "dhcp"}}  # fmt: skip
tally = Tally()
expect = tally.expect


def run(*command):
    subprocess.run(command, check=True)


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def start_server():
    """Renewal after a few seconds, so that there is something to see; no ping, which would take seconds per offer."""
    return subprocess.Popen(
        ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=cni0", "--bind-interfaces",
         "--no-ping", "--user=root", "--pid-file=/run/dnsmasq.pid", f"--dhcp-leasefile={LEASES}", "--log-dhcp",
         f"--log-facility={SERVER_LOG}", "--dhcp-range=10.50.1.1,10.50.9.250,255.255.0.0,2m", "--dhcp-authoritative",
         f"--dhcp-option-force=58,{RENEWAL}", f"--dhcp-option-force=59,{REBINDING}"])  # fmt: skip


def start_daemon():
    daemon = subprocess.Popen(
        [f"{PLUGINS}/dhcp", "daemon", "-statedir", str(STATE), "-timeout", "120s"],
        stderr=open("/run/daemon.log", "a", encoding="utf-8"))  # fmt: skip
    wait_until(lambda: call("STATUS", "").returncode == 0, 20)
    return daemon


def call(command, name, configuration=None):
    environment = {
        "CNI_COMMAND": command, "CNI_CONTAINERID": name, "CNI_NETNS": f"/run/netns/{name}", "CNI_IFNAME": "eth0",
        "CNI_PATH": PLUGINS, "PATH": os.environ["PATH"]}  # fmt: skip
    return subprocess.run(
        [f"{PLUGINS}/bridge"], input=json.dumps(configuration or CONFIGURATION), env=environment, capture_output=True,
        text=True, timeout=300)  # fmt: skip


def all_at_once(command, names, configurations=None):
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(
            zip(names, pool.map(lambda name: call(command, name, (configurations or {}).get(name)), names)))  # fmt: skip


def known_to_the_server():
    """The addresses that are leased, as the server has them."""
    return sorted(line.split()[2] for line in LEASES.read_text().splitlines() if len(line.split()) == 5)


def log_lines(kind, since=0):
    return [line for line in SERVER_LOG.read_text().splitlines()[since:] if f" {kind}(cni0)" in line]


def main():
    executable = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PRODUCT", ".build/install/cni"))
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    sys.argv[1:] = [executable, str(count)]
    enter_private_namespaces()
    os.environ["PATH"] = "/usr/sbin:/sbin:/usr/bin:/bin:" + os.environ.get("PATH", "")
    os.makedirs(PLUGINS)
    os.makedirs("/run/cni")
    for name in ("bridge", "dhcp"):
        os.symlink(executable, f"{PLUGINS}/{name}")
    run("ip", "link", "set", "lo", "up")
    # With an address of its own: otherwise its ports decide, and CHECK compares it with what it was at ADD.
    run("ip", "link", "add", "cni0", "address", "02:00:5e:00:00:01", "type", "bridge")
    run("ip", "addr", "add", "10.50.0.1/16", "dev", "cni0")
    run("ip", "link", "set", "cni0", "up")
    names = [f"c{number}" for number in range(count)]
    for name in names:
        run("ip", "netns", "add", name)
    server = start_server()
    expect("STATUS fails without a daemon", json.loads(call("STATUS", "").stdout or "{}").get("code") == 50)
    daemon = start_daemon()

    # All at once.
    begun = time.monotonic()
    answers = all_at_once("ADD", names)
    took = time.monotonic() - begun
    addresses = {}
    for name, answer in answers.items():
        expect(f"ADD {name}", answer.returncode == 0, answer.stdout + answer.stderr)
        if answer.returncode == 0:
            addresses[name] = json.loads(answer.stdout)["ips"][0]["address"]
    plain = sorted(address.split("/")[0] for address in addresses.values())
    expect("every address is another one", len(set(plain)) == count, len(set(plain)))
    expect("the server knows all of them", known_to_the_server() == plain, len(known_to_the_server()))
    files = lambda: sorted(STATE.glob("*.lease.json"))  # noqa: E731
    expect("a file for each lease", len(files()) == count, len(files()))
    descriptors = lambda: len(os.listdir(f"/proc/{daemon.pid}/fd"))  # noqa: E731
    expect("no socket stays open", wait_until(lambda: descriptors() < 16, 10), descriptors())
    print(f"{count} containers at once: {took:.1f} s")

    # Everybody renews, and none of them anew.
    since = len(SERVER_LOG.read_text().splitlines())
    renewed = lambda: {re.search(r"DHCPREQUEST\(cni0\) (\S+)", line)[1] for line in log_lines("DHCPREQUEST", since)}  # noqa: E731
    expect("all are renewed", wait_until(lambda: len(renewed()) == count, RENEWAL * 3), len(renewed()))
    expect("without DISCOVER", not log_lines("DHCPDISCOVER", since), log_lines("DHCPDISCOVER", since)[:2])

    # Killed, with files that are of no use among the leases, and started again.
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    since = len(SERVER_LOG.read_text().splitlines())
    whole = files()[0].read_bytes()
    (STATE / "empty.lease.json").write_bytes(b"")
    (STATE / "cut.lease.json").write_bytes(whole[: len(whole) // 2])
    (STATE / "foreign.lease.json").write_bytes(b'{"lease": true}')
    (STATE / ".swift-cni-tmp-left").write_bytes(whole[:10])
    strangers, starts = ("empty", "cut", "foreign"), {}
    found = lambda: [json.loads(path.read_bytes()) for path in files() if path.name.split(".")[0] not in strangers]  # noqa: E731
    for lease in found():
        starts[lease["container"]] = lease["ipv4"]["start"] + lease["ipv4"]["renewal"]
    expect("every lease says when it is due", len(starts) == count, len(starts))
    expect("DEL without a daemon", call("DEL", "nobody").returncode == 0)
    daemon = start_daemon()
    log = Path("/run/daemon.log").read_text()
    expect("all are known again", f"{count} leases of before go on" in log, log[-600:])
    for file in strangers:
        expect(f"the {file} file is explained", f"{file}.lease.json" in log, log[-600:])
    configurations = {
        name: CONFIGURATION | {"prevResult": json.loads(answers[name].stdout)} for name in addresses}  # fmt: skip
    for name, answer in all_at_once("CHECK", names, configurations).items():
        expect(f"CHECK {name} after the restart", answer.returncode == 0, answer.stdout)
    expect("all are renewed after the restart", wait_until(lambda: len(renewed()) == count, RENEWAL * 3), len(renewed()))
    expect("each at its address", renewed() <= set(plain), renewed() - set(plain))
    expect("without DISCOVER after the restart", not log_lines("DHCPDISCOVER", since))
    # The server has heard of it before the file says so. What was due while there was no daemon comes at once.
    distances = lambda: {  # noqa: E731
        lease["container"]: lease["ipv4"]["start"] - starts[lease["container"]] for lease in found()}  # fmt: skip
    wait_until(lambda: min(distances().values()) >= -50, 10)
    compared = distances()
    late = {name: distance for name, distance in compared.items() if not -50 <= distance <= 4000}
    expect("every renewal is compared", len(compared) == count, len(compared))
    expect("renewals are on time", not late, late)

    # A daemon that is told to end keeps the leases; another one goes on.
    daemon.terminate()
    expect("SIGTERM ends it", daemon.wait(timeout=20) == 0)
    expect("its socket is removed", not SOCKET.exists())
    since = len(SERVER_LOG.read_text().splitlines())
    written = Path("/run/daemon.log").stat().st_size
    daemon = start_daemon()
    log = Path("/run/daemon.log").read_bytes()[written:].decode()
    expect("all go on after SIGTERM", f"{count} leases of before go on" in log, log)
    expect("without DISCOVER after SIGTERM", not log_lines("DHCPDISCOVER", since))

    # The end of a half by GC, of the others by DEL.
    valid = names[count // 2 :]
    keep = [{"containerID": name, "ifname": "eth0"} for name in valid]
    answer = call("GC", "", CONFIGURATION | {"cni.dev/valid-attachments": keep})
    expect("GC", answer.returncode == 0, answer.stdout)
    expect(
        "the server has back what GC found",
        wait_until(lambda: len(known_to_the_server()) == len(valid), 10), len(known_to_the_server()))  # fmt: skip
    for name, answer in all_at_once("DEL", names).items():
        expect(f"DEL {name}", answer.returncode == 0, answer.stdout)
    expect("the server has everything back", wait_until(lambda: not known_to_the_server(), 10), known_to_the_server()[:5])
    left = [path.name for path in files() if path.name.split(".")[0] not in strangers]
    expect("no lease is left", not left, left[:5])
    expect("no socket is left open", wait_until(lambda: descriptors() < 16, 10), descriptors())

    daemon.terminate()
    daemon.wait(timeout=20)
    server.terminate()
    server.wait(timeout=20)
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
