#!/usr/bin/env python3
"""Puts figures into the documentation: figures.py DIRECTORY FILE... with the bench.json and growth.json of DIRECTORY.

In each FILE (Markdown) what stands between `<!-- figures: NAME -->` and `<!-- end of figures -->` is replaced by the table
of that name: `wall`, `cpu`, `memory` (all rows), `short` (a choice, with ratios), `growth` (ends of the curves), `machine`.
Tables of a run that did not measure everything are refused, and no FILE is changed.
"""

import json
import re
import sys
import textwrap
from pathlib import Path

from hosts import SIDES
from tables import TITLES, lines_of, nearness, number, ratio, spread

SHORT = [
    ("bridge", "VERSION", "wall"), ("host-local", "ADD", "wall"), ("bridge+host-local", "ADD", "wall"),
    ("bridge+host-local", "DEL", "wall"), ("ptp+host-local, portmap 2 ports", "ADD", "wall"),
    ("full chain", "ADD", "wall"), ("full chain", "DEL", "wall"), ("full chain", "ADD", "cpu"),
    ("full chain", "ADD", "peak"), ("full chain", "ADD", "own"), ("installed set", "", "size")]  # fmt: skip
UNITS = {"wall": "ms", "cpu": "processor ms", "peak": "peak KiB (in-process: growth of the runtime's)",
         "own": "KiB of its own (in-process: growth of the runtime's)", "size": "KiB"}  # fmt: skip
# curve, the point, the operation, its measure, what it is called
ENDS = [
    ("leases", (1000, 10_000, 50_000), "ADD", "wall", "host-local ADD, {:,} leases, ms"),
    ("containers", (0, 100, 1000), "ADD", "wall", "full chain ADD, {:,} containers present, ms"),
    ("containers", (1000,), "DEL", "wall", "full chain DEL, {:,} containers present, ms"),
    ("ports-present", (1000, 5000), "ADD", "wall", "ptp + portmap ADD, {:,} ports published, ms"),
    ("ports-of-one", (100, 1000, 5000), "ADD", "wall", "ptp + portmap ADD with {:,} ports, ms"),
    ("in-flight", (1, 8, 64), "ADD", "per second", "full chain ADDs per second, {:,} in flight"),
]  # fmt: skip


def markdown(lines):
    head, *rest = lines
    rule = ["---" if index == 0 or line_is_words(rest, index) else "---:" for index in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in ([*head], rule, *rest)) + "\n"


def paragraph(*sentences):
    return textwrap.fill(" ".join(sentences), 125) + "\n"


def line_is_words(lines, column):
    return any(line[column] in ("ADD", "DEL", "VERSION") for line in lines)


def short(rows):
    """Of all rows the telling ones."""
    found = {(row["row"], row["op"], row["measure"]): row for row in rows}
    lines = [("", "Go", "ours, processes", "ours, in-process", "kernel alone",
              "Go : processes", "Go : in-process", "in-process : kernel")]  # fmt: skip
    for words in SHORT:
        if words in found:
            row, (title, op, measure) = found[words], words
            lines.append((
                f"{title} {op}, {UNITS[measure]}".replace(" ,", ","),
                *(number(row[side], measure) for side in (*SIDES, "floor")),
                ratio(row["go"], row["ours"]), ratio(row["go"], row["inside"]),
                ratio(row["inside"], row["floor"], 2)))  # fmt: skip
    return f"{markdown(lines)}\n{paragraph(nearness(rows, 'wall'), spread(rows))}"


def growth(curves):
    values = {(curve["name"], point["x"], point["op"], point["measure"], point["side"]): point["value"]
              for curve in curves for point in curve["points"]}  # fmt: skip
    lines = [("", "Go", "ours, processes", "ours, in-process", "Go : processes", "Go : in-process")]
    for name, places, op, measure, words in ENDS:
        for x in places:
            go, ours, inside = (values.get((name, x, op, measure, side)) for side in SIDES)
            if inside is None:
                continue
            more = measure == "per second"
            lines.append((
                words.format(x), number(go) or "—", number(ours), number(inside),
                *(ratio(side, go) if more else ratio(go, side) for side in (ours, inside))))  # fmt: skip
    return markdown(lines)


def memory(rows):
    return "".join(f"{TITLES[measure][0].upper()}{TITLES[measure][1:]}:\n\n{markdown(lines_of(rows, measure))}\n"
                   for measure in ("peak", "own", "size")).rstrip("\n") + "\n"  # fmt: skip


def words_about(machine, left_out, curves):
    commit = f" of commit {machine['commit']}" if machine["commit"] else ""
    lines = [f"Measured on {machine['date']}{commit}; Linux {machine['kernel']} ({machine['architecture']}), "
             f"{machine['processors']} processors, {machine['memory']:,} MiB of memory; "
             f"Go plugins: containernetworking-plugins {machine['peer']}.", ""]  # fmt: skip
    lines += [f"- not measured: {reason}" for reason in left_out]
    lines += [f"- {curve['name']}: {note}" for curve in curves for note in curve["notes"]]
    return "\n".join(lines).rstrip() + "\n"


def read(path):
    """A run that measured everything."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"{path} cannot be read: {error}")
    if not content["machine"].get("complete"):
        sys.exit(f"{path} is not of a complete run: figures come from one without --quick, --only and failures")
    return content


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    directory = Path(sys.argv[1])
    bench, curves = read(directory / "bench.json"), read(directory / "growth.json")["curves"]
    rows = bench["rows"]
    tables = {
        "wall": f"{markdown(lines_of(rows, 'wall'))}\n{paragraph(nearness(rows, 'wall'), spread(rows))}",
        "cpu": f"{markdown(lines_of(rows, 'cpu'))}\n{paragraph(nearness(rows, 'cpu'))}",
        "memory": memory(rows), "short": short(rows), "growth": growth(curves),
        "machine": words_about(bench["machine"], bench["left out"], curves)}  # fmt: skip
    written = {}
    for name in sys.argv[2:]:
        written[name] = re.subn(
            r"(<!-- figures: (\w+) -->\n).*?(<!-- end of figures -->)",
            lambda found: f"{found[1]}\n{tables[found[2]]}\n{found[3]}", Path(name).read_text(), flags=re.DOTALL)
    for name, (document, count) in written.items():
        Path(name).write_text(document)
        print(f"{name}: {count} tables")


if __name__ == "__main__":
    main()
