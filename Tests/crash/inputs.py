"""What DEL is given, missing or changed in turn: namespace, result, the memory of ADD, the configuration, a plugin."""

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from verdict import try_again
from world import TOOL, World, chain


@dataclass(frozen=True)
class Loss:
    """What is not there, or not as it was, when DEL or GC is called."""

    what: str
    command: str
    processes: bool = False

    @property
    def title(self):
        return f"{self.what}, then {self.command.upper()}"


def without(*types):
    changed = chain()
    changed["plugins"] = [plugin for plugin in changed["plugins"] if plugin["type"] not in types]
    return changed


def changed_plugin(kind, **keys):
    changed = chain()
    for plugin in changed["plugins"]:
        if plugin["type"] == kind:
            plugin.update(keys)
    return changed


def with_version(version):
    return {**chain(), "cniVersion": version}


RATES = ("ingressRate", "ingressBurst", "egressRate", "egressBurst")
# The name of the network stays: under another it is another network.
CONFIGURATIONS = {
    "another bridge": lambda: changed_plugin("bridge", bridge="cni9"),
    "other ranges": lambda: changed_plugin(
        "bridge", ipam={"type": "host-local", "ranges": [[{"subnet": "10.99.0.0/24"}]]}),
    "no masquerading": lambda: changed_plugin("bridge", ipMasq=False),
    "rates removed": lambda: changed_plugin("bandwidth", **dict.fromkeys(RATES, 0)),
    "rates changed": lambda: changed_plugin("bandwidth", **dict.fromkeys(RATES, 2000)),
    "rates that are none": lambda: changed_plugin("bandwidth", ingressRate="fast"),
    "other settings": lambda: changed_plugin("tuning", sysctl={"net.core.somaxconn": "600"}, mtu=1300),
    "settings that are none": lambda: changed_plugin("tuning", sysctl=["net.core.somaxconn"]),
    "firewall with an ingress policy": lambda: changed_plugin("firewall", ingressPolicy="same-bridge"),
    "firewall of iptables": lambda: changed_plugin("firewall", backend="iptables"),
    "no portMappings": lambda: changed_plugin("portmap", capabilities={}),
    "portmap without snat": lambda: changed_plugin("portmap", snat=False),
    "an older cniVersion": lambda: with_version("0.4.0"),
    "the oldest cniVersion": lambda: with_version("0.3.1"),
    **{f"no {kind}": lambda kind=kind: without(kind) for kind in ("portmap", "firewall", "bandwidth", "tuning")},
}  # fmt: skip
# What cannot be a network any more: then what is remembered has to do.
FILES = {
    "no configuration": None,
    "an empty configuration": "",
    "a cut configuration": json.dumps(chain())[:200],
    "a configuration that is none": '{"cniVersion": "1.1.0", "name": "chain", "plugins": []}',
}
PLAIN = ("namespace gone", "nothing remembered", "nothing remembered and namespace gone", "no result remembered",
         "a result of another version", "no CAP_ARGS", "other CAP_ARGS", "namespace of another container")  # fmt: skip
PLUGINS = ("bridge", "host-local", "portmap", "firewall", "bandwidth", "tuning")
PROGRAMS = {
    "cannot be executed": "#!/bin/sh\nexit 0\n",
    "fails": "#!/bin/sh\nexit 1\n",
    "is killed": "#!/bin/sh\nkill -KILL $$\n",
    "says nonsense": "#!/bin/sh\necho '{\"ips'\nexit 1\n",
}
# A plugin that is not one of ours: it keeps a file for each attachment, and cnitool does not have it in itself.
STRANGER = "ledger"
LEDGER = Path("/var/lib/cni", STRANGER)
STRANGERS_PROGRAM = f"""#!{sys.executable} -IS
import json, os, pathlib, sys
call = json.load(sys.stdin)
command = os.environ["CNI_COMMAND"]
kept = pathlib.Path("{LEDGER}")
def leave():
    if kept.exists() and not any(kept.iterdir()):
        kept.rmdir()
if command == "VERSION":
    json.dump({{"cniVersion": "1.1.0", "supportedVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]}}, sys.stdout)
elif command == "GC":
    valid = {{each["containerID"] + ":" + each["ifname"] for each in call.get("cni.dev/valid-attachments", [])}}
    for file in kept.iterdir() if kept.exists() else []:
        if file.name not in valid:
            file.unlink()
    leave()
elif command != "STATUS":
    file = kept / (os.environ["CNI_CONTAINERID"] + ":" + os.environ["CNI_IFNAME"])
    if command == "ADD":
        kept.mkdir(exist_ok=True)
        file.touch()
        json.dump(call["prevResult"], sys.stdout)
    elif command == "DEL":
        file.unlink(missing_ok=True)
        leave()
    elif not file.exists():
        sys.exit(json.dumps({{"cniVersion": "1.1.0", "code": 100, "msg": "it is not in the ledger"}}))
"""
PLACES = {"the last plugin": len(chain()["plugins"]), "a plugin in the middle": 2}
STRANGERS_FAULTS = ("is gone", *PROGRAMS)


def tasks():
    losses = [Loss(what, command) for what in (*PLAIN, *CONFIGURATIONS, *FILES) for command in ("del", "gc")
              if not (what in FILES and command == "gc")]  # fmt: skip
    losses += [Loss(f"{plugin} is gone", command, True) for plugin in PLUGINS for command in ("del", "gc")]
    for how in PROGRAMS:
        losses += [Loss(f"{plugin} {how}", command, True) for plugin in PLUGINS for command in ("del", "gc")]
    losses += [Loss(f"{place}, somebody else's, {fault}", command) for place in PLACES for fault in STRANGERS_FAULTS
               for command in ("del", "gc")]  # fmt: skip
    return losses


