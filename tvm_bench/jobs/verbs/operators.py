"""The verb `operators`: where the time and the memory of eager PyTorch go, by `torch.profiler`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from ...export import module_file

WARM_UP = 3


def run(modules: dict[str, str], shape: list[int], calls: int, threads: int) -> dict[str, object]:
    """Profile the module files in `modules` on zeros of `shape` (batch, channels, height, width), `calls` times each.

    Returns by name a list of operators, the slowest first: `name`, and for one call of the module `calls`, `ms` (its
    own CPU time, other operators that it calls left out), `share` of all (0 to 1), and `mb` that it allocated itself.
    """
    torch.set_num_threads(threads)
    return {"operators": {name: _profiled(Path(path), shape, calls) for name, path in modules.items()}}


def _profiled(path: Path, shape: list[int], calls: int) -> list[dict[str, object]]:
    module, images = module_file.load(path), torch.zeros(shape)
    with torch.inference_mode():
        for _ in range(WARM_UP):
            module(images)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
            for _ in range(calls):
                module(images)
    found = run.key_averages()
    total = sum(each.self_cpu_time_total for each in found) or 1
    rows = [
        {
            "name": each.key,
            "calls": each.count / calls,
            "ms": each.self_cpu_time_total / calls / 1e3,
            "share": each.self_cpu_time_total / total,
            "mb": each.self_cpu_memory_usage / calls / 1e6,
        }
        for each in found
    ]
    return sorted(rows, key=lambda row: -row["ms"])
