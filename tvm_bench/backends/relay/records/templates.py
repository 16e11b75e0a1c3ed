"""What tuning by templates has measured: a JSON line for each convolution and schedule."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "records.jsonl"


def best(folder: Path) -> dict[str, str]:
    """The fastest schedule of each convolution that was measured, its default among them, by `str(Convolution)`."""
    return {key: min(measured, key=lambda name: measured[name]) for key, measured in ratios(folder).items()}


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """`convolution`, `schedule`, `default` (the one it competes with), and milliseconds of all kernels of the
    convolution by each, measured in turns: `ms`, `default_ms`."""
    path = folder / NAME
    yield from map(json.loads, path.read_text().splitlines() if path.exists() else ())


def ratios(folder: Path) -> dict[str, dict[str, float]]:
    """Time in parts of the default's, by convolution and schedule; the ratio does not drift with the machine."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for record in records(folder):
        found[record["convolution"]] |= {
            record["default"]: 1.0,
            record["schedule"]: record["ms"] / record["default_ms"],
        }
    return found
