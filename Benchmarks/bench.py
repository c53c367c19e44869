#!/usr/bin/env python3
"""Measures our plugins against the Go ones and against the kernel alone, in one run.

    bench.py --output bench.json [--ours EXECUTABLE] [--go DIRECTORY] [--tools DIRECTORY] [--only WORD] [--quick]

The sides are interleaved, in an order that changes, so that a slow moment of the machine meets all; figures are medians,
and a verdict is always a ratio of medians from the same run, never a time. Times are taken by the processes that do the
work (`cnitool bench-attach`, `floor`, `spawn`), not by Python. bench.json is {"machine", "rows", "left out"}; each row is
{"row", "op", "measure", "go", "ours", "inside", "floor", "spread"}, see `hosts.py` for the sides; the spread is the first
and the third quartile of each.

Everything happens in namespaces of its own, which end with this program, however it ends. A missed target is
reported; the exit status is not 0 only if something could not be measured.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Scripts"))

import throwaway  # noqa: E402
from hosts import PATIENCE, SIDES, VERSION, WORK, Samples, Tools, every_side, floor, interleave  # noqa: E402
from rows import ROWS, serve_leases  # noqa: E402
from tables import NEAR, TITLES, lines_of, nearness, print_table, spread  # noqa: E402

ROUNDS, PAIRS = 8, 3  # 8: each of four sides follows each other one twice
# What the ratios are to reach: (row, op) -> side by side, at least or at most.
FASTER = {"full chain": (15, 5), "bridge+host-local": (3, None)}


def rows_of(title, samples, kinds):
    """Medians, and quartiles, of what was measured of the sides; of the others there is nothing."""
    samples = {side: samples.get(side, Samples()) for side in (*SIDES, "floor")}
    return [
        {"row": title, "op": op, "measure": measure,
         **{side: taken.median(op, measure) for side, taken in samples.items()},
         "spread": {side: taken.quartiles(op, measure) for side, taken in samples.items()
                    if taken.median(op, measure) is not None}}
        for op, measure in kinds
    ]  # fmt: skip


def measure_row(tools, row):
    samples = {side: Samples() for side in (*SIDES, "floor")}
    rounds, pairs = (1, 1) if tools.quick else (ROUNDS, PAIRS)
    with every_side(
            tools, row.plugins, prepare=row.prepare, capabilities=row.capabilities, interface=row.interface,
            resident=row.resident) as hosts:  # fmt: skip
        if row.serve:
            for host in hosts.values():
                serve_leases(host)
        bodies = [lambda side=side: hosts[side].measure(samples[side], pairs) for side in SIDES]
        if row.floor:
            bodies.append(lambda: floor(tools, samples["floor"], row.floor, pairs))
        interleave(rounds, bodies)
        # The figure that every process has; of the runtime with plugins inside it is what it grows by.
        for side in ("go", "ours"):
            for _ in range(1 if tools.quick else 3):
                hosts[side].measure_memory(samples[side])
    return rows_of(row.title, samples, [
        ("ADD", "wall"), ("DEL", "wall"), ("ADD", "cpu"), ("DEL", "cpu"), ("ADD", "peak"), ("ADD", "own")])  # fmt: skip


def measure_start_up(tools):
    """`bridge` VERSION: what it costs to be a process that says hello."""
    stdin = WORK / "version.json"
    stdin.write_text(json.dumps({"cniVersion": VERSION}))
    samples = {side: Samples() for side in ("go", "ours")}

    def body(side):
        environment = {"PATH": os.environ["PATH"], "CNI_COMMAND": "VERSION"}
        taken = tools.run([f"{tools.paths[side]}/bridge"], environment, stdin)
        for measure, value in taken.items():
            samples[side].add("VERSION", measure, value)

    interleave(10 if tools.quick else 100, [lambda: body("go"), lambda: body("ours")])
    return rows_of("bridge", samples, [("VERSION", measure) for measure in ("wall", "cpu", "peak")])


def measure_size(tools):
    """The installed set is one file under many names; the peer's plugins of the same names are a file each."""
    files = [Path(tools.paths["go"], name) for name in tools.names]
    size = sum(file.stat().st_blocks * 512 for file in files if file.exists())
    return [{"row": "installed set", "op": "", "measure": "size", "go": size / 1024, "ours": tools.installed / 1024,
             "inside": None, "floor": None, "spread": {}}]  # fmt: skip


