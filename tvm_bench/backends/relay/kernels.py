"""The kernels of a build with their schedule sources, as the manifest stores them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import tvm

from ...spec.schedule_source import DEFAULT, KEPT, TUNED
from . import ir_dump, schedules
from .schedules import conv_workload
from .schedules.conv_workload import Convolution


@dataclass(frozen=True)
class KernelInfo:
    """`kind` is the schedule source, `record` the tuning record, `calls` the number of calls in one inference.

    Kernels with a convolution also have its key, the name of its schedule, and all possible schedules (the default
    first). `layer` says what convolution or product of matrices a kernel computes, in any precision, and `operations`
    counts theirs. `data_bytes` is what one call reads and writes, without its constants, which have `constant_bytes`.
    """

    kind: str = DEFAULT
    record: str | None = None
    calls: int = 1
    convolution: str | None = None
    schedule: str | None = None
    candidates: tuple[str, ...] | None = None
    layer: str | None = None
    operations: float | None = None
    data_bytes: int | None = None
    constant_bytes: int | None = None


Kernels = Mapping[str, KernelInfo]


def of_build(factory: Any, by_convolution: Mapping[str, str], *, tvms: bool) -> dict[str, KernelInfo]:
    """The kernels of a `relay.build` in which `by_convolution` selected schedules by `str(Convolution)`.

    With `tvms`, all schedules are TVM's own. Needs the target of the build as the current one.
    """
    graph = json.loads(factory.get_graph_json())
    calls = Counter(node["attrs"]["func_name"] for node in graph["nodes"] if node["op"] == "tvm_op")
    traffic = _traffic(graph, factory.get_params().keys())
    convolutions = conv_workload.in_kernels(factory)
    kernels = {}
    for name, info in factory.function_metadata.items():
        if "fused" not in (name := str(name)):
            continue
        data, constants = traffic.get(name, (None, None))
        functions = list(info.relay_primfuncs.values())
        kernel = KernelInfo(
            calls=calls[name],
            layer=next(filter(None, map(ir_dump.product_of, functions)), None),
            operations=sum(map(ir_dump.operations_of, functions)) or None,
            data_bytes=data,
            constant_bytes=constants,
        )
        if name in convolutions:
            kernel = _with_convolution(kernel, *convolutions[name], by_convolution, tvms=tvms)
        kernels[name] = kernel
    return kernels


def _traffic(graph: dict[str, Any], constants: Collection[str]) -> dict[str, tuple[int, int]]:
    """The bytes of data, and of `constants`, of one call of each kernel in a graph of TVM's executor."""
    shapes, dtypes = graph["attrs"]["shape"][1], graph["attrs"]["dltype"][1]
    sizes = [math.prod(shape) * tvm.DataType(dtype).bits // 8 for shape, dtype in zip(shapes, dtypes, strict=True)]
    first, nodes = graph["node_row_ptr"], graph["nodes"]
    found = {}
    for node, start, end in zip(nodes, first, first[1:], strict=False):
        if node["op"] != "tvm_op":
            continue
        inputs = {(number, index) for number, index, _ in node["inputs"]}
        constant = sum(sizes[first[n] + index] for n, index in inputs if nodes[n]["name"] in constants)
        everything = sum(sizes[first[n] + index] for n, index in inputs) + sum(sizes[start:end])
        found[node["attrs"]["func_name"]] = everything - constant, constant
    return found


def _with_convolution(
    kernel: KernelInfo, convolution: Convolution, operator: str, by_convolution: Mapping[str, str], *, tvms: bool
) -> KernelInfo:
    key, (default, *others) = str(convolution), schedules.candidates(convolution)
    schedule = schedules.TVM if tvms else schedules.applied(by_convolution.get(key, default), convolution, operator)
    kernel = replace(
        kernel,
        convolution=key,
        schedule=schedule,
        candidates=(default, *others),
        layer=convolution.layer,
        operations=convolution.operations,
    )
    if key not in by_convolution:
        return kernel
    return replace(kernel, kind=KEPT if schedule == default else TUNED, record=f"templates: {schedule}")


def with_records(kernels: Kernels, records: Mapping[str, Mapping[str, Any]], tuner: str) -> dict[str, KernelInfo]:
    """The kernels, with the `kind` and `record` that the `tuner` has for some of them.

    A record that was used replaces those of templates; one that was not used does not.
    """
    updated = dict(kernels)
    for name, record in records.items():
        kernel = kernels.get(name)
        if kernel and record["kind"] == TUNED:
            updated[name] = replace(kernel, **record, schedule=tuner)
        elif kernel and kernel.kind == DEFAULT:
            updated[name] = replace(kernel, **record)
    return updated


def to_json(kernels: Kernels) -> dict[str, dict[str, Any]]:
    """The kernels as JSON values for the manifest: without empty fields, except `record`."""
    return {
        name: {key: value for key, value in asdict(kernel).items() if value is not None or key == "record"}
        for name, kernel in kernels.items()
    }


def from_json(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, KernelInfo]:
    """The inverse of `to_json`."""
    return {
        name: KernelInfo(**{**entry, "candidates": tuple(entry["candidates"]) if "candidates" in entry else None})
        for name, entry in entries.items()
    }


def counterpart(name: str, kernels: Kernels, others: Kernels) -> str | None:
    """The name in `others` of the kernel that computes the same as `name` in `kernels`; None if that is not clear.

    If the names of two builds differ, it is the only kernel with the same convolution.
    """
    if name in others:
        return name
    convolution = kernels[name].convolution
    same = [other for other, kernel in others.items() if convolution and kernel.convolution == convolution]
    return same[0] if len(same) == 1 else None
