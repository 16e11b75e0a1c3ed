"""Write docs/results/graph.md: the time of the compiled ResNet-18 by kind of kernel, and the gain of each pass.

python benchmarks/graph.py [--artifacts artifacts]

It needs the libraries and sources that `make bench` writes, and a quiet machine.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click
import measured
import numpy as np
import tvm
from tvm import relay, te
from tvm.relay.op.strategy import x86

from tvm_bench.backends.relay import compiler, frontend, passes, profile, target, timing
from tvm_bench.backends.relay.artifact import open_verified
from tvm_bench.backends.relay.schedules import input_layout, winograd_weights
from tvm_bench.backends.relay.schedules.override import attribute
from tvm_bench.jobs import launcher
from tvm_bench.report import formatting
from tvm_bench.spec.tensors import image_input

RESULTS = measured.FOLDER / "graph.json"
VARIANTS = ("fp32-relay", "int8-relay")
INPUTS = (image_input((3, 224, 224)),)
LANES = 16  # float32 of a register
COLUMNS = ("kernels", "ms", "share", "GOP/s of the direct convolution", "weights, MB", "read at GB/s")
GAINS = ("without", "kernels", "ms", "kernels with it", "ms with it", "gain, ms")
TEXT = """# Where the time of the compiled ResNet-18 goes

{origin}

Batch 1. Each kernel was timed in its place in the model; the model as a whole was timed after them.

{accounts}

{threads} threads read 256 MB of memory at {memory:.0f} GB/s. A parallel kernel without work takes {empty:.1f} µs, with
waking the other threads and reading the clock.

# What each pass gains

The whole INT8 model with default schedules, built with and without, measured in turns.

