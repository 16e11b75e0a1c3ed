"""Dumps of the IR after each stage of a build, in the form of `backends.relay.ir_dump`.

The operators of a module with kernels are the blocks of the kernels, by their names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tvm
from tvm import relax, s_tir, tirx

from ...host.files import replace_with, write_json

FOLDER = "relax"
PRODUCTS = ("relax.nn.conv2d", "relax.matmul")
TE = "T_"  # before the names of blocks from TVM's own library of expressions


def write_stage(folder: Path, number: int, name: str, module: tvm.IRModule, summary: Mapping[str, Any]) -> None:
    """Write `folder/relax/<number>-<name>.txt` (TVMScript) and `.json` (its `summary`)."""
    path = folder / FOLDER / f"{number}-{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_with(path) as beside:
        beside.write_text(module.script(show_meta=False))
    write_json(path.with_suffix(".json"), {"stage": name, **summary})


def of_operators(module: tvm.IRModule) -> dict[str, Any]:
    """The summary of a module that was imported: its calls."""
    calls = [call for _, call in calls_of(module)]
    counts = Counter(call.op.name for call in calls)
    products = [call for call in calls if call.op.name in PRODUCTS]
    dtypes = Counter(" x ".join(str(argument.ty.dtype) for argument in call.args[:2]) for call in products)
    return _summary(counts, dtypes, [])


def of_kernels(module: tvm.IRModule, kernels: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The summary of a module whose `main` calls kernels: `kernels` are their entries in the manifest."""
    counts: Counter[str] = Counter()
    dtypes: Counter[str] = Counter()
    made: dict[relax.Var, int | str] = {variable: variable.name for variable in module["main"].params}
    groups: list[dict[str, Any]] = []
    for variable, call in calls_of(module):
        if call.op.name != "relax.call_tir":
            continue
        name = call.args[0].name_hint
        operators = operators_of(module[name])
        counts.update(operators)
        work = kernels[name].get("operations", 0)
        if work:
            dtypes[kernels[name].get("convolution", "fp32").partition(" ")[0]] += 1
        made[variable] = len(groups) + 1
        groups.append(
            {
                "index": made[variable],
                "anchor": _anchor(operators),
                "operators": operators,
                "inputs": [_type(argument.ty) for argument in call.args[1]],
                "sources": [made[argument] for argument in call.args[1] if argument in made],
                "output": _type(call.ty),
                "flops": work,
            }
        )
    return _summary(counts, dtypes, groups)


def calls_of(module: tvm.IRModule) -> Iterator[tuple[relax.Var, relax.Call]]:
    """The calls of operators in `main`, with the variables that have the results."""
    for block in module["main"].body.blocks:
        for binding in block.bindings:
            if isinstance(binding.value, relax.Call) and isinstance(binding.value.op, tvm.ir.Op):
                yield binding.var, binding.value


def operators_of(function: tirx.PrimFunc) -> list[str]:
    """The names of the blocks of a kernel that was not scheduled yet."""
    kernel = s_tir.Schedule(function)
    blocks = map(kernel.get, kernel.get_child_blocks(kernel.get_sblock("root")))
    return [block.name_hint.removeprefix(TE) for block in blocks]


def _anchor(operators: list[str]) -> str:
    return next((name for word in ("conv", "matmul", "pool") for name in operators if word in name), operators[0])


def _summary(counts: Counter[str], dtypes: Counter[str], groups: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "calls": dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        "casts": sum(number for name, number in counts.items() if name in ("cast", "relax.astype")),
        "layout_transforms": counts["packed"] + counts["unpacked"],
        "dtypes": dict(dtypes.most_common()),
        "groups": groups,
    }


def _type(kind: Any) -> str:
    if hasattr(kind, "fields"):
        return ", ".join(map(_type, kind.fields))
    return f"{kind.dtype}({', '.join(str(size) for size in kind.shape)})"
