"""Dumps of the Relay IR after each stage of a build: a text to read, and JSON with counts to compare."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tvm import IRModule, ir, relay

from ...host.files import replace_with, write_json
from ...spec import layer_name

# A group's anchor is its first operator of the highest rank. Operators not named here rank by TVM's own pattern kind.
RANKS = {"conv": 30, "dense": 20, "matmul": 20, "pool": 10}
# Removed from the text only, because it hides the code; the types of values stay.
NOISE = (
    (r" ?\{virtual_device=_\}|(, )?virtual_device=_", ""),
    (r" span=.*?(?= \*/)", ""),
    (r" /\* span=.*? \*/", ""),
    (r', hash="[^"]*"', ""),
    (r"(Tensor\[\([^]]*\), \w+\]) /\* ty=\1 \*/", r"\1"),  # a parameter has its type twice
    (r"\} /\* ty=fn .* \*/(;?)$", r"}\1"),  # and so has a function, at its end
    (r"\n*/\* For debugging purposes the metadata(?s:.*)", ""),
    (r'^#\[version = "[^"]*"\]\n', ""),
)
DEVICE = "virtual_device=VirtualDevice("


def write_stage(folder: Path, number: int, name: str, mod: IRModule) -> Path:
    """Write `folder/<number>-<name>.txt` (Relay text of `main`) and `.json` (its summary). Returns the text's path.

    Files of an earlier build with the same number are removed.
    """
    main = relay.transform.InferType()(mod)["main"]
    path = folder / f"{number}-{name}.txt"
    with replace_with(path) as beside:
        beside.write_text(text_of(main))
    write_json(path.with_suffix(".json"), {"stage": name, **summary_of(main)})
    for old in folder.glob(f"{number}-*"):
        if old.stem != path.stem:
            old.unlink()
    return path


def text_of(main: relay.Function) -> str:
    """The Relay text of one function, without devices, spans, hashes and constants."""
    text = _without_devices(main.astext(show_meta_data=False))
    for pattern, replacement in NOISE:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return re.sub(r"^fn \(", "def @main(", text).strip() + "\n"


def summary_of(main: relay.Function) -> dict[str, Any]:
    """Count calls, casts, layout transforms and operand types of convolutions and dense layers; list the fused groups.

    Calls inside fused functions are counted too. `main` needs its types: run `InferType` before.
    """
    calls = [call for call in _calls(main) if isinstance(call.op, ir.Op)]
    counts = Counter(call.op.name for call in calls)
    dtypes = Counter(" x ".join(_dtype(argument) for argument in call.args[:2]) for call in calls if _multiplies(call))
    fused = {call: index for index, call in enumerate(filter(_is_fused, _calls(main)), 1)}
    return {
        "calls": dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        "casts": counts["cast"],
        "layout_transforms": counts["layout_transform"],
        "dtypes": dict(dtypes.most_common()),
        "groups": [_group(call, fused) for call in fused],
    }


def _group(call: relay.Call, fused: Mapping[relay.Call, int]) -> dict[str, Any]:
    inner = list(_calls(call.op.body))
    anchor = max(inner, key=_rank, default=None)
    return {
        "index": fused[call],
        "anchor": _short(anchor) if anchor else "",
        "operators": [_short(part) for part in inner],
        "inputs": [_type(argument.checked_type) for argument in call.args],
        "sources": [source for argument in call.args for source in _sources(argument, fused)],
        "output": _type(call.checked_type),
        "flops": _operations(inner),
    }


def _sources(argument: relay.Expr, fused: Mapping[relay.Call, int]) -> Iterator[int | str]:
    """The index of the group that computes `argument`, or the name of an input of the model; constants are left out."""
    match argument:
        case relay.Var():
            yield argument.name_hint
        case relay.Call() if argument in fused:
            yield fused[argument]
        case relay.Call() | relay.Tuple():
            for part in argument.args if isinstance(argument, relay.Call) else argument.fields:
                yield from _sources(part, fused)
        case relay.TupleGetItem():
            yield from _sources(argument.tuple_value, fused)


def operations_of(function: relay.Function) -> int:
    """The multiplications and additions in the convolutions and matrix products of a function with types."""
    return _operations(_calls(function.body))


def product_of(function: relay.Function) -> str | None:
    """`512->1000, 1 row` for the first product of matrices in a function with types."""
    call = next((c for c in _calls(function.body) if isinstance(c.op, ir.Op) and _multiplies(c)), None)
    if call is None or "conv" in _short(call):
        return None
    data, output = _shape(call.args[0].checked_type), _shape(call.checked_type)
    return layer_name.product(data[-1], output[-1], math.prod(output[:-1]))


def _operations(calls: Iterable[relay.Call]) -> int:
    return sum(2 * _multiply_adds(call) for call in calls if isinstance(call.op, ir.Op) and _multiplies(call))


def _calls(expression: relay.Expr) -> Iterator[relay.Call]:
    """Every call in or below `expression` in the order of execution: arguments first."""
    nodes: list[relay.Expr] = []
    relay.analysis.post_order_visit(expression, nodes.append)
    return (node for node in nodes if isinstance(node, relay.Call))


def _is_fused(call: relay.Call) -> bool:
    function = call.op
    return isinstance(function, relay.Function) and bool(function.attrs) and bool(function.attrs.get("Primitive"))


def _short(call: relay.Call) -> str:
    return getattr(call.op, "name", type(call.op).__name__).rpartition(".")[2]


def _rank(call: relay.Call) -> int:
    name = _short(call)
    known = next((rank for part, rank in RANKS.items() if part in name), None)
    prepares_weights = name.endswith("weight_transform") and "without" not in name
    if known and not prepares_weights:
        return known
    return int(call.op.get_attr("TOpPattern") or 0) if isinstance(call.op, ir.Op) else 0


def _multiplies(call: relay.Call) -> bool:
    return _rank(call) >= RANKS["dense"]


def _multiply_adds(call: relay.Call) -> int:
    """The multiply-adds of a convolution or a matrix product, on its real shapes: channels padded for VNNI count.

    A Winograd convolution counts as the direct one that it replaces, so that speeds can be compared.
    """
    data, weight, output = (_shape(part.checked_type) for part in (*call.args[:2], call))
    if "conv" not in _short(call):
        return math.prod(output) * data[-1]
    if "transpose" in _short(call):
        return math.prod(data) * math.prod(weight) // weight[0]
    kernel = math.prod(int(size) for size in call.attrs.kernel_size or ())
    per_output = math.prod(weight) // _output_channels(call, weight)
    if "winograd" in _short(call):
        size = int(call.attrs.tile_size) + int(call.attrs.kernel_size[0]) - 1
        if weight[:2] == [size, size]:  # they are transformed
            per_output = per_output * kernel // (size * size)
    return math.prod(output) * per_output


def _output_channels(call: relay.Call, weight: list[int]) -> int:
    if call.attrs.channels is not None:
        return int(call.attrs.channels)
    letters = re.findall("[A-Za-z]", str(call.attrs.kernel_layout))  # OIHW16i16o: one letter per axis
    return math.prod(size for letter, size in zip(letters, weight, strict=True) if letter in "Oo")


def _shape(kind: relay.TensorType) -> list[int]:
    # A dimension that is known only at run time counts as 1.
    return [int(size) if hasattr(size, "value") else 1 for size in kind.shape]


def _dtype(expression: relay.Expr) -> str:
    return str(getattr(expression.checked_type, "dtype", "tuple"))


def _type(kind: ir.Type) -> str:
    if isinstance(kind, ir.TupleType):
        return f"({', '.join(map(_type, kind.fields))})"
    if not isinstance(kind, ir.TensorType):
        return str(kind)
    sizes = ", ".join(str(size) if hasattr(size, "value") else "?" for size in kind.shape)
    return f"{kind.dtype}({sizes})"


def _without_devices(text: str) -> str:
    """Shorten `virtual_device=VirtualDevice(…)`, whose brackets nest, to `virtual_device=_`."""
    while (start := text.find(DEVICE)) >= 0:
        end, depth = start + len(DEVICE), 1
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        text = f"{text[:start]}virtual_device=_{text[end:]}"
    return text
