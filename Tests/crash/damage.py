"""Every file of state in turn empty, cut, somebody else's, no file at all, or gone: DEL, GC and the next ADD get over it,
and what belongs to a neighbour stays.

What cannot be got over, and why, is in ``EXCUSES``; all else has to be as if nothing had happened."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import kernel
import world as worlds
from world import World

FAULTS = ("empty", "cut", "foreign", "a directory", "a full directory", "a dangling link", "a loop of links", "gone")
COMMANDS = ("DEL", "GC", "DEL, namespace gone", "ADD")
DIRECTORIES = ("a directory", "a full directory")
LINKS = ("a dangling link", "a loop of links")
OTHER = "another"


def kind(path):
    """What a file of state is."""
    name = os.path.basename(path)
    for part, what in (("/results/", "result"), ("/tuning/", "record of tuning"), ("/.owners/", "index of leases")):
        if part in path:
            return what
    return "lock" if name == "lock" else "hint" if name.startswith("last_reserved_ip.") else "lease"


@dataclass(frozen=True)
class Excuse:
    """What may be otherwise than on a sound host, of one kind of file with one of these faults, and why."""

    kind: str
    faults: tuple
    why: str
    # After which of the commands the thing itself may still be there. What is there after "by hand" an administrator removes.
    stays: tuple = ()
    # The commands that may fail, with an error that names the file.
    fails: tuple = ()
    # What else may be left, or gone: the beginnings of lines; and those that nobody can bring back.
    until_mended: tuple = ()
    for_good: tuple = ()
    # Which command comes upon it first.
    commands: tuple = COMMANDS


WITHOUT_GC = ("DEL", "DEL, namespace gone", "ADD")
ALWAYS = ("DEL", "GC", "next", "by hand")
LEASES = ("files: left: /var/lib/cni/networks/chain/", "files: left: /var/lib/cni/networks/.owners/chain/")
RESULTS = "files: left: /var/lib/cni/results/"
EXCUSES = (
    Excuse("lock", (*DIRECTORIES, *LINKS), stays=ALWAYS, fails=("add", "del", "gc"), until_mended=(*LEASES, RESULTS),
           why="Without a lock nobody touches leases: two containers would get one address. All else goes, but for what is "
               "remembered, by which DEL can be called again."),
    Excuse("hint", (*DIRECTORIES, *LINKS), stays=ALWAYS,
           why="It is only read and written over, never made anew or removed; without it the search begins elsewhere."),
    Excuse("lease", ("empty",), stays=("DEL", "next"), commands=("ADD",),
           why="Files come and go without the index being told: then only its content says whose a lease is."),
    Excuse("lease", ("cut", "foreign"), stays=("DEL", "next"), until_mended=LEASES[1:], commands=WITHOUT_GC,
           why="It says that it is somebody else's, and so does the index when it is made anew. GC knows who there is."),
    Excuse("lease", (*DIRECTORIES, *LINKS), stays=ALWAYS,
           why="No plugin has ever made such a thing: whoever has done it did it to keep the address from being given out."),
    Excuse("index of leases", DIRECTORIES, stays=ALWAYS,
           why="Where it cannot be written nobody asks it: leases themselves are read."),
    Excuse("index of leases", DIRECTORIES, until_mended=LEASES[1:], commands=("ADD",),
           why="What another container's ADD got into it goes as soon as it can be written."),
    Excuse("record of tuning", FAULTS, for_good=("container's settings: ",),
           why="It alone says what there was before."),
    Excuse("record of tuning", ("a dangling link",), stays=("DEL", "GC"),
           why="There is no file for those who look. The next ADD puts one in its place."),
    Excuse("record of tuning", DIRECTORIES, stays=ALWAYS, fails=("add",),
           why="A directory is somebody's, and nothing is changed of which it could not be kept how it was before."),
    Excuse("result", DIRECTORIES, stays=ALWAYS, fails=("add",),
           why="A directory is somebody's, and ADD is not to succeed with what nobody would remember."),
    Excuse("result", ("foreign",), stays=("DEL", "GC"),
           why="Names may have hyphens in them: the file of network a-b with container c is that of a with b-c."),
    Excuse("result", ("empty", "cut", *LINKS), stays=("GC",),
           why="For the same reason its name does not say whose it is. DEL knows what it is to be called."),
)  # fmt: skip


@dataclass(frozen=True)
class Damage:
    """What is done to one file, and which command comes upon it first."""

    file: str
    fault: str
    command: str

    @property
    def title(self):
        return f"{self.file} is {self.fault}, then {self.command}"

    @property
    def excuses(self):
        return [excuse for excuse in EXCUSES if excuse.kind == kind(self.file) and self.fault in excuse.faults
                and self.command in excuse.commands]  # fmt: skip

    def may_stay(self, after):
        return any(after in excuse.stays for excuse in self.excuses)

    def may_fail(self, command, answer):
        """An error is no excuse for not saying what is wrong."""
        is_clear = any(line.startswith("cnitool: ") and self.file in line for line in answer.error.splitlines())
        return is_clear and not answer.died and any(command in excuse.fails for excuse in self.excuses)

    def may_be(self, line, mended):
        excused = [excuse.for_good + (() if mended else excuse.until_mended) for excuse in self.excuses]
        return any(line.startswith(beginnings) for beginnings in excused)


def state_files():
    """Those of an attachment that has a neighbour, whoever keeps them."""
    return [os.path.join(directory, name) for state in ("/var/lib/cni", "/run/cni")
            for directory, _, names in os.walk(state) for name in names]  # fmt: skip


def find():
    """The files that are there for one attachment, without those of its neighbour, and those that all have in common."""
    world = World(neighbour=True)
    before = set(state_files())
    world.need("add")
    return sorted(set(state_files()) - before) + sorted(file for file in before if kind(file) in ("lock", "hint"))


def foreign(path, content):
    """Something whole, and not ours."""
    if kind(path) == "result":
        return json.dumps({**json.loads(content), "containerId": "other"}).encode()
    return {
        "record of tuning": json.dumps({"owner": "cni:other/other/eth0", "mtu": 9000}).encode(),
        "index of leases": b"10.22.0.250", "hint": b"192.0.2.77",
    }.get(kind(path), b"other\r\neth0")  # fmt: skip


def inflict(path, fault, anew):
    """With the file made `anew`, or in place, as a power cut leaves it: its directory does not know."""
    file = Path(path)
    is_link = file.is_symlink()
    content = os.readlink(path).encode() if is_link else file.read_bytes()
    texts = {"empty": b"", "cut": content[: len(content) // 2], "foreign": foreign(path, content)}
    if fault in texts and not (is_link or anew):
        file.write_bytes(texts[fault])
        return
    file.unlink()
    if fault == "a directory":
        file.mkdir()
    elif fault == "a full directory":
        file.mkdir()
        Path(file, "somebody's").write_text("precious")
    elif fault == "a dangling link":
        file.symlink_to("/run/there/is/no/such/file")
    elif fault == "a loop of links":
        file.symlink_to(file.name)
    elif fault in texts:
        if is_link and texts[fault]:
            file.symlink_to(texts[fault])
        else:
            file.write_bytes(texts[fault])


def looks(path):
    """What is at a path, in short."""
    if os.path.islink(path):
        return "link", os.readlink(path)
    if os.path.isdir(path):
        return "directory", tuple(sorted(os.listdir(path)))
    return "file", Path(path).read_bytes()[:100]


def attempt(damage):
    """Tries one; what is wrong comes back as lines."""
    problems = []
    try:
        Attempt(damage, problems).run()
    except Exception as error:  # the others are to be tried all the same
        problems.append(f"{type(error).__name__}: {error}")
    finally:
        worlds.remove_container(OTHER)
    return damage, problems


class Attempt:
    def __init__(self, damage, problems):
        self.damage = damage
        self.problems = problems

    def run(self):
        damage = self.damage
        self.world = world = World(neighbour=True)
        world.need("add")
        world.need("check")
        # What is the attachment's own another container's ADD reads only if the index of leases is behind.
        inflict(damage.file, damage.fault, anew=damage.command == "ADD")
        if damage.command == "ADD":
            worlds.make_container(OTHER)
            before = kernel.host()
            self.come_and_go(OTHER)
            self.expect(kernel.differences(before, kernel.host()), "after the other container")
        else:
            checked = world.call("check")
            if checked.failed and (checked.died or not checked.error.startswith("cnitool: ")):
                self.problems.append(f"CHECK: no clear error: {checked.error}")
        if damage.command == "DEL, namespace gone":
            world.container_goes()
        command = "gc" if damage.command == "GC" else "del"
        self.call(command, "c0")
        self.expect_rest(command.upper())
        world.container_comes()
        self.come_and_go("c0", "the next container")
        self.expect_rest("next")
        self.mend()

    def come_and_go(self, container, what=""):
        if not self.call("add", container, what).failed:
            self.call("check", container, what)
        self.call("del", container, what)

    def call(self, command, container, what=""):
        # The other one has no ports: those of the first are taken.
        answer = self.world.call(command, container, ports=[] if container == OTHER else None)
        if answer.failed and not self.damage.may_fail(command, answer):
            self.problems.append(f"{command.upper()} of {what or container}: {answer.error}")
        return answer

    def expect(self, lines, when, mended=False):
        for line in lines:
            if not (self.damage.may_be(line, mended) or (self.is_itself(line) and not mended)):
                self.problems.append(f"{when}: {line}")

    def is_itself(self, line):
        """What is damaged is looked at by itself."""
        file = line.removeprefix("files: left: ").removeprefix("files: gone: ")
        return file == self.damage.file or file.startswith(self.damage.file + "/")

    def expect_rest(self, after):
        self.expect(self.world.left(), f"after {after}")
        file = self.damage.file
        is_sound = kind(file) in ("lock", "hint") and os.path.isfile(file) and not os.path.islink(file)
        if os.path.lexists(file) and not is_sound and not self.damage.may_stay(after):
            self.problems.append(f"after {after}: {file} is still there: {looks(file)}")

    def mend(self):
        """What the product cannot, an administrator does; then it is as if nothing had happened."""
        file = self.damage.file
        if self.damage.may_stay("by hand") and os.path.lexists(file):
            shutil.rmtree(file) if os.path.isdir(file) and not os.path.islink(file) else os.unlink(file)
        for command in ("del", "gc", "add", "check", "del"):
            answer = self.world.call(command)
            if answer.failed:
                self.problems.append(f"{command.upper()} when it is mended: {answer.error}")
        self.expect(self.world.left(), "when it is mended", mended=True)


def tasks():
    return [Damage(file, fault, command) for file in find() for fault in FAULTS for command in COMMANDS]
