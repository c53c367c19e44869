"""Control groups of a throw-away host: runtimes make theirs below, and all of them go with it."""

import ctypes
import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWCGROUP = 0x02000000

MOUNTS = Path("/sys/fs/cgroup")
PREFIX = "swift-cni-runtimes."
# What runtimes ask for; with these alone they do without the rest.
CONTROLLERS = ("cpu", "cpuacct", "cpuset", "devices", "freezer", "pids", "systemd")
# And of version 2.
UNIFIED = ("cpu", "cpuset", "io", "memory", "pids")


def is_unified():
    return (MOUNTS / "cgroup.controllers").exists()


def _tops():
    """Where groups can be made: one directory for each hierarchy of version 1, or that of version 2."""
    if is_unified():
        return [MOUNTS]
    return [MOUNTS / name for name in CONTROLLERS if (MOUNTS / name).is_dir()]


def hand_down():
    """What is below has no more controllers than what the root of version 2 hands down: as systemd has it anyway. Gives those that
    it did not."""
    if not is_unified():
        return []
    file = MOUNTS / "cgroup.subtree_control"
    before = file.read_text().split()
    for controller in set(UNIFIED).difference(before):
        _write(file, f"+{controller}")
    return sorted(set(UNIFIED).intersection(file.read_text().split()).difference(before))


def take_back(controllers):
    """Unless another run needs them. The kernel refuses while anybody hands them on."""
    if not any(MOUNTS.glob(f"{PREFIX}*")):
        for controller in controllers:
            _write(MOUNTS / "cgroup.subtree_control", f"-{controller}")


def _write(file, text):
    try:
        file.write_text(text)
    except OSError:
        pass


def make(name):
    """Makes the group in every hierarchy; gives its directories."""
    groups = []
    for top in _tops():
        group = top / (PREFIX + name)
        group.mkdir(exist_ok=True)
        if is_unified():
            # Whoever stays outside of the namespaces: the root of these must have no processes to hand controllers down.
            group = group / "outside"
            group.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if top.name == "cpuset":
                (group / file).write_text((top / file).read_text())
        groups.append(group)
    return groups


def sweep(name=""):
    """Removes the groups of that name, or those of runs that have ended without doing so. Gives those that are left."""
    left = []
    for top in _tops():
        for group in top.glob(f"{PREFIX}{name}*"):
            if not name and Path("/proc", group.name.removeprefix(PREFIX).split(".")[0]).exists():
                continue
            for directory in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True) + [group]:
                try:
                    directory.rmdir()
                except FileNotFoundError:
                    pass
                except OSError:
                    left.append(str(directory))
    return left


@contextmanager
def removed_at_the_end(name, seconds=30):
    """Groups go when this process is through with them, or has come to its end, be it by SIGKILL, and what was switched on for them
    is switched off: a process of its own sees to that, and ends with it. Gives a list, in which are afterwards those that
    cannot be removed."""
    left = []
    switched_on = hand_down()
    reader, writer = os.pipe()
    done, tell = os.pipe()
    child = os.fork()
    if child == 0:
        # Not to be found by who ends everything that we have started, and nobody waits for its output.
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        nowhere = os.open("/dev/null", os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        os.close(writer)
        os.close(done)
        os.read(reader, 1)
        deadline = time.monotonic() + seconds
        while (remaining := sweep(name)) and time.monotonic() < deadline:
            time.sleep(0.1)
        take_back(switched_on)
        try:
            os.write(tell, "\n".join(remaining).encode()[:4000])
        except BrokenPipeError:
            pass  # Nobody is there any more who would tell.
        os._exit(0)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(tell)
    try:
        yield left
    finally:
        os.close(writer)
        with os.fdopen(done) as file:
            left += file.read().splitlines()


def enter():
    """Called in namespaces of our own: shows only what is below our group, as if it were all."""
    unified = is_unified()
    names = [top.name for top in _tops()]
    if unified:
        group = Path("/proc/self/cgroup").read_text().strip().rsplit("::/", 1)[1]
        (MOUNTS / group).parent.joinpath("cgroup.procs").write_text("0")
    if LIBC.unshare(CLONE_NEWCGROUP) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["umount", "-R", "-l", str(MOUNTS)], check=True)
    if unified:
        subprocess.run(["mount", "-t", "cgroup2", "none", str(MOUNTS)], check=True)
        (MOUNTS / "inside").mkdir()
        (MOUNTS / "inside" / "cgroup.procs").write_text("0")
        return
    subprocess.run(["mount", "-t", "tmpfs", "none", str(MOUNTS)], check=True)
    for name in names:
        (MOUNTS / name).mkdir()
        option = "none,name=systemd" if name == "systemd" else name
        subprocess.run(["mount", "-t", "cgroup", "-o", option, "none", str(MOUNTS / name)], check=True)
