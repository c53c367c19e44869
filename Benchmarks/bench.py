#!/usr/bin/env python3
"""Measures our plugins against the Go ones and against the kernel alone, in one run.

    bench.py [--ours EXECUTABLE] [--go DIRECTORY] [--tools DIRECTORY] [--output bench.json] [--only WORD] [--quick]

The sides are interleaved (A B, B A, A B, …), so that a slow moment of the machine meets all; figures are medians, and
a verdict is always a ratio of medians from the same run, never a time. Times are taken by the processes that do the work
(`cnitool bench-attach`, `floor`, `spawn`), not by Python. bench.json is {"machine", "rows"}; each row is {"row", "op",
"measure", "go", "ours", "inside", "floor"}, see `hosts.py` for the sides.

Everything happens in namespaces of its own, which end with this program, however it ends. A missed target is
reported; the exit status is not 0 only if something could not be measured.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Scripts"))

import throwaway  # noqa: E402
from hosts import SIDES, VERSION, WORK, Host, Samples, Tools, floor, interleave  # noqa: E402
from rows import ROWS, serve_leases  # noqa: E402

ROUNDS, PAIRS = 6, 4
# What the ratios are to reach: (row, op) -> side by side, at least or at most.
FASTER = {"full chain": (15, 5), "bridge+host-local": (3, None)}
NEAR = 1.3  # ours in-process : the kernel alone


def measure_row(tools, row):
    """{(op, measure): {side: median}}"""
    samples = {side: Samples() for side in (*SIDES, "floor")}
    hosts = {}
    try:
        for side in SIDES:
            hosts[side] = Host(tools, side, row.plugins, row.prepare, row.capabilities, row.interface, row.resident)
            if row.serve:
                serve_leases(hosts[side])
        rounds, pairs = (1, 1) if tools.quick else (ROUNDS, PAIRS)
        bodies = [lambda side=side: hosts[side].measure(samples[side], pairs) for side in SIDES]
        if row.floor:
            bodies.append(lambda: floor(tools, samples["floor"], row.floor, pairs))
        interleave(rounds, bodies)
        # The figure that every process has; of the runtime with plugins inside it is what it grows by.
        for side in ("go", "ours"):
            for _ in range(1 if tools.quick else 3):
                hosts[side].measure_memory(samples[side])
    finally:
        for host in hosts.values():
            host.close()
    return [
        {"row": row.title, "op": op, "measure": measure,
         **{side: samples[side].median(op, measure) for side in samples}}
        for op, measure in (("ADD", "wall"), ("DEL", "wall"), ("ADD", "cpu"), ("DEL", "cpu"), ("ADD", "peak"), ("ADD", "own"))
    ]  # fmt: skip


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
    return [
        {"row": "bridge", "op": "VERSION", "measure": measure, "inside": None, "floor": None,
         **{side: samples[side].median("VERSION", measure) for side in samples}}
        for measure in ("wall", "cpu", "peak")
    ]  # fmt: skip


def measure_size(tools):
    """The installed set is one file under many names; the peer's plugins of the same names are a file each."""
    files = [Path(tools.paths["go"], name) for name in tools.names]
    size = sum(file.stat().st_blocks * 512 for file in files if file.exists())
    return [{"row": "installed set", "op": "", "measure": "size", "go": size / 1024, "ours": tools.installed / 1024,
             "inside": None, "floor": None}]  # fmt: skip


def machine(options):
    package = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "containernetworking-plugins"], capture_output=True, text=True).stdout
    return {
        "kernel": platform.release(), "processors": os.cpu_count(), "architecture": platform.machine(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "peer": package if options.go == "/usr/lib/cni" and package else options.go,
    }  # fmt: skip


TITLES = {
    "wall": "time, ms", "cpu": "processor time of all processes, ms",
    "peak": "peak memory, KiB (process: the largest of the plugins; in-process: what the runtime grows by)",
    "own": "memory that is not the executable's, KiB (process: at its end; in-process: what the runtime grows by)", "size": "size on disk, KiB"}  # fmt: skip


def number(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}" if value < 100 else f"{value:.1f}"


def ratio(above, below, form="{:.1f}"):
    return form.format(above / below) if above and below else ""


def lines_of(rows, measure):
    """The lines of one measure's table, the first being its head."""
    chosen = [row for row in rows if row["measure"] == measure]
    lines = [("", "", "Go", "ours, processes", "ours, in-process", "kernel alone",
              "Go : processes", "Go : in-process", "in-process : kernel")]  # fmt: skip
    for row in chosen:
        lines.append((
            row["row"], row["op"], *(number(row[side]) for side in (*SIDES, "floor")),
            ratio(row["go"], row["ours"]), ratio(row["go"], row["inside"]),
            ratio(row["inside"], row["floor"], "{:.2f}")))  # fmt: skip
    keep = [column for column in range(9) if column == 0 or any(line[column] for line in lines[1:])]
    return [[line[column] for column in keep] for line in lines]


def print_table(title, lines):
    print(f"\n{title}")
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(
            cell.ljust(width) if not column or cell in ("ADD", "DEL", "VERSION") else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))).rstrip())  # fmt: skip


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
        except (RuntimeError, subprocess.CalledProcessError, OSError) as error:
            failures += 1
            left_out.append(f"{title}: {error}")
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
    throwaway.enter_private_namespaces()
    WORK.mkdir()
    return options


def main():
    options = prepare(arguments(__doc__))
    rows, left_out, failures = everything(Tools(options), options)
    for measure, title in TITLES.items():
        if any(row["measure"] == measure for row in rows):
            print_table(title, lines_of(rows, measure))
    Path(options.output).write_text(
        json.dumps({"machine": machine(options), "rows": rows, "left out": left_out}, indent=1) + "\n")
    print()
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
