"""A throw-away host for scripts, and the tally of what they expect of it."""

import ctypes
import os
import signal
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
PR_SET_PDEATHSIG = 1
# How long who is told to end may take for its last words.
LAST_WORDS = 20


def checked(result, what):
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def end_with_parent(number):
    LIBC.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def wait_for(child):
    """Waits for a child, meanwhile for all others that there are, and ends as it does. Whoever tells this one to end tells the
    child; who does not do so in time is killed."""

    def end(*_):
        os.kill(child, signal.SIGTERM)
        signal.alarm(LAST_WORDS)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    while True:
        process, status = os.wait()
        if process == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def as_first_process():
    """The first process of a namespace inherits those whose parents have ended, and has to wait for them. What follows is done
    by a child of its."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        wait_for(child)


def enter_private_namespaces():
    """Goes on in a child, in mount, network and process namespaces that end with it, and it with the caller, however that ends.

    There the network namespace plays the host; directories of state and of logs are empty and in memory.
    """
    # Who is to outlive its terminal is to outlive its parent.
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        end_with_parent(signal.SIGTERM)
    checked(LIBC.unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID), "unshare")
    checked(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount /")
    sys.stdout.flush()
    child = os.fork()
    if child:
        wait_for(child)
    end_with_parent(signal.SIGKILL)
    # What the terminal says to all of its processes goes to the one outside, which passes it on.
    os.setsid()
    checked(LIBC.mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None), "mount /proc")
    as_first_process()
    # /var/lib/cni need not exist on the machine, and must not exist because of us: cover what is above it.
    for directory in ("/run", "/var/log", "/var/lib/cni" if os.path.isdir("/var/lib/cni") else "/var/lib"):
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
