"""The records of the tuner `templates`: one JSON line for each measured schedule of a convolution."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "records.jsonl"


def best(folder: Path) -> dict[str, str]:
    """The fastest measured schedule of each convolution, by `str(Convolution)`; it may be the default."""
    return {key: min(measured, key=lambda name: measured[name]) for key, measured in ratios(folder).items()}


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """The records: `convolution`, `schedule`, its `default` schedule, and the milliseconds of all kernels of the
    convolution with the two schedules, measured in turns: `ms` and `default_ms`."""
    path = folder / NAME
    yield from map(json.loads, path.read_text().splitlines() if path.exists() else ())


def ratios(folder: Path) -> dict[str, dict[str, float]]:
    """Time relative to the default's, by convolution and schedule, the default first. The ratio does not drift.

    Only records with the newest default count: this project may have got a better one since the first of them.
    """
    relative: dict[str, dict[str, float]] = {}
    for record in records(folder):
        measured = relative.get(record["convolution"], {})
        if next(iter(measured), None) != record["default"]:
            measured = {record["default"]: 1.0}
        relative[record["convolution"]] = {**measured, record["schedule"]: record["ms"] / record["default_ms"]}
    return relative