{gains}
"""
NO_PASS = tvm.transform.Sequential([])
# Passes by name: where the pass is defined (owner, attribute), and the model file that it is timed on.
PASSES = {
    "`_ScalarZeroPoints`: zero points of weights become one zero": (passes, "_ScalarZeroPoints", "int8-onnx.onnx"),
    "`RoundedOnce`: sums and averages are rounded once, in float": (passes, "RoundedOnce", "int8-onnx.onnx"),
    "`FoldExplicitPadding`: pads go into the convolutions": (
        relay.transform,
        "FoldExplicitPadding",
        "int8-torchscript.pt",
    ),
    "`input_layout.schedule`: quantize, pad and lay out the input by vectors": (
        input_layout,
        "schedule",
        "int8-torchscript.pt",
    ),
}


@click.command(help=__doc__)
@click.option("--artifacts", type=click.Path(path_type=Path), default=Path("artifacts"), show_default=True)
@click.option("--threads", type=int, default=2, show_default=True)
def main(artifacts: Path, threads: int) -> None:
    os.environ |= launcher.child_environment(threads)  # TVM reads it before its first computation
    folder = artifacts / "resnet18"
    accounts = {variant: _account(folder / variant) for variant in VARIANTS}
    gains = [
        {
            "pass": name,
            "source": Path(source).stem,
            **_gain(owner, attribute_name, folder / "sources" / source, threads),
        }
        for name, (owner, attribute_name, source) in PASSES.items()
    ]
    empty_ms = _read_ms(threads, 1)
    memory = 256e6 / _read_ms(threads, int(256e6 / 4 / LANES / threads)) / 1e6
    measured.keep(RESULTS, page, accounts=accounts, gains=gains, empty_us=1e3 * empty_ms, memory_gbs=memory)


def page(results: dict[str, Any]) -> str:
    """The Markdown page of the results."""
    accounts = [f"{variant}:\n\n{_table(**account)}" for variant, account in results["accounts"].items()]
    return TEXT.format(
        origin=measured.origin(results, "python benchmarks/graph.py"),
        threads=results["threads"],
        accounts="\n\n".join(accounts),
        memory=results["memory_gbs"],
        empty=results["empty_us"],
        gains=measured.lines_of(GAINS, [_gain_line(gain) for gain in results["gains"]]),
    )


def _table(kinds: dict[str, dict[str, float]], whole_ms: float) -> str:
    """The table of milliseconds, share and GOP/s by kind of kernel."""
    slowest_first = sorted(kinds.items(), key=lambda item: -item[1]["ms"])
    total = {key: sum(kind[key] for kind in kinds.values()) for key in ("ms", "operations", "weights")}
    rows = [*slowest_first, ("all kernels, one by one", total), ("the model as a whole", {**total, "ms": whole_ms})]
    return measured.lines_of(COLUMNS, [_line(name, share=kind["ms"] / total["ms"], **kind) for name, kind in rows])


def _account(folder: Path) -> dict[str, Any]:
    """What each kind of kernel takes, computes and reads, and the time of the whole model."""
    about, library = open_verified(folder)
    (times,) = profile.kernels(library)
    whole = timing.latencies({"model": library})["model"]
    kinds: dict[str, dict[str, float]] = defaultdict(lambda: {"ms": 0.0, "operations": 0.0, "weights": 0.0})
    for name, milliseconds in times.items():
        kernel = about["kernels"].get(name, {})
        kind = kinds[_kind(name, kernel)]
        kind["ms"] += milliseconds
        if "convolution" in kernel:
            kind["operations"] += kernel["operations"] * kernel["calls"]
            kind["weights"] += _weights(kernel) * kernel["calls"]
    return {"kinds": kinds, "whole_ms": whole}


def _line(kind: str, ms: float, share: float, operations: float, weights: float) -> list[str]:
    read = [f"{operations / ms / 1e6:.0f}", f"{weights:.1f}", f"{weights / ms:.1f}"]
    return [kind, formatting.ms(ms), f"{share:.1%}", *(read if operations else [formatting.NONE] * 3)]


def _weights(kernel: dict) -> float:
    """MB of weights that one call reads; small ones of Winograd are already transformed."""
    sizes = re.match(r"(\w+) (\d+)->(\d+) (\d+)x(\d+)", kernel["convolution"])
    assert sizes, kernel["convolution"]
    values = float(np.prod([int(size) for size in sizes.groups()[1:]]))
    int8 = sizes[1] == "int8"
    if not (tile := re.fullmatch(r"winograd(\d)", kernel["schedule"])):
        return values * (1 if int8 else 4) / 1e6
    transformed = values * (int(tile[1]) + 2) ** 2 / 9 * (2 if int8 else 4)
    return (transformed if int8 or transformed <= winograd_weights.LARGE else 4 * values) / 1e6


def _read_ms(threads: int, rows: int) -> float:
    """Milliseconds of a kernel in which each thread reads `rows` of 64 bytes."""
    data = te.placeholder((threads, rows, LANES))
    row = te.reduce_axis((0, rows))
    total = te.compute((threads, LANES), lambda thread, lane: te.sum(data[thread, row, lane], row))
    schedule = te.create_schedule(total.op)
    thread, lane = total.op.axis
    schedule[total].reorder(thread, row, lane)
    schedule[total].parallel(thread)
    schedule[total].vectorize(lane)
    kernel = tvm.build(schedule, [data, total], target.resolve(None, threads))
    arrays = [tvm.nd.array(np.ones([int(size) for size in tensor.shape], np.float32)) for tensor in (data, total)]
    clock = kernel.time_evaluator(kernel.entry_name, tvm.cpu(), number=1 if rows > 1 else 100, repeat=50)
    return float(np.median(clock(*arrays).results)) * 1e3


def _kind(name: str, kernel: dict) -> str:
    if convolution := kernel.get("convolution"):
        size = re.search(r"\d+x\d+/\d+ \d+", convolution)
        algorithm = "Winograd" if kernel["schedule"].startswith("winograd") else "direct"
        return f"{algorithm}, {size.group() if size else convolution} pixels"
    return re.sub(r"_\d+$", "", name.removeprefix("tvmgen_default_fused_"))[:48]


def _gain(owner: object, attribute_name: str, source: Path, threads: int) -> dict[str, list[float]]:
    """Kernels and milliseconds without the pass, and with it."""
    cpu_target = target.resolve(None, threads)
    builds = {}
    for label in ("without", "with"):
        with _left_out(owner, attribute_name) if label == "without" else nullcontext():
            module = passes.lower_quantization(frontend.relay_from_file(source, INPUTS), cpu_target)
            builds[label] = compiler.compiled(module, cpu_target, compiler.Schedules())
    times = timing.latencies({label: build.library for label, build in builds.items()})
    return {"kernels": [len(build.kernels) for build in builds.values()], "ms": [times[label] for label in builds]}


def _gain_line(gain: dict[str, Any]) -> list[str]:
    without, with_it = gain["ms"]
    kernels = [str(count) for count in gain["kernels"]]
    shown = [kernels[0], formatting.ms(without), kernels[1], formatting.ms(with_it), f"{without - with_it:+.3f}"]
    return [f"{gain['pass']} ({gain['source']})", *shown]


@contextmanager
def _left_out(owner: object, name: str) -> Iterator[None]:
    """Replace a schedule by TVM's, or a pass by one that does nothing, while the context is open."""
    with attribute(owner, name, x86.schedule_injective_cpu if name == "schedule" else lambda: NO_PASS):
        yield


if __name__ == "__main__":
    main()