def machine(options):
    """Where and of what the figures are. Asked before private namespaces cover what dpkg knows."""
    def said(*command):
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout.strip()
        except FileNotFoundError:
            return ""

    package = said("dpkg-query", "-W", "-f", "${Version}", "containernetworking-plugins")
    return {
        "kernel": platform.release(), "processors": os.cpu_count(), "architecture": platform.machine(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "peer": package if options.go == os.path.realpath("/usr/lib/cni") and package else options.go,
        "commit": said("git", "-C", str(Path(__file__).resolve().parent), "rev-parse", "--short", "HEAD"),
        "date": datetime.date.today().isoformat(), "complete": False,
    }  # fmt: skip


def write(options, content, complete=False):
    """The output, anew after each part: what was measured is not lost with what comes after. Complete is only the last of
    a run that measured everything."""
    whole = complete and not options.quick and not options.only
    text = json.dumps({"machine": options.machine | {"complete": whole}, **content}, indent=1) + "\n"
    Path(f"{options.output}.new").write_text(text)
    os.replace(f"{options.output}.new", options.output)


def verdicts(rows):
    """What the ratios were to reach, and whether they did."""
    found = {(row["row"], row["op"]): row for row in rows if row["measure"] == "wall"}
    for (title, op), row in found.items():
        least = FASTER.get(title, (None, None))[op == "DEL"]
        if least and row["go"] and row["ours"]:
            value = row["go"] / row["ours"]
            yield f"{title}, {op}: Go : ours as processes {value:.1f}, at least {least}", value >= least
        if row["floor"] and row["inside"]:
            value = row["inside"] / row["floor"]
            yield f"{title}, {op}: in-process : kernel alone {value:.2f}, at most {NEAR}", value <= NEAR


def everything(tools, options):
    """(rows, reasons why some are left out, number of failures)"""
    work = [("bridge VERSION", None, lambda: measure_start_up(tools)), ("size", None, lambda: measure_size(tools))]
    work += [(row.title, row, lambda row=row: measure_row(tools, row)) for row in ROWS]
    rows, left_out, failures = [], [], 0
    for title, row, measure in work:
        if options.only not in title:
            continue
        obstacle = row.obstacle(tools) if row else None
        if obstacle:
            left_out.append(f"{title}: {obstacle}")
            continue
        print(f"measuring {title}…", file=sys.stderr, flush=True)
        try:
            rows += measure()
        except Exception as error:  # whatever it is: the other rows are worth having
            failures += 1
            left_out.append(f"{title}: failed: {error!r}")
        write(options, {"rows": rows, "left out": left_out})
    return rows, left_out, failures


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", default=".build/install/cni")
    parser.add_argument("--go", default="/usr/lib/cni")
    parser.add_argument("--tools", default=".build/bench", help="where spawn and floor are")
    parser.add_argument("--output", required=True)
    parser.add_argument("--only", default="", help="what has this in its name")
    parser.add_argument("--quick", action="store_true", help="to see that it works: hardly any samples")
    return parser


def prepare(parser):
    """Checks what is there, and enters namespaces of this program's own."""
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("this makes namespaces, for which it must be root")
    for name in ("ours", "go", "tools", "output"):
        setattr(options, name, os.path.realpath(getattr(options, name)))
    for path in (options.ours, options.go, f"{options.tools}/spawn", f"{options.tools}/floor"):
        if not os.path.exists(path):
            sys.exit(f"there is no {path}")
    options.machine = machine(options)
    throwaway.enter_private_namespaces()
    WORK.mkdir()
    return options


def main():
    options = prepare(arguments(__doc__))
    rows, left_out, failures = everything(Tools(options), options)
    for measure, title in TITLES.items():
        if any(row["measure"] == measure for row in rows):
            print_table(title, lines_of(rows, measure))
    write(options, {"rows": rows, "left out": left_out}, complete=not failures)
    print()
    for sentence in (spread(rows), nearness(rows, "wall"), nearness(rows, "cpu")):
        print(sentence)
    for reason in left_out:
        print(f"not measured: {reason}")
    judged = list(verdicts(rows))
    for text, met in judged:
        if not met:
            print(f"missed: {text}")
    print(f"{sum(met for _, met in judged)} of {len(judged)} targets met; {options.output}")
    sys.exit(1 if failures or not rows else 0)


if __name__ == "__main__":
    main()
