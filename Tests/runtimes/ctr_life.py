"""containerd's own client: `ctr run --cni`.

It knows one network, the first there is, and no published ports. A network is neither connected, nor disconnected, nor
reloaded; a container that is started again has none (`ctr tasks start` knows nothing of networks), and that of one that nobody has
waited for (`--detach`) is left to the administrator.
"""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from containerd import Containerd, write_networks
from image import ANSWER
from killing import Kills, write_with_holds
from node import LOCAL, Failure, answering, ask, leases, required, run
from traffic import Server, addresses, collect, direct, every_address, expect_answers, outside_server, world


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
    namespace = f"/proc/{answering(name)}/ns/net"
    return Server(name, namespace, addresses(namespace))


def stop(process, name):
    ctr("tasks", "kill", "--signal", "SIGTERM", name, check=False)
    return process.wait(20)


def several(report):
    (one, first), (two, second) = serve("x1"), serve("x2")
    expect_answers(report, [
        *direct(first), *direct(first, "outside", "client"), *direct(second, "x1", first.namespace),
        *direct(first, "x2", second.namespace), *world(first), *world(second),
    ])  # fmt: skip
    report.same("exit status", [stop(one, "x1"), stop(two, "x2")], [0, 0])
    report.same("leases", leases("one"), [])


def detached(name):
    """Starts a container and leaves it to itself."""
    ctr("run", "--cni", "--detach", ANSWER, name, "/bin/answer", name, "tcp/80", "udp/53")
    started = server(name)
    required(f"{name} answers itself", lambda: ask(started.namespace, "tcp", LOCAL[4], 80).startswith(name))
    return started


def has_stopped(name):
    tasks = {line.split()[0]: line.split()[-1] for line in ctr("tasks", "ls").splitlines()}
    return tasks.get(name, "STOPPED") == "STOPPED"


def remove(name):
    ctr("tasks", "kill", "--signal", "SIGTERM", name)
    required(f"{name} has stopped", lambda: has_stopped(name))
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
        stop(two, "x2")
        report.same("leases of what is left", leases("one"), every_address(first))
        remove("x1")
        report.same(f"leases, with containerd: {what}", leases("one"), [])


def many(report):
    with ThreadPoolExecutor(12) as pool:
        all_of_them = list(pool.map(lambda number: serve(f"m{number}"), range(12)))
        servers = [server for _, server in all_of_them]
        report.same("different addresses", len({address for one in servers for address in every_address(one)}), 24)
        expect_answers(report, [question for one in servers for question in direct(one)])
        list(pool.map(lambda one: stop(one[0], one[1].name), all_of_them))
    report.same("leases", leases("one"), [])


def killed(report):
    """ctr is who calls the plugins: when it is killed nobody sends DEL."""
    kept_process, kept = serve("kept")
    keep = f"{Path('/var/lib/cni/networks/one', kept.addresses[4][0]).read_text().split()[0]}/eth0"
    own = leases("one")

    def clean_up(name, moment):
        ctr("tasks", "kill", "--signal", "SIGKILL", name, check=False)
        required(f"{name} has stopped", lambda: has_stopped(name))
        ctr("tasks", "delete", name, check=False)
        ctr("containers", "delete", name, check=False)
        collect("one", keep=[keep])
        kills.nothing_left(moment, leases("one"), own)

    try:
        with Kills(report, "ctr run", "ADD", write_with_holds(write_networks()["one"])) as kills:
            # What a ctr that was killed has begun of a container is in the way of the next one of that name.
            for number, moment in enumerate((None, *kills.moments()), 1):
                name = f"x{number}"
                command = ["ctr", "run", "--cni", "--rm", ANSWER, name, "/bin/answer", name]
                kills.one(moment, command)
                clean_up(name, moment)
    finally:
        write_networks()
    expect_answers(report, [*direct(kept), *world(kept)])
    stop(kept_process, "kept")


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
