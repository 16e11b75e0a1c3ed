"""The table and the sentence of a comparison of two libraries."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..analysis.explanation.layer_changes import Comparison, LayerChange, Side
from . import formatting
from .table import Table

HEADER = ("layer", "calls", "schedule", "old ms", "new ms", "change", "sum of\nchanges", "")
MOST = 24  # layers with a line of their own
BAR = 24  # characters of the longest bar


def table(comparison: Comparison) -> Table:
    """A waterfall: the layers that changed most, then all others, then what is in no kernel."""
    changes = [(_named(layer), layer.ms) for layer in comparison.layers[:MOST]]
    if others := comparison.layers[MOST:]:
        name = f"{len(others)} other layers"
        none, sums = formatting.NONE, [f"{sum(side.ms for side in sides):.3f}" for sides in _sides(others)]
        changes.append(([name, none, none, *sums], sum(layer.ms for layer in others)))
    changes.append((["beside the kernels", *[formatting.NONE] * 4], comparison.rest_ms))
    ends, total = [], 0.0
    for _, change in changes:
        ends.append((total, total := total + change))
    low, high = min(min(pair) for pair in ends), max(max(pair) for pair in ends)
    step = (high - low) / BAR or 1.0
    lines = [
        [*cells, f"{change:+.3f}", f"{end:+.3f}", _bar(start - low, end - low, step)]
        for (cells, change), (start, end) in zip(changes, ends, strict=True)
    ]
    return Table("change by layer", HEADER, lines)


def sentence(comparison: Comparison) -> str:
    """What changed in all."""
    ratio = comparison.new_ms / comparison.old_ms
    return (
        f"The new library takes {comparison.new_ms:.3f} ms, the old one {comparison.old_ms:.3f} ms: {ratio:.2f} times "
        f"as long. {comparison.rest_ms:+.3f} ms of the change are in no kernel."
    )


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON values."""
    return {**asdict(comparison), "rest_ms": comparison.rest_ms}


def _named(layer: LayerChange) -> list[str]:
    sides = (layer.old, layer.new)
    return [
        layer.layer,
        _both(*(str(side.calls) for side in sides)),
        _both(*(" ".join(side.schedules) or formatting.NONE for side in sides)),
        *(f"{side.ms:.3f}" if side.calls else formatting.NONE for side in sides),
    ]


def _both(old: str, new: str) -> str:
    return old if old == new else f"{old} → {new}"


def _sides(layers: tuple[LayerChange, ...]) -> tuple[list[Side], list[Side]]:
    return [layer.old for layer in layers], [layer.new for layer in layers]


def _bar(start: float, end: float, step: float) -> str:
    """A bar of what changed, at its place in the sum."""
    first, last = sorted((round(start / step), round(end / step)))
    return (" " * first + ("▒" if end > start else "█") * max(1, last - first)).ljust(BAR + 1)
