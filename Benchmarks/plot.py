#!/usr/bin/env python3
"""Draws what curves.py measured: plot.py growth.json DIRECTORY writes one SVG for each curve.

Two panels side by side, axes logarithmic, one line for each side. The colours follow the reader's light or dark mode;
lines also differ by their marks. Hollow ones are medians of few samples.
"""

import json
import math
import sys
import textwrap
from dataclasses import dataclass
from html import escape
from pathlib import Path

from hosts import NAMES

FEW = 5  # samples
LINE = 115  # characters, which the width of the picture holds

WIDTH, HEIGHT = 960, 440
LEFT, TOP, PANEL_WIDTH, PANEL_HEIGHT, GAP = 64, 96, 376, 240, 96


@dataclass
class Panel:
    title: str
    op: str
    measure: str
    unit: str


ADD = Panel("ADD", "ADD", "wall", "milliseconds")
DEL = Panel("DEL", "DEL", "wall", "milliseconds")
PLOTS = {
    "leases": ("host-local: time of ADD and DEL, by the number of leases that are there", "leases in the network", (ADD, DEL)),
    "containers": ("bridge + portmap + firewall + tuning: time of ADD and DEL, by the number of containers present",
                   "containers on the host, each with two published ports", (ADD, DEL)),
    "ports-present": ("ptp + portmap, two ports: time of ADD and DEL, by the number of ports published already",
                      "ports of other containers published on the host", (ADD, DEL)),
    "ports-of-one": ("ptp + portmap: time of ADD and DEL, by the number of ports that the container publishes",
                     "ports of the container", (ADD, DEL)),
    "in-flight": ("bridge + portmap + firewall + tuning: several ADDs at once",
                  "ADDs in flight", (Panel("throughput", "ADD", "per second", "ADDs per second"),
                                     Panel("time of each ADD", "EACH", "wall", "milliseconds"))),
}  # fmt: skip

STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 } .panel { font-size: 14px; font-weight: 600 }
  .quiet { fill: #57606a } .ground { fill: #ffffff } .grid { stroke: #d0d7de; stroke-width: 1 }
  .line { fill: none; stroke-width: 2 } .mark { stroke-width: 1.5 }
  .go { stroke: #bc4c00 } .go.mark { fill: #bc4c00 }
  .ours { stroke: #0969da } .ours.mark { fill: #0969da }
  .inside { stroke: #1a7f37 } .inside.mark { fill: #1a7f37 }
  .few.mark { fill: #ffffff } .break { fill: none; stroke: #57606a; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .ground { fill: #0d1117 } .grid { stroke: #30363d }
    .go { stroke: #f0883e } .go.mark { fill: #f0883e }
    .ours { stroke: #58a6ff } .ours.mark { fill: #58a6ff }
    .inside { stroke: #3fb950 } .inside.mark { fill: #3fb950 }
    .few.mark { fill: #0d1117 } .break { stroke: #9198a1 }
  }
"""


class Axis:
    """A logarithmic one. Zero, which it cannot have, stands before its beginning, beyond a break."""

    def __init__(self, values, start, end):
        self.zero = start if min(values) == 0 else None
        self.start, self.end = start if self.zero is None else start + (end - start) * 0.12, end
        positive = [value for value in values if value > 0] or [1]
        self.low, self.high = math.log10(min(positive)), math.log10(max(positive))
        if self.high - self.low < 0.5:
            self.low, self.high = self.low - 0.25, self.high + 0.25

    def place(self, value):
        if value <= 0:
            return self.zero
        return self.start + (math.log10(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    def round_values(self):
        """1, 2, 5, 10, … or, of a long axis, the powers of ten only."""
        steps = (1, 2, 5) if self.high - self.low < 4 else (1,)
        exponents = range(math.floor(self.low), math.ceil(self.high) + 1)
        return [step * 10**exponent for exponent in exponents for step in steps
                if self.low - 1e-9 <= math.log10(step * 10**exponent) <= self.high + 1e-9]  # fmt: skip


def enclosing(values):
    """The round values between which these are."""
    exponents = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
    rounds = [step * 10**exponent for exponent in exponents for step in (1, 2, 5)]
    return [max(value for value in rounds if value <= min(values)), min(value for value in rounds if value >= max(values))]


def tick(value):
    """A round value, whole."""
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def text(x, y, words, style="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'


def mark(side, x, y, few=False):
    style = f"{side} few mark" if few else f"{side} mark"
    if side == "go":
        return f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
    if side == "ours":
        return f'<rect class="{style}" x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>'
    return f'<path class="{style}" d="M{x:.1f} {y - 4.5:.1f}l4.5 8h-9z"/>'


def draw_panel(panel, points, left, label):
    points = [point for point in points if point["op"] == panel.op and point["measure"] == panel.measure]
    if not points:
        return []
    across = Axis([point["x"] for point in points], left, left + PANEL_WIDTH)
    up = Axis(enclosing([point["value"] for point in points]), TOP + PANEL_HEIGHT, TOP)
    parts = [text(left, TOP - 12, f"{panel.title}, {panel.unit}", "panel")]
    for value in up.round_values():
        y = up.place(value)
        parts.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{left + PANEL_WIDTH}" y2="{y:.1f}"/>')
        parts.append(text(left - 8, y + 4, tick(value), anchor="end"))
    if across.zero is not None:
        x, y = (across.zero + across.start) / 2, TOP + PANEL_HEIGHT
        parts.append(f'<path class="break" d="M{x - 5:.1f} {y + 5}l4 -10m2 10l4 -10"/>')
    end = -1000.0
    for value in sorted({point["x"] for point in points}):
        x = across.place(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{TOP + PANEL_HEIGHT}"/>')
        half = 4 * len(tick(value))
        if x - half > end:
            parts.append(text(x, TOP + PANEL_HEIGHT + 18, tick(value), anchor="middle"))
            end = x + half
    for side in NAMES:
        places = [(point, across.place(point["x"]), up.place(point["value"])) for point in points if point["side"] == side]
        path = " ".join(f"{x:.1f},{y:.1f}" for point, x, y in places if point["x"] > 0)
        parts.append(f'<polyline class="line {side}" points="{path}"/>')
        parts += [mark(side, x, y, point["n"] < FEW) for point, x, y in places]
    parts.append(text(left + PANEL_WIDTH / 2, TOP + PANEL_HEIGHT + 40, label, "quiet", "middle"))
    return parts


def draw(curve, machine):
    title, label, panels = PLOTS[curve["name"]]
    shown = [point for point in curve["points"] for panel in panels
             if point["op"] == panel.op and point["measure"] == panel.measure]  # fmt: skip
    foot = f"Medians of one run, all sides in turns; Linux {machine['kernel']}, {machine['processors']} processors; " \
        f"Go plugins: {machine['peer']}. Both axes are logarithmic."
    if any(point["n"] < FEW for point in shown):
        foot += f" Hollow: fewer than {FEW} samples."
    lines = [line for words in (*curve["notes"], foot) for line in textwrap.wrap(words, LINE)]
    height = HEIGHT + 16 * (len(lines) - 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>', text(24, 32, title, "title")]  # fmt: skip
    x = 24
    for side in NAMES:
        if any(point["side"] == side for point in curve["points"]):
            parts += [f'<line class="line {side}" x1="{x}" y1="52" x2="{x + 28}" y2="52"/>', mark(side, x + 14, 52),
                      text(x + 36, 56, NAMES[side])]  # fmt: skip
            x += 60 + 7 * len(NAMES[side])
    for index, panel in enumerate(panels):
        parts += draw_panel(panel, curve["points"], LEFT + index * (PANEL_WIDTH + GAP), label)
    for index, line in enumerate(lines):
        parts.append(text(24, HEIGHT - 28 + 16 * index, line, "quiet"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    measured = json.loads(Path(sys.argv[1]).read_text())
    for curve in measured["curves"]:
        path = Path(sys.argv[2], f"{curve['name']}.svg")
        path.write_text(draw(curve, measured["machine"]))
        print(path)


if __name__ == "__main__":
    main()