def group(loss):
    """The row of the table that it is in."""
    if loss.what.startswith(tuple(PLACES)):
        return "somebody else's program"
    if loss.processes:
        return "a plugin's program"
    return "configuration" if loss.what in CONFIGURATIONS or loss.what in FILES else "what was remembered"


def attempt(loss):
    problems = []
    try:
        attempted(loss, problems.append)
    except Exception as error:  # the others are to be tried all the same
        problems.append(f"{type(error).__name__}: {error}")
    return loss, problems


def attempted(loss, problem):
    if loss.what.startswith(tuple(PLACES)):
        return lost_stranger(loss, problem)
    world = World(loss.processes)
    world.need("add")
    failing = lose(loss, world)
    answer = world.call(loss.command)
    if failing:
        expect_error(answer, failing, problem)
        # When the plugin is back, all is done that was left.
        restore(world)
        again = world.call(loss.command)
        if again.failed:
            problem(f"{loss.command.upper()} with the plugin back: {again.error}")
    elif answer.failed:
        problem(f"{loss.title}: {answer.error}")
    for line in world.left():
        problem(f"after {loss.command.upper()}: {line}")
    restore(world)
    world.container_comes()
    try_again(world, problem)


def lost_stranger(loss, problem):
    """Without a plugin that nobody else can stand in for, all but its own part is done."""
    place, _, fault = loss.what.partition(", somebody else's, ")
    configuration = chain()
    configuration["plugins"].insert(PLACES[place], {"type": STRANGER})
    directory = directory_of_plugins()
    program = directory / STRANGER
    program.write_text(STRANGERS_PROGRAM)
    program.chmod(0o755)
    world = World(configuration=configuration)
    world.environment["CNI_PATH"] = str(directory)
    world.need("add")
    world.need("check")
    if len(list(LEDGER.iterdir())) != 1:
        problem("the plugin was not called")
    spoil(program, fault)
    answer = world.call(loss.command)
    expect_error(answer, STRANGER, problem)
    # What the plugin keeps, and by what it is called once it is back.
    for line in world.left():
        if not line.startswith((f"files: left: {LEDGER}/", "files: left: /var/lib/cni/results/")):
            problem(f"after {loss.command.upper()} without the plugin: {line}")
    program.write_text(STRANGERS_PROGRAM)
    program.chmod(0o755)
    again = world.call(loss.command)
    if again.failed:
        problem(f"{loss.command.upper()} with the plugin back: {again.error}")
    for line in world.left():
        problem(f"after {loss.command.upper()} with the plugin back: {line}")
    world.container_comes()
    try_again(world, problem)


def expect_error(answer, plugin, problem):
    """One that tells of which plugin."""
    if not answer.failed:
        problem(f"succeeded, though {plugin} could not do anything")
    elif answer.hangs or answer.died or not answer.error.startswith("cnitool: ") or f'"{plugin}"' not in answer.error:
        problem(f"no clear error about {plugin}: {answer.error}")


def lose(loss, world):
    """The plugin that cannot do its work, if there is one."""
    what = loss.what
    if what in CONFIGURATIONS:
        world.configure(CONFIGURATIONS[what]())
    elif what in FILES:
        file = Path(world.configurations, "10.conflist")
        if FILES[what] is None:
            file.unlink()
        else:
            file.write_text(FILES[what])
    elif loss.processes:
        return lose_plugin(what, world)
    elif what == "no CAP_ARGS":
        world.environment["CAP_ARGS"] = "{}"
    elif what == "other CAP_ARGS":
        other = [{"hostPort": 9, "containerPort": 9, "protocol": "udp"}]
        world.environment["CAP_ARGS"] = json.dumps({"portMappings": other})
    elif what == "namespace of another container":
        # A namespace's path is used again: what is there now is none of ours.
        world.container_goes()
        world.container_comes()
    else:
        if "nothing remembered" in what:
            world.cache_goes()
        if "namespace gone" in what:
            world.container_goes()
        if "result" in what:
            for file in Path("/var/lib/cni/results").iterdir():
                entry = json.loads(file.read_text())
                if "another version" in what:
                    entry["result"]["cniVersion"] = "9.9.9"
                else:
                    del entry["result"]
                file.write_text(json.dumps(entry))
        if what == "nothing remembered" and loss.command == "gc":
            # GC knows of no namespace: what is in it goes with the container.
            world.container_before = None
    return None


def directory_of_plugins():
    """One of the worker's own, to be changed."""
    directory = Path(f"/run/cni-bin-{os.getpid()}")
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(Path(TOOL).parent, directory, copy_function=lambda source, target: Path(target).symlink_to(source))
    return directory


def spoil(program, fault):
    program.unlink()
    if fault in PROGRAMS:
        program.write_text(PROGRAMS[fault])
        if fault != "cannot be executed":
            program.chmod(0o755)


def lose_plugin(what, world):
    plugin, _, fault = what.partition(" ")
    directory = directory_of_plugins()
    world.environment["CNI_PATH"] = str(directory)
    spoil(directory / plugin, fault)
    # Where there is no program, cnitool calls the plugin that it has in itself.
    return plugin if fault in PROGRAMS and fault != "cannot be executed" else None


def restore(world):
    world.configure(chain())
    if "CNI_PATH" in world.environment:
        world.environment["CNI_PATH"] = str(Path(TOOL).parent)
