"""buildah: what is built has a network, too.

It publishes no ports, nothing of it goes on running, and networks are neither connected, nor disconnected, nor reloaded.
"""

import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from containerd import write_networks
from image import ANSWER
from killing import Kills, write_with_holds
from node import HOST, OUTSIDE, Failure, answering, command_line, end, ip, leases, run
from podman import configure
from traffic import (
    OUTSIDE_PORTS,
    Server,
    addresses,
    collect,
    direct,
    every_address,
    expect_answers,
    outside_server,
    world,
)

NETWORKS = ("one", "two")


def buildah(*arguments, **keywords):
    return run("buildah", *arguments, **keywords)


class Working:
    """A working container."""

    def __enter__(self):
        self.name = buildah("from", "--pull-never", ANSWER)
        return self

    def __exit__(self, *_):
        buildah("rm", self.name, check=False)

    def command(self, networks, *words):
        return ["buildah", "run", "--network", ",".join(networks), self.name, "--", *words]


def serve(working, networks, name):
    """`buildah run` that goes on until it is ended."""
    process = subprocess.Popen(working.command(networks, "/bin/answer", name, "tcp/80", "udp/53"), stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    if "ready" not in process.stdout.readline():
        raise Failure(f"{name} does not run")
    pid = answering(name)
    namespace = f"/proc/{pid}/ns/net"
    return process, pid, Server(name, namespace, addresses(namespace))


def steps(report):
    """`buildah run`, in one network and in two at once, with a world outside."""
    with Working() as working, Working() as another:
        process, pid, first = serve(working, NETWORKS, "b1")
        other, other_pid, second = serve(another, ["one"], "b2")
        report.same("addresses of each family", [len(first.addresses[family]) for family in (4, 6)], [2, 2])
        expect_answers(report, [
            *direct(first), *direct(second), *world(first), *world(second), *direct(second, "b1", first.namespace),
            *direct(second, "outside", "client"),
        ])  # fmt: skip
        for each in (pid, other_pid):
            end(each, signal.SIGTERM)
        report.same("exit status", [process.wait(60), other.wait(60)], [0, 0])
        report.same("leases", leases(*NETWORKS), [])
        process, pid, again = serve(working, NETWORKS, "b1")
        expect_answers(report, [*direct(again), *world(again)])
        end(pid, signal.SIGTERM)
        report.same("exit status of the second time", process.wait(60), 0)


def many(report):
    with ExitStack() as stack, ThreadPoolExecutor(12) as pool:
        workings = [stack.enter_context(Working()) for _ in range(12)]
        started = list(pool.map(lambda number: serve(workings[number], NETWORKS, f"m{number}"), range(12)))
        servers = [server for _, _, server in started]
        report.same("different addresses", len({address for one in servers for address in every_address(one)}), 48)
        expect_answers(report, [question for one in servers for question in direct(one)])
        for _, pid, _ in started:
            end(pid, signal.SIGTERM)
        report.same("exit status", [process.wait(60) for process, _, _ in started], 12 * [0])
        report.same("leases", leases(*NETWORKS), [])


def build(report):
    """A RUN of a Dockerfile that fetches something from outside, in both families."""
    Path("/run/context").mkdir(exist_ok=True)
    port = OUTSIDE_PORTS["tcp"]
    fetch = " && ".join(f"nc -w 3 {OUTSIDE[family]} {port} >>/fetched" for family in (4, 6))
    Path("/run/context/Dockerfile").write_text(f"FROM {ANSWER}\nRUN {fetch}\nRUN cat /fetched && echo ' end'\n")
    said = buildah("bud", "--no-cache", "--network", "one", "--tag", "localhost/built", "/run/context")
    for family in (4, 6):
        report.expect(f"it is the host who asks, by {family}", f"outside {port} {HOST[family]}" in said, said)
    with ThreadPoolExecutor(6) as pool:
        several = list(pool.map(
            lambda number: buildah("bud", "--no-cache", "--network", "one", "--tag", f"localhost/built{number}", "/run/context"),
            range(6)))  # fmt: skip
    report.same("six builds at once", sum(f"outside {port} {HOST[6]}" in said for said in several), 6)
    report.same("leases", leases(*NETWORKS), [])


def killed(report):
    """With the step under way, and at moments of its beginning: nobody sends DEL, and `cnitool gc` finds what is left."""
    with Working() as working, Working() as kept_one:
        process, pid, kept = serve(kept_one, ["one"], "kept")
        keep = f"{Path('/var/lib/cni/networks/one', kept.addresses[4][0]).read_text().split()[0]}/eth0"
        own = leases(*NETWORKS)

        def clean_up(moment):
            for left in Path("/proc").glob("[0-9]*"):
                if command_line(left.name)[:2] == ["/bin/answer", "b1"]:
                    end(int(left.name))
            for path in Path("/run/netns").iterdir():
                if path.name != "client" and not path.samefile(kept.namespace):
                    ip("netns", "delete", path.name)
            collect(*NETWORKS, keep=[keep])
            kills.nothing_left(moment, leases(*NETWORKS), own)

        try:
            with Kills(report, "buildah run", "ADD", sum(map(write_with_holds, write_networks().values()))) as kills:
                command = working.command(NETWORKS, "/bin/answer", "b1")
                for moment in (None, *kills.moments()):
                    kills.one(moment, command)
                    clean_up(moment)
        finally:
            write_networks()
        expect_answers(report, [*direct(kept), *world(kept)])
        end(pid, signal.SIGTERM)
        process.wait(60)


SCENARIOS = {
    "run in one and two networks": steps,
    "bud, six at once": build,
    "12 containers at once": many,
    "killed midway": killed,
}


def live(report):
    configure()
    write_networks()
    buildah("pull", f"docker-archive:/run/images.tar:{ANSWER}")
    with_world = outside_server()
    for title, scenario in SCENARIOS.items():
        report.run(title, scenario)
    with_world.kill()
