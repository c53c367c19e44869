"""podman, or who serves it, killed with SIGKILL."""

from pathlib import Path

from image import ANSWER
from killing import Kills, write_with_holds
from node import command_line, end, ip, leases
from podman import PORTS, Networks, begin, inspect, podman, publish
from traffic import collect, direct, expect_answers, published, unpublished, world


def monitor_killed(report):
    """conmon is who cleans up when a container ends."""
    with Networks("one", "two"):
        for what in ("conmon", "conmon and the container"):
            begin("c1", networks=("one", "two"), ports=PORTS)
            state = inspect("c1")["State"]
            end(state["ConmonPid"])
            if what != "conmon":
                end(state["Pid"])
            podman("rm", "--force", "--time", "0", "c1")
            report.same(f"leases after {what} was killed", leases("one") + leases("two"), [])
            unpublished(report, PORTS)


def end_orphans(kept):
    """Whoever was started by a podman that was killed before it had written that down: conmon, and crun, which waits for
    somebody to start the container that it has made. They have the ports open that podman is to publish again."""
    for path in Path("/proc").glob("[0-9]*"):
        words = command_line(path.name)
        if words[0].endswith(("/conmon", "/crun")) and kept not in words:
            end(int(path.name))


def killed_midway(report):
    """podman itself, at moments of `podman run` and `podman rm`: what it forgets, `cnitool gc` finds."""
    with Networks("one", "two"):
        # In both networks, because the guard of 127.0.0.0/8 on a bridge is there for as long as anything is published.
        kept = begin("kept", networks=("one", "two"), ports=(("tcp", 8099, 80),))
        own = [leases("one"), leases("two")]
        keep = [f"{inspect('kept')['Id']}/{interface}" for interface in ("eth0", "eth1")]
        places = sum(write_with_holds(Path("/etc/cni/net.d", f"{name}.conflist")) for name in ("one", "two"))
        words = {
            "run": ["run", "--detach", "--name", "c1", "--network", "one", "--network", "two", *publish(PORTS), ANSWER],
            "rm": ["rm", "--force", "--time", "0", "c1"],
        }  # fmt: skip
        for name, command in (("run", "ADD"), ("rm", "DEL")):
            with Kills(report, f"podman {name}", command, places) as kills:
                for moment in (None, *kills.moments()):
                    if name == "rm":
                        podman(*words["run"])
                    if moment is None:
                        kills.measure(["podman", *words[name]]).wait(60)
                    else:
                        kills.kill(moment, ["podman", *words[name]])
                    podman(*words["rm"], check=False)
                    end_orphans(inspect("kept")["Id"])
                    # The network namespaces that podman has forgotten are its own to leave behind, the rest is CNI's.
                    for path in Path("/run/netns").glob("netns-*"):
                        if not path.samefile(kept.namespace):
                            ip("netns", "delete", path.name)
                    collect("one", "two", keep=keep)
                    kills.nothing_left(moment, [leases("one"), leases("two")], own)
                    unpublished(report, PORTS)
        # Who was not meant has all of its own.
        expect_answers(report, [*direct(kept), *published(kept), *world(kept)])
