"""The rows of the zoo, and the Markdown page that `zoo.py` writes from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from tvm_bench.host.files import write_json
from tvm_bench.report import formatting, table

PRECISIONS, FRONTENDS = ("fp32", "int8"), ("onnx", "pytorch")
PEER = "onnxruntime"
HEADER = ("network", "ONNX", "PyTorch", "ONNX Runtime", "ratio", "layers by ONNX", "layers by PyTorch")
NOTES = """\
Times are in milliseconds. *ratio* is the faster right library relative to ONNX Runtime. *layers* is the number of
layers that differ from their source by more than one step of their scale, of all layers, each fed with the input that
it has in the source (`tvm-bench diff`). Reasons are below the tables."""


@dataclass(frozen=True)
class Cell:
    """A variant: its latency, why it failed or is wrong (None: it is right), SHA-256 of its library, and its layers.

    `layers` of an INT8 library has `count`, `wrong` and `first`, the name of the first wrong one.
    """

    ms: float | None
    problem: str | None
    library: str | None = None
    layers: dict[str, Any] | None = None

    @property
    def right(self) -> bool:
        return self.ms is not None and self.problem is None


@dataclass(frozen=True)
class Row:
    """A network: its `cells` by label, such as `fp32-relay-onnx`."""

    commit: str
    date: str
    error: str | None
    cells: dict[str, Cell] = field(default_factory=dict)

    def library(self, precision: str, frontend: str) -> Cell | None:
        return self.cells.get(f"{precision}-relay-{frontend}")

    def peer(self, precision: str) -> Cell | None:
        return self.cells.get(f"{precision}-{PEER}")

    def ratio(self, precision: str) -> float | None:
        """The latency of the faster right library, relative to that of ONNX Runtime."""
        libraries = (self.library(precision, frontend) for frontend in FRONTENDS)
        times = [cell.ms for cell in libraries if cell and cell.right and cell.ms]
        peer = self.peer(precision)
        return min(times) / peer.ms if times and peer and peer.ms else None


def load(path: Path) -> dict[str, Row]:
    """The rows in the file by network; none without a file."""
    rows = json.loads(path.read_text()) if path.exists() else {}
    return {name: _row(fields) for name, fields in rows.items()}


def save(rows: dict[str, Row], path: Path) -> None:
    write_json(path, {name: asdict(row) for name, row in rows.items()})


def _row(fields: dict[str, Any]) -> Row:
    return Row(**{**fields, "cells": {label: Cell(**cell) for label, cell in fields["cells"].items()}})


def page(rows: dict[str, Row], networks: Sequence[str], cpu: str) -> str:
    """The page of a CPU: totals, a table for each precision, and the reasons of all failures.

    `networks` are the names of all that are to be measured, in the order of the page.
    """
    rows = {name: rows[name] for name in [*networks, *rows] if name in rows}
    measured = sorted({f"{row.date} at {row.commit[:8]}" for row in rows.values()})
    missing = [name for name in networks if name not in rows]
    return "\n".join(
        [
            f"# The zoo on {cpu}: Relay and ONNX Runtime on many networks",
            "",
            f"By `python benchmarks/zoo.py` on a CPU that LLVM calls {cpu}, with two threads, untuned, batch size 1, "
            f"random weights that are fitted to images. Measured: {len(rows)} networks, {', '.join(measured)}.",
            *([f"Not measured yet: {', '.join(missing)}."] if missing else []),
            "",
            NOTES,
            "",
            *(f"- {line}" for precision in PRECISIONS for line in _totals(rows, precision)),
            "",
            table.markdown([_table(rows, precision) for precision in PRECISIONS]),
            "",
            "## Reasons",
            "",
            *(f"- {line}" for name, row in rows.items() for line in _reasons(name, row)),
            "",
        ]
    )


def _totals(rows: dict[str, Row], precision: str) -> Iterable[str]:
    for frontend in FRONTENDS:
        cells = [row.library(precision, frontend) for row in rows.values()]
        right = sum(bool(cell and cell.right) for cell in cells)
        yield f"{precision.upper()} by {frontend}: {right} of {len(cells)} networks are right."
    yield from means(rows, precision)


def means(rows: dict[str, Row], precision: str) -> Iterable[str]:
    """The mean ratio and the worst one, in a sentence; nothing without ratios."""
    ratios = {name: ratio for name, row in rows.items() if (ratio := row.ratio(precision))}
    if ratios:
        worst = max(ratios, key=ratios.__getitem__)
        yield (
            f"{precision.upper()}: the geometric mean of Relay / ONNX Runtime is "
            f"{geometric_mean(ratios.values()):.2f} over {len(ratios)} networks; the worst is {worst} with "
            f"{ratios[worst]:.2f}."
        )


def _table(rows: dict[str, Row], precision: str) -> table.Table:
    header = HEADER if precision == "int8" else HEADER[:5]
    lines = [[name, *_line(row, precision)][: len(header)] for name, row in rows.items()]
    return table.Table(precision.upper(), header, lines)


def _line(row: Row, precision: str) -> list[str]:
    ratio = row.ratio(precision)
    return [
        *(_text(row.library(precision, frontend)) for frontend in FRONTENDS),
        _text(row.peer(precision)),
        formatting.NONE if ratio is None else f"{ratio:.2f}",
        *(_layers(row.library(precision, frontend)) for frontend in FRONTENDS),
    ]


def _text(cell: Cell | None) -> str:
    """`12.3`; `12.3 wrong`; `failed`."""
    if cell is None or cell.ms is None:
        return "failed" if cell else formatting.NONE
    return formatting.ms(cell.ms, 3) + (" wrong" if cell.problem else "")


def _layers(cell: Cell | None) -> str:
    return f"{cell.layers['wrong']} of {cell.layers['count']}" if cell and cell.layers else formatting.NONE


def _reasons(name: str, row: Row) -> Iterable[str]:
    if row.error:
        yield f"{name}: {row.error}"
    for label, cell in row.cells.items():
        if cell.problem:
            yield f"{name}, {label}: {cell.problem}"
