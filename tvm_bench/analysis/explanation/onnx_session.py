"""The explanation of an ONNX file in ONNX Runtime: what it computes in integers, what in floats, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...host.cpu import VNNI
from .findings import Finding

PRODUCTS = ("Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul")  # of floats
CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")
LEAST_SHARE = 0.05  # of the time of all nodes: less is no finding
NAMED = 3  # nodes or operators that a finding names


@dataclass(frozen=True)
class Operator:
    """All nodes of one operator: their number, milliseconds, and whether some read 8-bit integers."""

    name: str
    nodes: int
    ms: float
    reads_bytes: bool


@dataclass(frozen=True)
class SessionExplanation:
    """The operators, the slowest first, the findings, and the time of the whole model in ms without the profiler."""

    operators: tuple[Operator, ...]
    findings: tuple[Finding, ...]
    model_ms: float

    @property
    def nodes_ms(self) -> float:
        """The milliseconds of all nodes together."""
        return sum(operator.ms for operator in self.operators)


def explain(measured: Mapping[str, Any], cpu_features: Iterable[str]) -> SessionExplanation:
    """Explain what the verb `profile_onnx` measured on a CPU with these features, by LLVM's names."""
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for node in measured["nodes"]:
        groups[node["operator"]].append(node)
    operators = [
        Operator(name, len(nodes), sum(node["ms"] for node in nodes), any(node["reads_bytes"] for node in nodes))
        for name, nodes in groups.items()
    ]
    operators.sort(key=lambda operator: -operator.ms)
    total = sum(operator.ms for operator in operators) or 1.0
    if any(operator.reads_bytes for operator in operators):
        found = [*_float_products(groups, measured["reasons"], total), *_conversions(operators, total)]
        if measured["wide_weights"] and not VNNI & set(cpu_features):
            found.append(_saturation())
    else:
        found = [
            Finding("not quantized", "every node computes in floats", "Quantize the model: `tvm-bench bench` does it.")
        ]
    return SessionExplanation(tuple(operators), tuple(found), measured["model_ms"])


def _float_products(
    groups: Mapping[str, list[Mapping[str, Any]]], reasons: Mapping[str, str], total: float
) -> Iterable[Finding]:
    """Products in floats, those of one reason together."""
    by_reason: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for node in (node for operator in PRODUCTS for node in groups.get(operator, ())):
        if not node["reads_bytes"]:
            by_reason[reasons.get(node["name"], "its inputs are floats in the optimized graph")].append(node)
    for reason, nodes in sorted(by_reason.items(), key=lambda item: -_ms(item[1])):
        nodes.sort(key=lambda node: -node["ms"])
        yield Finding(
            "computes in FP32",
            f"{_listed([node['name'] for node in nodes])} ({_ms(nodes) / total:.0%} of the time): {reason}",
            "Quantize what it reads and what reads it, or race Relay: it has transposed convolutions in integers too.",
        )


def _conversions(operators: list[Operator], total: float) -> Iterable[Finding]:
    """Nodes that only convert, with the operators in floats that need them."""
    share = sum(operator.ms for operator in operators if operator.name in CONVERSIONS) / total
    if share < LEAST_SHARE:
        return
    floats = [operator for operator in operators if not operator.reads_bytes]
    between = f", around operators in floats: {_listed([operator.name for operator in floats])}" if floats else ""
    yield Finding(
        "conversions",
        f"nodes that only quantize or dequantize take {share:.0%} of the time{between}",
        "Keep the layers between such operators in floats too (recipe `int8-without:NODE,…`), or race Relay, which "
        "converts in the kernels before and after.",
    )


def _saturation() -> Finding:
    return Finding(
        "sums may saturate",
        "this CPU has no VNNI, and there are weights of 8 bits: ONNX Runtime adds two products in 16 bits here",
        "Quantize with weights of 7 bits (`reduce_range`), or compare the answers: `tvm-bench diff`.",
    )


def _ms(nodes: list[Mapping[str, Any]]) -> float:
    return sum(node["ms"] for node in nodes)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
