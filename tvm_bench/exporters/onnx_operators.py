"""Operators of ONNX that a library of fixed shapes cannot have."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnx

from ..spec.errors import UserError
from .onnx_shapes import open_nodes

# The sizes of their outputs depend on the values of their inputs.
DATA_DEPENDENT = {"NonMaxSuppression", "NonZero", "Unique", "Compress"}
CONTROL_FLOW = {"If", "Loop", "Scan"}
SEQUENCES = {"SplitToSequence", "ConcatFromSequence", "Optional", "OptionalGetElement", "OptionalHasElement"}
STANDARD = ("", "ai.onnx")  # domains whose shapes are inferred
LISTED = 3


def need_static(model: onnx.ModelProto, path: Path) -> None:
    """Raises `UserError` with the first operators, and their nodes, that have no fixed shapes."""
    standard = [node for node in model.graph.node if node.domain in STANDARD]
    dynamic = [node for node in standard if _is_dynamic(node.op_type)]
    if not dynamic:
        dynamic = [node for node in open_nodes(model) if node.domain in STANDARD]
    if not dynamic:
        return
    more = f" and {len(dynamic) - LISTED} more" if len(dynamic) > LISTED else ""
    raise UserError(
        f"'{path}' has operators whose work or output sizes depend on the values of their inputs: {_listed(dynamic)}"
        f"{more}. A compiled library has fixed shapes. Export the model up to them, such as a detector without its "
        "post-processing, and compute the rest on the outputs."
    )


def _is_dynamic(operator: str) -> bool:
    return operator.startswith("Sequence") or operator in DATA_DEPENDENT | CONTROL_FLOW | SEQUENCES


def _listed(nodes: Iterable[onnx.NodeProto]) -> str:
    first = list(nodes)[:LISTED]
    return ", ".join(f"{node.op_type} (node '{node.name or node.output[0]}')" for node in first)
