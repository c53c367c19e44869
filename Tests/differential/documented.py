"""The differences that are meant: each names the paragraph of Documentation/compatibility.md that explains it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

# Codes with which the Go plugins say only "something failed".
GENERIC = {100, 999}


@dataclass(frozen=True)
class Difference:
    heading: str
    applies: Callable  # (scenario name, phase, path, Go's value, ours) -> bool


DIFFERENCES = [
    Difference("Owner marks", lambda scenario, phase, path, go, ours: path.endswith("/ifalias") and go == "(absent)"),
    Difference(
        "Error codes",
        lambda scenario, phase, path, go, ours: path == "/code" and go in GENERIC and isinstance(ours, int)),
    Difference(
        "Newer protocol versions",
        lambda scenario, phase, path, go, ours: path == "/supportedVersions" and set(go) < set(ours)),
]  # fmt: skip


def headings():
    text = Path(__file__).resolve().parents[2].joinpath("Documentation/compatibility.md").read_text()
    return {line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#")}


def missing_paragraphs():
    return sorted({difference.heading for difference in DIFFERENCES} - headings())


def explanation(scenario, phase, path, go, ours):
    for difference in DIFFERENCES:
        if difference.applies(scenario, phase, path, go, ours):
            return difference.heading
    return None
