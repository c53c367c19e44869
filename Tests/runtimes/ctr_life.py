"""containerd's own client: `ctr run --cni`.

It knows one network, the first there is, and no published ports. A network is neither connected, nor disconnected, nor
reloaded; a container that is started again has none (`ctr tasks start` knows nothing of networks), and that of one that nobody has
waited for (`--detach`) is left to the administrator.
"""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from containerd import Containerd, leases, write_networks
from image import ANSWER
from killing import AT_THE_END, kill_at
from node import LOCAL, Failure, ask, command_line, run, wait_until
from traffic import Server, addresses, collect, direct, every_address, expect_answers, outside_server, world

MOMENTS = (0.3, 0.5, 0.7, 0.9)


def ctr(*arguments, **keywords):
    return run("ctr", *arguments, **keywords)


def serve(name):
    process = subprocess.Popen(
        ["ctr", "run", "--cni", "--rm", ANSWER, name, "/bin/answer", name, "tcp/80", "udp/53"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    line = process.stdout.readline()
    if "ready" not in line:
        raise Failure(f"{name} does not run: {line} {process.stderr.read()}")
    return process, server(name)


def server(name):
    """The container of that name, which runs."""
    pid = next(path.name for path in Path("/proc").glob("[0-9]*") if command_line(path.name)[:2] == ["/bin/answer", name])
    namespace = f"/proc/{pid}/ns/net"
    return Server(name, namespace, addresses(namespace))


def end(process, name):
    ctr("tasks", "kill", "--signal", "SIGTERM", name, check=False)
    return process.wait(20)


def several(report):
    (one, first), (two, second) = serve("x1"), serve("x2")
    expect_answers(report, [
        *direct(first), *direct(first, "outside", "client"), *direct(second, "x1", first.namespace),
        *direct(first, "x2", second.namespace), *world(first), *world(second),
    ])  # fmt: skip
    report.same("exit status", [end(one, "x1"), end(two, "x2")], [0, 0])
    report.same("leases", leases("one"), [])


def detached(name):
    """Starts a container and leaves it to itself."""
    ctr("run", "--cni", "--detach", ANSWER, name, "/bin/answer", name, "tcp/80", "udp/53")
    started = server(name)
    wait_until(lambda: ask(started.namespace, "tcp", LOCAL[4], 80).startswith(name))
    return started


def remove(name):
    ctr("tasks", "kill", "--signal", "SIGTERM", name)
    wait_until(lambda: "RUNNING" not in ctr("tasks", "ls"))
    ctr("tasks", "delete", name)
    ctr("containers", "delete", name)
    collect("one")


def repeated(report):
    """The same container again; and containerd stopped, or killed, meanwhile."""
    for what in ("nothing", "stopped", "killed"):
        first = detached("x1")
        if what != "nothing":
            DAEMON.restart(kill=what == "killed")
        two, second = serve("x2")
        expect_answers(report, [
            *direct(first), *direct(first, "outside", "client"), *direct(first, "x2", second.namespace),
            *direct(second, "x1", first.namespace), *world(first),
        ])  # fmt: skip
        end(two, "x2")
        report.same("leases of what is left", [lease.split()[1] for lease in leases("one")], every_address(first))
        remove("x1")
        report.same(f"leases, with containerd: {what}", leases("one"), [])


def many(report):
    with ThreadPoolExecutor(12) as pool:
        all_of_them = list(pool.map(lambda number: serve(f"m{number}"), range(12)))
        servers = [server for _, server in all_of_them]
        report.same("different addresses", len({address for one in servers for address in every_address(one)}), 24)
        expect_answers(report, [question for one in servers for question in direct(one)])
        list(pool.map(lambda one: end(one[0], one[1].name), all_of_them))
    report.same("leases", leases("one"), [])


def killed(report):
    """ctr is who calls the plugins: when it is killed nobody sends DEL."""
    kept_process, kept = serve("kept")
    keep = f"{Path('/var/lib/cni/networks/one', kept.addresses[4][0]).read_text().split()[0]}/eth0"
    own = leases("one")

    def clean_up(name, what):
        ctr("tasks", "kill", "--signal", "SIGKILL", name, check=False)
        wait_until(lambda: name not in ctr("tasks", "ls") or "STOPPED" in ctr("tasks", "ls"))
        ctr("tasks", "delete", name, check=False)
        ctr("containers", "delete", name, check=False)
        collect("one", keep=[keep])
        report.same(f"leases after ctr was killed {what}", leases("one"), own)

    started = time.monotonic()
    process, _ = serve("x1")
    duration = time.monotonic() - started
    process.kill()
    process.wait()
    clean_up("x1", "with the container running")
    for number, moment in enumerate((*MOMENTS, AT_THE_END), 2):
        # What a ctr that was killed has begun of a container is in the way of the next one of that name.
        name = f"x{number}"
        kill_at(report, moment, duration, ["ctr", "run", "--cni", "--rm", ANSWER, name, "/bin/answer", name])
        clean_up(name, f"at {moment}")
    expect_answers(report, [*direct(kept), *world(kept)])
    end(kept_process, "kept")


SCENARIOS = {
    "two containers": several,
    "again, containerd restarted": repeated,
    "12 containers at once": many,
    "ctr killed midway": killed,
}
DAEMON = Containerd()


def live(report):
    write_networks()
    DAEMON.start()
    DAEMON.load("default")
    with_world = outside_server()
    for title, scenario in SCENARIOS.items():
        report.run(title, scenario)
    with_world.kill()
    DAEMON.stop()
