#!/usr/bin/python3
"""podman, buildah and containerd with these plugins as their only ones.

    runtimes.py [EXECUTABLE] [--only RUNTIME,…]    (or PRODUCT in the environment)

Each runtime has a throw-away host: network, mount, process, IPC and cgroup namespaces, in which it finds its directories
empty, and a machine outside that talks to its containers. What it does is what its users do, packets are sent, and in
the end the host must be as it was before. Prints a table, and as the last line "N passed, N failed".

Debian's interpreter runs it, because the client of containerd's CRI needs Debian's grpc.
"""

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Scripts"))

import remains  # noqa: E402
from node import TOOLS  # noqa: E402
from throwaway import Tally, as_first_process  # noqa: E402

HERE = Path(__file__).resolve().parent
RUNTIMES = {"podman": "podman_life", "buildah": "buildah_life", "ctr": "ctr_life", "cri": "cri_life"}
LIMIT = 1200


class Report(Tally):
    """What the expectations of one runtime's scenarios came to. A scenario that cannot go on has failed."""

    def __init__(self, runtime, chosen):
        super().__init__()
        self.runtime = runtime
        self.chosen = chosen
        self.rows = []
        self.title = ""

    def expect(self, what, condition, found=""):
        return super().expect(f"{self.runtime}: {self.title}: {what}", condition, found)

    def same(self, what, found, wanted):
        return self.expect(what, found == wanted, f"{found!r} instead of {wanted!r}")

    def run(self, title, scenario):
        if self.chosen in title:
            self.row(title, lambda: scenario(self))

    def impossible(self, title):
        if self.chosen in title:
            self.rows.append((self.runtime, f"{title}: not on this kernel", 0, 0, 0))

    def row(self, title, body):
        """Whatever happens in it, the host must be afterwards as it was before."""
        self.title, self.passed, self.failed = title, 0, 0
        begin = time.monotonic()
        before = state(remains.host())
        try:
            body()
        except Exception as error:
            # Where a row has others in it, these have been.
            self.title = title
            last = traceback.extract_tb(error.__traceback__)[-1]
            self.expect(f"goes on to its end ({Path(last.filename).name}:{last.lineno})", False,
                        f"{type(error).__name__}: {error}")  # fmt: skip
        after = remains.settled(before, state)
        different = dict(remains.changes(before, after))
        for what in before:
            self.expect(f"{what} is as before", what not in different, different.get(what))
        self.rows.append((self.runtime, title, self.passed, self.failed, time.monotonic() - begin))

    def whole(self, body):
        """All scenarios, and what comes before the first, and after the last."""
        own = Report(self.runtime, self.chosen)
        own.row("its whole life", body)
        self.rows += own.rows


def state(host):
    """Of what the kernel remembers of packets, what leads them to a container: the rest is over after half a minute, and
    leads nobody astray."""
    return {what: found for what, found in host.items() if what != "conntrack -L"}


def inside(runtime, executable, results, chosen):
    """One runtime, in its host."""
    as_first_process()
    import control_groups
    import image
    import node

    control_groups.enter()
    node.build(executable)
    image.archive("/run/images.tar", TOOLS / "answer")
    report = Report(runtime, chosen)
    report.whole(lambda: importlib.import_module(RUNTIMES[runtime]).live(report))
    with os.fdopen(results, "w") as file:
        json.dump(report.rows, file)


def outside(runtime, executable, chosen):
    """Starts this program again in namespaces for one runtime. Everything in them ends with it, however it ends."""
    import control_groups

    name = f"{os.getpid()}.{runtime}"
    with control_groups.removed_at_the_end(name) as left:
        groups = control_groups.make(name)
        reader, writer = os.pipe()

        def enter():
            for group in groups:
                (group / "cgroup.procs").write_text("0")

        program = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc",
                   sys.executable, __file__, executable, "--inside", runtime, "--results", str(writer),
                   "--scenario", chosen]  # fmt: skip
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *program], pass_fds=[writer], preexec_fn=enter)
        os.close(writer)
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            print(f"FAILED: {runtime}: not done after {LIMIT} seconds", flush=True)
        finally:
            process.kill()
            process.wait()
    with os.fdopen(reader) as file:
        text = file.read()
    rows = json.loads(text) if text else [(runtime, "its whole life", 0, 1, 0)]
    if left:
        print(f"FAILED: {runtime}: control groups cannot be removed: {', '.join(left)}", flush=True)
    return [*rows, (runtime, "control groups are gone", *((0, 1) if left else (1, 0)), 0)]


def build_tools():
    TOOLS.mkdir(parents=True, exist_ok=True)
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run([*compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", TOOLS / "answer", HERE / "answer.c"],
                   check=True)  # fmt: skip
    subprocess.run(["protoc", f"--proto_path={HERE}", f"--python_out={TOOLS}", HERE / "cri.proto"], check=True)


def table(rows):
    titles = ("runtime", "scenario", "passed", "failed", "seconds")
    widths = [max(len(title), *(len(row[column]) for row in rows)) for column, title in enumerate(titles[:2])]
    form = f"{{:{widths[0]}}}  {{:{widths[1]}}}  {{:>6}}  {{:>6}}  {{:>7}}"
    print("\n" + form.format(*titles))
    for runtime, title, passed, failed, seconds in rows:
        print(form.format(runtime, title, passed, failed, f"{seconds:.1f}"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("executable", nargs="?", default=os.environ.get("PRODUCT", ".build/install/cni"))
    parser.add_argument("--scenario", default="", help="only scenarios whose names contain this")
    parser.add_argument("--only", default=",".join(RUNTIMES))
    parser.add_argument("--inside", choices=RUNTIMES)
    parser.add_argument("--results", type=int)
    options = parser.parse_args()
    executable = os.path.realpath(options.executable)
    if options.inside:
        inside(options.inside, executable, options.results, options.scenario)
        return
    import control_groups

    # Whoever is asked to end cleans up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    control_groups.sweep()
    build_tools()
    rows = []
    for runtime in options.only.split(","):
        rows += outside(runtime, executable, options.scenario)
    table(rows)
    passed, failed = (sum(row[column] for row in rows) for column in (2, 3))
    print(f"\n{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
