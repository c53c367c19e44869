"""firewalld that is reloaded, with the containers' addresses in its zones."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import kernel
import world as worlds
from crowd import Containers, Repeated, expect_nothing
from throwaway import LIBC, checked
from world import World

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><auth>EXTERNAL</auth><listen>unix:path=/run/dbus/system_bus_socket</listen>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/>
<allow receive_type="signal"/></policy></busconfig>
"""


class Firewalld:
    """A bus and a firewalld in the worker's namespaces, with a copy of the machine's configuration."""

    def __enter__(self):
        copy_of_it = Path(f"/run/firewalld-{os.getpid()}")
        shutil.rmtree(copy_of_it, ignore_errors=True)
        shutil.copytree("/etc/firewalld", copy_of_it)
        shutil.rmtree(copy_of_it / "zones", ignore_errors=True)
        (copy_of_it / "zones").mkdir()
        Path("/run/dbus").mkdir(exist_ok=True)
        Path("/run/firewalld").mkdir(exist_ok=True)
        checked(LIBC.mount(str(copy_of_it).encode(), b"/etc/firewalld", None, worlds.MS_BIND, None), "mount")
        configuration = Path(f"/run/bus-{os.getpid()}.conf")
        configuration.write_text(BUS)
        self.bus = subprocess.Popen(
            ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--nopidfile", "--print-address=1"],
            stdout=subprocess.PIPE, text=True)  # fmt: skip
        self.bus.stdout.readline()
        self.daemon = subprocess.Popen(["firewalld", "--nofork", "--nopid"], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)  # fmt: skip
        for _ in range(200):
            if subprocess.run(["firewall-cmd", "--state"], capture_output=True).returncode == 0:
                return self
            time.sleep(0.1)
        raise OSError("firewalld does not answer")

    def __exit__(self, *_):
        for process in (self.daemon, self.bus):
            process.terminate()
            process.wait(timeout=30)
        LIBC.umount2(b"/etc/firewalld", worlds.MNT_DETACH)
        Path("/run/dbus/system_bus_socket").unlink(missing_ok=True)


RELOAD = "firewall-cmd --reload"
# The same call without the time that its program takes to start.
RELOADS = (RELOAD, *4 * ("dbus-send --system --print-reply --dest=org.fedoraproject.FirewallD1 "
                         "/org/fedoraproject/FirewallD1 org.fedoraproject.FirewallD1.reload",))  # fmt: skip


def expect_sources(containers, when, problems):
    """firewalld knows the addresses of those that are attached, now and after a reload, and no others."""
    wanted = {str(address) for addresses in containers.addresses.values() for address in addresses}
    for kind in ("", "--permanent "):
        command = f"firewall-cmd {kind}--zone=trusted --list-sources".split()
        found = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
        for what, these in (("does not know", wanted - found), ("still knows", found - wanted)):
            said = {containers.said[name] for name, addresses in containers.addresses.items()
                    if not these.isdisjoint(map(str, addresses))}  # fmt: skip
            if these:
                problems.append(f"{when}: firewalld {what} {kind}{' '.join(sorted(these))}; their ADD said: {said or 'nothing'}")


def reloaded(rounds, problems):
    """`firewall-cmd --reload`, which forgets all that was told at run time."""
    world = World()
    with Firewalld():
        for _ in range(2):
            # Its first reload settles what it makes at start.
            subprocess.run(RELOAD.split(), capture_output=True, check=True)
        world.before = kernel.host()
        with Containers(world) as containers:
            expect_sources(containers, "before", problems)
            containers.need("add")
            containers.need("check")
            expect_sources(containers, "attached", problems)
            with Repeated(*RELOADS, pause=0) as reload:
                reload.once_more()
                for _ in range(rounds + 1):
                    containers.need("del", containers.names[1::2])
                    containers.need("add", containers.names[1::2])
            problems += reload.problems()
            expect_sources(containers, "after reloads", problems)
            for name in containers.names:
                answer = containers.worlds[name].call("check", name)
                if answer.failed:
                    problems.append(f"CHECK of {name} after reloads: {answer.error}")
            with Repeated(*RELOADS, pause=0) as again:
                again.once_more()
                containers.need("del", containers.names[::2])
                containers.collect()
            problems += again.problems()
        expect_sources(containers, "afterwards", problems)
        subprocess.run(RELOAD.split(), capture_output=True, check=True)
        expect_nothing(world, problems)
        expect_sources(containers, "after the last reload", problems)
    return f"reloaded {(reload.count + again.count) * len(RELOADS)} times, {containers.calls} calls"
