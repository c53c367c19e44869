"""The differences that are meant: each names the paragraph of Documentation/compatibility.md that explains it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

# Codes with which the Go plugins say only "something failed".
GENERIC = {100, 999}


@dataclass(frozen=True)
class Place:
    """Where in a comparison two values differ."""

    mode: str  # how the plugins were called: "direct", "cnitool", "ours, then go", …
    scenario: str
    phase: str  # "ADD c1", "after ADD", …
    path: str  # within what is compared in that phase


@dataclass(frozen=True)
class Difference:
    heading: str
    applies: Callable  # (place, Go's value, ours) -> bool


DIFFERENCES = [
    Difference("Owner marks", lambda place, go, ours: place.path.endswith("/ifalias") and go == "(absent)"),
    Difference(
        "Error codes", lambda place, go, ours: place.path == "/code" and go in GENERIC and isinstance(ours, int)),
    Difference(
        "Protocol versions",
        lambda place, go, ours: place.path == "/supportedVersions" and set(go) < set(ours)),
    Difference(
        "Masquerading",
        lambda place, go, ours: place.mode == "ours, then go" and place.phase == "traces"
        and "iptables" not in place.scenario and go == []),
]  # fmt: skip


def headings():
    text = Path(__file__).resolve().parents[2].joinpath("Documentation/compatibility.md").read_text()
    return {line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#")}


def missing_paragraphs():
    return sorted({difference.heading for difference in DIFFERENCES} - headings())


def explanation(mode, scenario, phase, path, go, ours):
    """The heading of the paragraph that explains a difference; None if it is not meant."""
    place = Place(mode, scenario, phase, path)
    for difference in DIFFERENCES:
        if difference.applies(place, go, ours):
            return difference.heading
    return None
