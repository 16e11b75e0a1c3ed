"""Write docs/results/graph.md: the time of the compiled ResNet-18 by kind of kernel, and the gain of each pass.

python benchmarks/graph.py [--artifacts artifacts]

It needs the libraries and sources that `make bench` writes, and a quiet machine.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click
import numpy as np
import tvm
from tvm import relay, te
from tvm.relay.op.strategy import x86

from tvm_bench.backends.relay import compiler, frontend, passes, profile, target, timing
from tvm_bench.backends.relay.artifact import open_verified
from tvm_bench.backends.relay.schedules import input_layout
from tvm_bench.backends.relay.schedules.override import attribute
from tvm_bench.jobs import launcher
from tvm_bench.report import formatting, table
from tvm_bench.spec.tensors import image_input

OUT = Path(__file__).parents[1] / "docs" / "results" / "graph.md"
VARIANTS = ("fp32-relay-tuned", "int8-relay-tuned")
INPUTS = (image_input((3, 224, 224)),)
LANES = 16  # float32 of a register
COLUMNS = ("kernels", "ms", "share", "GOP/s of the direct convolution", "weights, MB", "read at GB/s")
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
    accounts = [_account(folder / variant) for variant in VARIANTS]
    gains = [
        _gain(name, owner, attribute_name, folder / "sources" / source, threads)
        for name, (owner, attribute_name, source) in PASSES.items()
    ]
    empty_ms, memory = _read_ms(threads, 1), 256e6 / _read_ms(threads, int(256e6 / 4 / LANES / threads)) / 1e6
    header = ("without", "kernels", "ms", "kernels with it", "ms with it", "gain, ms")
    text = [
        "# Where the time of the compiled ResNet-18 goes",
        "",
        f"Batch 1, {threads} threads, {json.loads((folder / 'results.json').read_text())['machine']['cpu']}, by",
        "`python benchmarks/graph.py`. Each kernel was timed in its place in the model; the model as a whole was timed",
        "after them.",
        "",
        table.markdown(accounts),
        "",
        f"{threads} threads read 256 MB of memory at {memory:.0f} GB/s. A parallel kernel without work takes",
        f"{empty_ms * 1e3:.1f} µs, with waking the other threads and reading the clock.",
        "",
        "# What each pass gains",
        "",
        "The whole INT8 model with default schedules, built with and without, measured in turns.",
        "",
        table.markdown([table.Table("Passes", header, gains)]),
        "",
    ]
    OUT.write_text("\n".join(text))
    click.echo(str(OUT))


def _account(folder: Path) -> table.Table:
    """The table of milliseconds, share and GOP/s by kind of kernel."""
    about, library = open_verified(folder)
    (times,) = profile.kernels(library)
    whole = timing.latencies({"model": library})["model"]
    spent: dict[str, float] = defaultdict(float)
    work: dict[str, float] = defaultdict(float)
    weights: dict[str, float] = defaultdict(float)
    for name, milliseconds in times.items():
        kernel = about["kernels"].get(name, {})
        kind = _kind(name, kernel)
        spent[kind] += milliseconds
        if "convolution" in kernel:
            work[kind] += kernel["operations"] * kernel["calls"]
            weights[kind] += _weights(kernel) * kernel["calls"]
    total = sum(spent.values())
    lines = [_line(kind, ms, ms / total, work[kind], weights[kind]) for kind, ms in spent.items()]
    lines.sort(key=lambda line: -float(line[1]))
    totals = sum(work.values()), sum(weights.values())
    lines.append(_line("all kernels, one by one", total, 1.0, *totals))
    lines.append(_line("the model as a whole", whole, whole / total, *totals))
    return table.Table(folder.name, COLUMNS, lines)


def _line(kind: str, ms: float, share: float, work: float, weights: float) -> list[str]:
    cells = [f"{work / ms / 1e6:.0f}", f"{weights:.1f}", f"{weights / ms:.1f}"] if work else [formatting.NONE] * 3
    return [kind, formatting.ms(ms), f"{share:.1%}", *cells]


def _weights(kernel: dict) -> float:
    """MB of weights that one call reads; those of Winograd are already transformed."""
    sizes = re.match(r"(\w+) (\d+)->(\d+) (\d+)x(\d+)", kernel["convolution"])
    assert sizes, kernel["convolution"]
    values = float(np.prod([int(size) for size in sizes.groups()[1:]]))
    if tile := re.fullmatch(r"winograd(\d)", kernel["schedule"]):
        values *= (int(tile[1]) + 2) ** 2 / 9
    return values * (1 if sizes[1] == "int8" else 4) / 1e6


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


def _gain(name: str, owner: object, attribute_name: str, source: Path, threads: int) -> list[str]:
    """A line of the table of passes: kernels and milliseconds without the pass and with it, and the gain."""
    cpu_target = target.resolve(None, threads)
    builds = {}
    for label in ("without", "with"):
        with _left_out(owner, attribute_name) if label == "without" else nullcontext():
            module = passes.lower_quantization(frontend.relay_from_file(source, INPUTS), cpu_target)
            builds[label] = compiler.compiled(module, cpu_target, compiler.Schedules())
    times = timing.latencies({label: build.library for label, build in builds.items()})
    counts = {label: str(len(build.kernels)) for label, build in builds.items()}
    cells = [cell for label in ("without", "with") for cell in (counts[label], formatting.ms(times[label]))]
    return [f"{name} ({source.stem})", *cells, f"{times['without'] - times['with']:+.3f}"]


@contextmanager
def _left_out(owner: object, name: str) -> Iterator[None]:
    """Replace a schedule by TVM's, or a pass by one that does nothing, while the context is open."""
    with attribute(owner, name, x86.schedule_injective_cpu if name == "schedule" else lambda: NO_PASS):
        yield


if __name__ == "__main__":
    main()
