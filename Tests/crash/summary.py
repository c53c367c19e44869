#!/usr/bin/env python3
"""Puts the numbers of a run of all points into README: summary.py OUTPUT README

OUTPUT is what crash.py has printed. What stands between the two marks in README is written anew."""

import collections
import re
import sys
from pathlib import Path

BEGIN, END = "<!-- crash: begin -->", "<!-- crash: end -->"
COLUMNS = ("points", "tried", "survived", "died", "failed", "leaks")


def what(chain, fault):
    """The row of the short table that a row of the long one belongs to."""
    if chain == "turmoil":
        return "links that come and go, `iptables -F`, `firewall-cmd --reload` meanwhile"
    if chain == "files of state":
        return "a file of state is empty, cut, foreign, unreadable"
    if chain == "inputs missing":
        return "what DEL and GC are given is missing or changed"
    kind = "killed" if fault.startswith("killed") else "refused by the kernel" if fault.startswith("refused") else "failing"
    place = {"one process": "in one process", "processes": "each plugin a process"}
    return f"{kind} at each call, {place.get(chain, 'in one process, beside another container')}"


def rows(text):
    """(chain, fault, counts) of the closing table."""
    table = text[text.rindex("\nchain "):].split("\n\n")[0]
    for line in table.splitlines()[2:]:
        chain = line[:22].strip()
        if chain == "all":
            return
        # A long name moves the numbers; behind the first, a column is as wide as its head says, and may be empty.
        fault, points, numbers = re.match(r"(.+?)  +(\d+)(.*)", line[31:]).groups()
        counts, place = [int(points)], 0
        for width in (7, 10, 7, 8, 7):
            counts.append(int(numbers[place:place + width].strip() or 0))
            place += width
        yield chain, fault, dict(zip(COLUMNS, counts))


def main():
    output, readme = Path(sys.argv[1]).read_text(), Path(sys.argv[2])
    sums = collections.defaultdict(collections.Counter)
    for chain, fault, counts in rows(output):
        sums[what(chain, fault)].update(counts)
        sums["all"].update(counts)
    lines = ["| what | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for name, counts in [*((name, sums[name]) for name in sums if name != "all"), ("all", sums["all"])]:
        lines.append(f"| {name} | " + " | ".join(f"{counts[column]:,}" for column in COLUMNS) + " |")
    told = re.search(r"^(\d+) of (\d+) points tried in .*$", output, re.MULTILINE)
    if not told or int(told[1]) != sums["all"]["tried"] or int(told[2]) != sums["all"]["points"]:
        sys.exit("the table was not understood: its sum is another")
    begin, end = (re.escape(mark) for mark in (BEGIN, END))
    text = readme.read_text()
    new = re.sub(f"{begin}.*{end}", lambda _: "\n".join([BEGIN, "", *lines, "", END]), text, flags=re.DOTALL)
    if new == text and BEGIN not in text:
        sys.exit(f"{readme} has no {BEGIN}")
    readme.write_text(new)


if __name__ == "__main__":
    main()
