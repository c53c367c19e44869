"""Every file of state in turn empty, cut, somebody else's, no file at all, or gone: DEL, GC and the next ADD get over it,
and what belongs to a neighbour stays."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import kernel
from world import World

FAULTS = ("empty", "cut", "foreign", "a directory", "a full directory", "a dangling link", "a loop of links", "gone")
COMMANDS = ("DEL", "GC", "DEL, namespace gone", "ADD")


@dataclass(frozen=True)
class Damage:
    """What is done to one file, and which command comes upon it first."""

    file: str
    fault: str
    command: str

    @property
    def title(self):
        return f"{self.file} is {self.fault}, then {self.command}"


def state_files():
    """Those of an attachment that has a neighbour, whoever keeps them."""
    return [os.path.join(directory, name) for state in ("/var/lib/cni", "/run/cni")
            for directory, _, names in os.walk(state) for name in names]  # fmt: skip


def find():
    """The files that are there for one attachment, without those of its neighbour."""
    world = World(neighbour=True)
    before = set(state_files())
    world.need("add")
    shared = [file for file in before if Path(file).name.startswith(("lock", "last_reserved_ip."))]
    return sorted(set(state_files()) - before) + sorted(shared)


def foreign(path, content):
    """Something whole, and not ours."""
    if "/results/" in path:
        return json.dumps({**json.loads(content), "containerId": "other"}).encode()
    if path.endswith(".json"):
        return json.dumps({"owner": "cni:other/other/eth0", "mtu": 9000}).encode()
    if "/.owners/" in path:
        return b"10.22.0.250"
    if "last_reserved_ip" in path:
        return b"192.0.2.77"
    return b"other\r\neth0"


def inflict(path, fault):
    file = Path(path)
    is_link = file.is_symlink()
    content = os.readlink(path).encode() if is_link else file.read_bytes()
    file.unlink()
    if fault == "gone":
        return
    if fault == "a directory":
        file.mkdir()
    elif fault == "a full directory":
        file.mkdir()
        Path(file, "somebody's").write_text("precious")
    elif fault == "a dangling link":
        file.symlink_to("/run/there/is/no/such/file")
    elif fault == "a loop of links":
        file.symlink_to(file.name)
    elif is_link and fault != "empty":
        file.symlink_to(content[: len(content) // 2] if fault == "cut" else foreign(path, content))
    else:
        text = {"empty": b"", "cut": content[: len(content) // 2], "foreign": foreign(path, content)}[fault]
        file.write_bytes(text)


def attempt(damage):
    """Tries one; what is wrong comes back as lines."""
    problems = []
    try:
        attempted(damage, problems.append)
    except Exception as error:  # the others are to be tried all the same
        problems.append(f"{type(error).__name__}: {error}")
    return damage, problems


def attempted(damage, problem):
    world = World(neighbour=True)
    world.need("add")
    if damage.command == "ADD":
        # What is kept between containers; what goes with one is somebody's who has not called DEL.
        if os.path.basename(damage.file).startswith(("lock", "last_reserved_ip.")):
            world.need("del")
    checked = world.call("check")
    if damage.command != "ADD" and checked.failed:
        problem(f"CHECK before: {checked.error}")
    inflict(damage.file, damage.fault)
    if damage.command != "ADD":
        checked = world.call("check")
        if checked.hangs or checked.died or (checked.failed and not checked.error.startswith("cnitool: ")):
            problem(f"CHECK: {checked.error}")
        if damage.command == "DEL, namespace gone":
            world.container_goes()
        command = damage.command.split(",")[0].lower()
        answer = world.call(command)
        if answer.failed and not cannot_lock(damage, answer):
            problem(f"{damage.command}: {answer.error}")
        for line in world.left():
            if not (answer.failed or is_own(line, damage)):
                problem(f"after {damage.command}: {line}")
        world.container_comes()
    elif os.path.lexists(damage.file) or damage.fault == "gone":
        # An ADD that finds an earlier one of its own says so, or makes do.
        pass
    next_container(world, damage, problem)
    if os.path.lexists(damage.file) and (not kept(damage.file) or not os.path.isfile(damage.file)):
        if os.path.isdir(damage.file) and not os.path.islink(damage.file):
            shutil.rmtree(damage.file)
        else:
            os.unlink(damage.file)
    for command in ("del", "gc", "add", "check", "del"):
        answer = world.call(command)
        if answer.failed:
            problem(f"{command.upper()} when it is mended: {answer.error}")
    for line in world.left():
        if not is_lost(line, damage):
            problem(f"when it is mended: {line}")


def next_container(world, damage, problem):
    """It works, or says of which file it cannot be."""
    answer = world.call("add")
    if answer.failed:
        earlier = damage.command == "ADD" and "DEL" in answer.error
        if answer.hangs or answer.died or not (damage.file in answer.error or earlier):
            problem(f"the next ADD: {answer.error}")
    else:
        checked = world.call("check")
        if checked.failed:
            problem(f"the next CHECK: {checked.error}")
    deleted = world.call("del")
    if deleted.failed and not cannot_lock(damage, deleted):
        problem(f"the next DEL: {deleted.error}")
    for line in world.left():
        if not (deleted.failed or is_own(line, damage)):
            problem(f"after the next container: {line}")


def kept(file):
    return os.path.basename(file).startswith(kernel.KEPT_FILES)


def cannot_lock(damage, answer):
    """Without the lock nobody touches leases: it has to be mended, and the error says so."""
    return os.path.basename(damage.file) == "lock" and damage.file in answer.error and not (answer.hangs or answer.died)


def is_own(line, damage):
    """Is this about the damaged file itself, or what is in it? As far as anybody can tell, that is somebody else's now."""
    if is_lost(line, damage):
        return True
    if damage.fault in ("cut", "foreign") and "/.owners/" in line:
        return not line.endswith(",eth0") or line.endswith("/other,eth0")
    return line.startswith("files: left: ") and (line.endswith(damage.file) or damage.file + "/" in line)


def is_lost(line, damage):
    """Is this what only the damaged file said how to restore, or where? GC knows of no namespace."""
    is_only_there = "/tuning/" in damage.file or (damage.command == "GC" and "/results/" in damage.file)
    return is_only_there and line.startswith("container's settings: ")


def tasks(files):
    return [Damage(file, fault, command) for file in files for fault in FAULTS for command in COMMANDS]
