"""The table and the sentences of the explanation of an ONNX file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..analysis.explanation.onnx_session import SessionExplanation
from .explanation import first_finding
from .table import Table

HEADER = ("operator", "nodes", "reads", "ms", "share")


def table(explanation: SessionExplanation) -> Table:
    """One row for each operator, the slowest first."""
    total = explanation.nodes_ms or 1.0
    lines = [
        [
            operator.name,
            str(operator.nodes),
            "8 bits" if operator.reads_bytes else "floats",
            f"{operator.ms:.3f}",
            f"{operator.ms / total:.1%}",
        ]
        for operator in explanation.operators
    ]
    return Table("operators in ONNX Runtime", HEADER, lines)


def sentences(explanation: SessionExplanation) -> list[str]:
    """The time of the model, and the findings."""
    found = [f"{finding.name}: {finding.text}. {finding.cure}" for finding in explanation.findings]
    return [
        f"The model takes {explanation.model_ms:.3f} ms in ONNX Runtime; its nodes take {explanation.nodes_ms:.3f} ms "
        "with the profiler on.",
        *(found or ["No findings."]),
    ]


def summary(explanation: SessionExplanation) -> str:
    """How much of the time goes to 8-bit integers, and what would help, in a few words."""
    integers = sum(operator.ms for operator in explanation.operators if operator.reads_bytes)
    text = f"operators that read 8-bit integers take {integers / (explanation.nodes_ms or 1.0):.0%} of its time"
    return f"{text}. {first_finding(explanation.findings)}"


def to_json(explanation: SessionExplanation) -> dict[str, Any]:
    """The explanation as JSON values."""
    return asdict(explanation)
