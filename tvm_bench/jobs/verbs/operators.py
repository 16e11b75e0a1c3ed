"""The verb `operators`: time and memory of each operator of eager PyTorch, by `torch.profiler`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from ...exporters import module_file
from ...models.tensors import zeros
from ...spec.compression_result import Operator
from ...spec.tensors import TensorSpec, from_json

WARM_UP = 3


def run(modules: dict[str, str], inputs: list[dict[str, Any]], calls: int, threads: int) -> dict[str, Any]:
    """Profile each module file in `modules` for `calls` calls on zeros as `inputs`.

    Returns `operators`: a list of `Operator` for each name, slowest first. Time and memory of an operator are its own,
    without the operators that it calls.
    """
    torch.set_num_threads(threads)
    return {"operators": {name: _profiled(Path(path), from_json(inputs), calls) for name, path in modules.items()}}


def _profiled(path: Path, inputs: tuple[TensorSpec, ...], calls: int) -> list[Operator]:
    module, examples = module_file.load(path), zeros(inputs)
    with torch.inference_mode():
        for _ in range(WARM_UP):
            module(*examples)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
            for _ in range(calls):
                module(*examples)
    averages = run.key_averages()
    total = sum(average.self_cpu_time_total for average in averages) or 1
    rows: list[Operator] = [
        {
            "name": average.key,
            "calls": average.count / calls,
            "ms": average.self_cpu_time_total / calls / 1e3,
            "share": average.self_cpu_time_total / total,
            "mb": average.self_cpu_memory_usage / calls / 1e6,
        }
        for average in averages
    ]
    return sorted(rows, key=lambda row: -row["ms"])
