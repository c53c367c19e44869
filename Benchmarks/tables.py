"""What rows of bench.py say: as tables, and in sentences."""

import statistics

from hosts import SIDES

NEAR = 1.3  # what in-process : the kernel alone is to be at most
TITLES = {
    "wall": "time, ms", "cpu": "processor time of all processes, ms",
    "peak": "peak memory, KiB (processes: of the largest of the plugins; in-process: what the runtime's peak grows by)",
    "own": "memory that is not the executable's, KiB (processes: at the end of the largest; in-process: what the runtime "
           "grows by)",
    "size": "size on disk, KiB"}  # fmt: skip


def number(value, measure="wall"):
    if value is None:
        return ""
    if measure in ("peak", "own", "size") or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 100 else f"{value:.1f}"


def ratio(above, below, digits=1):
    if not above or not below:
        return ""
    value = above / below
    return f"{value:,.{0 if value >= 100 else digits}f}"


def lines_of(rows, measure):
    """The lines of one measure's table, the first being its head."""
    chosen = [row for row in rows if row["measure"] == measure]
    lines = [("", "", "Go", "ours, processes", "ours, in-process", "kernel alone",
              "Go : processes", "Go : in-process", "in-process : kernel")]  # fmt: skip
    for row in chosen:
        lines.append((
            row["row"], row["op"], *(number(row[side], measure) for side in (*SIDES, "floor")),
            ratio(row["go"], row["ours"]), ratio(row["go"], row["inside"]),
            ratio(row["inside"], row["floor"], 2)))  # fmt: skip
    keep = [column for column in range(9) if column == 0 or any(line[column] for line in lines[1:])]
    return [[line[column] for column in keep] for line in lines]


def print_table(title, lines):
    print(f"\n{title}")
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(
            cell.ljust(width) if not column or cell in ("ADD", "DEL", "VERSION") else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))).rstrip())  # fmt: skip


def nearness(rows, measure):
    """How many rows reach what in-process is to be beside the kernel alone."""
    found = []
    for op in ("ADD", "DEL"):
        ratios = [row["inside"] / row["floor"] for row in rows
                  if row["measure"] == measure and row["op"] == op and row["inside"] and row["floor"]]  # fmt: skip
        if ratios:
            found.append(f"{sum(value <= NEAR for value in ratios)} of {len(ratios)} rows at {op}")
    what = {"wall": "Time", "cpu": "Processor time"}[measure]
    return f"{what} in-process is within {NEAR} times that of the kernel alone in {' and '.join(found)}." if found else ""


def spread(rows):
    """How far the samples of a row are apart, as a sentence."""
    words = {"go": "the Go plugins", "ours": "ours as processes", "inside": "ours in-process", "floor": "the kernel alone"}
    found = []
    for side in (*SIDES, "floor"):
        widths = [(row["spread"][side][1] - row["spread"][side][0]) / row[side]
                  for row in rows if row["measure"] == "wall" and row[side]]  # fmt: skip
        if widths:
            found.append(f"{100 * statistics.median(widths):.0f} % for {words[side]}")
    if not found:
        return ""
    listed = " and ".join([", ".join(found[:-1])] * (len(found) > 1) + found[-1:])
    return ("Between the first and the third quartile of a row's times lie, in the median over all rows, "
            f"these parts of the row's median: {listed}.")  # fmt: skip
