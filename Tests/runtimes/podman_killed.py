"""podman, or who serves it, killed with SIGKILL."""

import json
import os
import signal
import time
from pathlib import Path

from image import ANSWER
from killing import AT_THE_END, MOMENTS, kill_at
from node import command_line, ip
from podman import PORTS, Networks, begin, inspect, leases, podman, publish
from traffic import collect, direct, every_address, expect_answers, published, unpublished, world


def monitor_killed(report):
    """conmon is who cleans up when a container ends."""
    with Networks("one", "two"):
        for what in ("conmon", "conmon and the container"):
            begin("c1", networks=("one", "two"), ports=PORTS)
            state = inspect("c1")["State"]
            os.kill(state["ConmonPid"], signal.SIGKILL)
            if what != "conmon":
                os.kill(state["Pid"], signal.SIGKILL)
            podman("rm", "--force", "--time", "0", "c1")
            report.same(f"leases after {what} was killed", leases("one") + leases("two"), [])
            unpublished(report, PORTS)


def end_orphans(kept):
    """Whoever was started by a podman that was killed before it had written that down: conmon, and crun, which waits for
    somebody to start the container that it has made. They have the ports open that podman is to publish again."""
    for path in Path("/proc").glob("[0-9]*"):
        words = command_line(path.name)
        if words[0].endswith(("/conmon", "/crun")) and kept not in words:
            try:
                os.kill(int(path.name), signal.SIGKILL)
            except ProcessLookupError:
                pass


def killed_midway(report):
    """podman itself, at moments of `podman run` and `podman rm`: what it forgets, `cnitool gc` finds."""
    with Networks("one", "two"):
        kept = begin("kept", ports=(("tcp", 8099, 80),))
        keep = f"{inspect('kept')['Id']}/eth0"
        for name in ("one", "two"):
            file = Path("/etc/cni/net.d", f"{name}.conflist")
            configuration = json.loads(file.read_text())
            configuration["plugins"].append({"type": "hold"})
            file.write_text(json.dumps(configuration))
        words = {
            "run": ["run", "--detach", "--name", "c1", "--network", "one", "--network", "two", *publish(PORTS), ANSWER],
            "rm": ["rm", "--force", "--time", "0", "c1"],
        }  # fmt: skip
        for command in words:
            duration = 0
            for moment in (None, *MOMENTS, *([AT_THE_END] if command == "run" else [])):
                if command == "rm":
                    begin("c1", networks=("one", "two"), ports=PORTS)
                if moment is None:
                    started = time.monotonic()
                    podman(*words[command], check=False)
                    duration = time.monotonic() - started
                else:
                    kill_at(report, moment, duration, ["podman", *words[command]])
                podman("rm", "--force", "--time", "0", "c1", check=False)
                end_orphans(inspect("kept")["Id"])
                # The network namespaces that podman has forgotten are its own to leave behind, the rest is CNI's.
                for path in Path("/run/netns").glob("netns-*"):
                    if not path.samefile(kept.namespace):
                        ip("netns", "delete", path.name)
                collect("one", "two", keep=[keep])
                report.same(f"leases after the end at {moment} of {command}", [leases("one"), leases("two")],
                            [every_address(kept), []])  # fmt: skip
                unpublished(report, PORTS, 0.2)
        # Who was not meant has all of its own.
        expect_answers(report, [*direct(kept), *published(kept), *world(kept)])
