"""The tables and the sentences of the command `diff`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..spec.layer_errors import RANGE_LIMIT, SHARE_LIMIT, Errors, ExportErrors, Fault, LayerErrors
from .table import Table, markdown

LEGEND = (
    "Every layer is fed with what the source model computed. `relay`: TVM after import and lowering, before fusion, "
    "against the source. `kernel`: the library against that. `library`: the library against the source. "
    "`accumulated`: the whole library at this place against the source, with the errors of all layers before it; these "
    "grow also where every layer is right.\n\n"
    "An error is the largest one, in steps of the scale of a quantized output, else in parts of the range of the "
    f"output. `off`: the share of values that are off by a step, or by {RANGE_LIMIT:g} of the range. A layer is wrong, "
    f"and marked with **!**, if it is off by more than one step, if more than {SHARE_LIMIT:.0%} of its values are off, "
    f"or if it is off by more than {RANGE_LIMIT:g} of its range."
)
EXPORT_LEGEND = (
    "PyTorch to ONNX: the layers of the exported file by ONNX Runtime against PyTorch. They are fed with what PyTorch "
    "computed, and named after its modules. A function, such as a sum, is a layer of its own if a module reads it, "
    "else a part of the next layer. A file that ONNX Runtime quantizes is compared before that."
)
EXPORT_HEADER = ("layer", "operators", "error", "off", "SQNR dB")
HEADER = ("layer", "operators", "relay", "kernel", "library", "off", "SQNR dB", "accumulated", "SQNR dB")
PLUMBING = ("DequantizeLinear", "QuantizeLinear", "Cast")


def page(
    name: str, layers: Sequence[LayerErrors], exported: Sequence[ExportErrors] | None, faults: Sequence[Fault]
) -> str:
    """A Markdown page on one variant. `exported` are the layers of the ONNX file against PyTorch (None: no export)."""
    paragraphs = [f"# {name}: layer by layer", *verdicts(layers, exported), *map(sentence, faults), LEGEND]
    tables = [table(layers)]
    if exported is not None:
        paragraphs.append(EXPORT_LEGEND)
        tables.append(export_table(exported))
    return "\n\n".join([*paragraphs, markdown(tables)]) + "\n"


def verdicts(layers: Sequence[LayerErrors], exported: Sequence[ExportErrors] | None) -> list[str]:
    """A sentence on the library, and one on the export if there is one."""
    return [verdict(layers)] + ([] if exported is None else [f"PyTorch to ONNX: {verdict(exported)}"])


def verdict(layers: Sequence[LayerErrors] | Sequence[ExportErrors]) -> str:
    """Whether the layers are right, and which is the first that is not."""
    wrong = [layer for layer in layers if layer.wrong]
    text = f"All {len(layers)} layers are right."
    if wrong:
        text = f"{len(wrong)} of {len(layers)} layers are wrong, first `{wrong[0].name}`."
    return text + _inexact(layers)


def _inexact(layers: Sequence[LayerErrors] | Sequence[ExportErrors]) -> str:
    found = [layer.name for layer in layers if isinstance(layer, LayerErrors) and layer.source_inexact]
    if not found:
        return ""
    return (
        f" In {len(found)}, first `{found[0]}`, the source's own kernel is not exact, and the library is: PyTorch may "
        "add two products of a depthwise convolution in 16 bits, and averages halfway between two steps are "
        "rounded either way."
    )


def sentence(fault: Fault) -> str:
    """What is wrong with a layer, why, and the files that show it."""
    company = "" if fault.alone else " It is right without its neighbours."
    files = f" Run it alone: {' with '.join(f'`{file}`' for file in fault.files)}." if fault.files else ""
    place = f"`{fault.layer}` ({_operators(fault.operators)})"
    return f"{place}: {fault.kind}, by {fault.stage}. {_sentence(fault.evidence)}{company}{files}"


def table(layers: Sequence[LayerErrors], *, only_wrong: bool = False) -> Table:
    """A line for each layer."""
    shown = [layer for layer in layers if layer.wrong or not only_wrong]
    return Table("Layers", HEADER, [_line(layer) for layer in shown])


def export_table(layers: Sequence[ExportErrors], *, only_wrong: bool = False) -> Table:
    """A line for each layer of the exported file."""
    shown = [layer for layer in layers if layer.wrong or not only_wrong]
    lines = [[_name(row), _operators(row.operators), *_numbers(row.errors)] for row in shown]
    return Table("Layers from PyTorch to ONNX", EXPORT_HEADER, lines)


def _name(layer: LayerErrors | ExportErrors) -> str:
    return f"{'! ' if layer.wrong else ''}{layer.name}"


def _line(layer: LayerErrors) -> list[str]:
    accumulated = layer.accumulated
    if layer.failure:
        return [_name(layer), _operators(layer.operators), "does not compile"]
    return [
        _name(layer),
        _operators(layer.operators),
        _error(layer.relay),
        _error(layer.kernel),
        *_numbers(layer.library),
        _error(accumulated) if accumulated else "",
        _decibels(accumulated) if accumulated else "",
    ]


def _operators(names: Sequence[str]) -> str:
    return "+".join(name for name in names if name not in PLUMBING) or names[-1]


def _numbers(errors: Errors) -> list[str]:
    return [_error(errors), f"{errors.share:.2%}", _decibels(errors)]


def _error(errors: Errors) -> str:
    return f"{errors.largest:g} steps" if errors.unit == "steps" else f"{errors.largest:.1e}"


def _decibels(errors: Errors) -> str:
    return "exact" if math.isinf(errors.sqnr) and errors.sqnr > 0 else f"{errors.sqnr:.1f}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
