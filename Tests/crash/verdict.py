"""What must hold after a command that was killed, or of which a call failed, whatever it said."""

import errno
import json
import os
import re

import kernel

# Without memory nobody can say anything. That memory cannot be given back, or made better use of, is none of these.
MEMORY = ("brk", "mmap", "mremap", "mprotect")
# What may be so forever, and so must not keep a container from being deleted.
LASTING = ("EPERM", "ENOSPC")
# How what is left is to be got rid of. That of a container whose namespace has ended with it is next.
RECOVERIES = {
    "DEL": "del",
    "GC": "gc",
    "DEL, nothing remembered": "del",
    "GC, nothing remembered": "gc",
    "DEL, namespace gone": "del",
}
KILL = "kill"


def told(text):
    """What ADD says it has made, without that which is different each time: MAC addresses are made up."""
    result = json.loads(text)
    for interface in result["interfaces"]:
        if not re.fullmatch("[0-9a-f]{2}(:[0-9a-f]{2}){5}", interface["mac"]):
            raise ValueError(f"{interface['mac']} is no MAC address")
        interface["mac"] = "some"
    return result


def tells(text, command, expected, problem):
    """Whoever has succeeded says so: ADD with its result, the others with nothing."""
    if command != "add":
        if text:
            problem(f"the {command.upper()} that succeeded said {text[:300]!r}")
        return
    try:
        result = told(text)
    except (ValueError, TypeError, KeyError) as error:
        problem(f"the ADD that succeeded gave no result: {error!r}: {text[:300]!r}")
        return
    if result != expected:
        problem(f"the ADD that succeeded gave another result: {json.dumps(result)} instead of {json.dumps(expected)}")


def unlike(expected, world):
    """What there is more or less than after an undisturbed ADD."""
    for line in kernel.differences(expected, world.attached()):
        # The index of leases by their owners only saves time: without it, they are searched.
        if "/.owners/" not in line:
            yield line.replace(": left: ", ": more: ").replace(": gone: ", ": less: ")


def names_error(message, error):
    """Says the message what failed? By number's name or the words for it."""
    words = os.strerror(getattr(errno, error))
    return error in message or words.lower() in message.lower()


def judge(point, world, answer, expected, problem):
    """Whoever was told of an error, or of success, must be able to rely on it. Gives how the command ended."""
    ending = "error" if answer.failed else "success"
    if answer.failed:
        if point.call.is_start and point.call.process == 0:
            if answer.text:
                problem(f"it said something for all that: {answer.text[:300]!r}")
        # Before it, last words of a plugin may come.
        elif "cnitool: " not in answer.error:
            problem(f"no clear error: {answer.error[:300]!r}")
        elif point.call.name in MEMORY and "killed by signal" in answer.error:
            # A plugin that got no memory. Who called it tells.
            pass
        elif not point.call.is_start and point.fault != KILL and not names_error(answer.error, point.error):
            problem(f"it does not say what failed: {answer.error[:300]!r}")
        if point.fault == KILL and "signal" not in answer.error.lower() and "kill" not in answer.error.lower():
            problem(f"it does not say that the plugin was killed: {answer.error[:300]!r}")
        if "is not JSON" in answer.error or "cut short" in answer.error:
            problem(f"the plugin's error is no JSON: {answer.error[:300]!r}")
        if point.command == "add":
            for line in world.left():
                problem(f"after the failed ADD: {line}")
    elif point.command in ("del", "gc"):
        # That index is known to be wrong by its time, and made anew by whoever comes next; `recover` looks at it.
        left = [line for line in world.left() if "/.owners/" not in line]
        if left and point.error in LASTING and said_what_it_keeps(left, answer.error):
            ending = "kept"
            # Nobody waits for what may never be allowed: GC does it, once it is.
            collected = world.call("gc")
            if collected.failed:
                problem(f"GC after the {point.command.upper()} that could not do everything: {collected.error}")
            left = world.left()
        for line in left:
            problem(f"after the {point.command.upper()} that succeeded: {line}")
    if point.command == "check" or (point.command == "add" and not answer.failed):
        for line in unlike(expected.host, world):
            problem(f"after the {point.command.upper()}: {line}")
    if not answer.failed:
        tells(answer.text, point.command, expected.result, problem)
    if point.command == "add" and not answer.failed:
        checked = world.call("check")
        if checked.failed:
            problem(f"CHECK after the ADD that succeeded: {checked.error}")
    return ending


def said_what_it_keeps(left, message):
    """Is all that is left the entry of the cache, which stops nobody, or a kernel setting of the container's and the file that
    says what it was before? And has whoever deletes been told so?"""
    stays = "core/somaxconn stays 500, and was" in message or "nothing is restored: cannot read" in message
    stays = stays and "GC, or another DEL, tries again" in message
    for line in left:
        file = line.removeprefix("files: left: ")
        if line.startswith("container's settings: "):
            if not stays:
                return False
        elif file == line or not ("/results/" in file or "/tuning/" in file):
            return False
        elif not (f"cannot remove {file}" in message or ("/tuning/" in file and stays)):
            return False
    return True


def recover(point, world, problem):
    if "nothing remembered" in point.recovery:
        world.cache_goes()
    if "namespace gone" in point.recovery:
        world.container_goes()
    command = RECOVERIES[point.recovery]
    if point.recovery == "GC, nothing remembered":
        # GC knows of no namespace: what is in it goes with the container, whose end is why it is called.
        world.container_before = None
    answer = world.call(command)
    if answer.failed:
        problem(f"{command.upper()} afterwards: {answer.error}")
    for line in world.left() + world.neighbour_is_well():
        problem(f"after {command.upper()}: {line}")
    if world.container_before is None:
        world.container_goes()
    world.container_comes()
    try_again(world, problem)


def try_again(world, problem):
    """The host is as good as new: the next container comes and goes."""
    for command in ("add", "check", "del"):
        answer = world.call(command)
        if answer.failed:
            problem(f"the next {command.upper()}: {answer.error}")
    for line in world.left():
        problem(f"after the next container: {line}")
