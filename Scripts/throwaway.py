"""A throw-away host for scripts, and the tally of what they expect of it."""

import os
import subprocess
import sys

ENTERED = "SWIFT_CNI_NAMESPACES"


def enter_private_namespaces():
    """Starts this program again inside mount, network and process namespaces that end with it, however it ends.

    There the network namespace plays the host; directories of state are empty and in memory.
    """
    program = os.path.realpath(sys.argv[0])
    if os.environ.get(ENTERED) != program:
        os.environ[ENTERED] = program
        os.execvp(
            "unshare",
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
             sys.executable, *sys.argv],
        )  # fmt: skip
    # /var/lib/cni need not exist on the machine, and must not exist because of us: cover what is above it.
    for directory in ("/run", "/var/lib/cni" if os.path.isdir("/var/lib/cni") else "/var/lib"):
        subprocess.run(["mount", "-t", "tmpfs", "none", directory], check=True)


def kernel_has(kind):
    """Whether the kernel makes links of that kind. Called in namespaces of our own."""
    subprocess.run(["ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"], check=True)
    identifier = {"vlan": ["id", "1"], "vrf": ["table", "10"]}.get(kind, [])
    process = subprocess.run(
        ["ip", "link", "add", "probe2", "link", "probe0", "type", kind, *identifier], capture_output=True)
    for link in ("probe2", "probe0"):
        subprocess.run(["ip", "link", "delete", link], capture_output=True)
    return b"Unknown device type" not in process.stderr and b"not supported" not in process.stderr


class Tally:
    """Counts expectations, and prints those that were not met."""

    def __init__(self):
        self.passed = self.failed = 0

    def expect(self, what, condition, found=""):
        if condition:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {what}: {found}", flush=True)
        return condition

    def close(self):
        """Prints the sum, by which `make test` counts; gives the exit status."""
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0
