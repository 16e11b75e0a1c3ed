"""Time ResNet-18's convolutions with TVM's own schedules and with this project's. Writes docs/results/schedules.md.

python benchmarks/schedules.py
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import click
import measured
import numpy as np
import tvm
from tvm import relay
from tvm.contrib import graph_executor

from tvm_bench.backends.relay import schedules, target
from tvm_bench.host import cpu
from tvm_bench.jobs import launcher

RESULTS = measured.FOLDER / "schedules.json"
REPEATS = 60
HEADER = ("convolution", "precision", "TVM's ms", "project's ms", "ratio", "GOP/s")
TEXT = """# TVM's own schedules and this project's, by convolution

{origin}

Each convolution of ResNet-18 by itself, with its bias and ReLU, or for INT8 with the requantization that follows it.
Medians of {repeats} runs in turns. *GOP/s* counts the multiplications and additions of a direct convolution, so
Winograd's may be higher than what the CPU can do.

{table}
"""


@dataclass(frozen=True)
class Convolution:
    """The sizes of a convolution: channels, pixels of a side of its input, and of its kernel."""

    inputs: int
    outputs: int
    size: int
    kernel: int
    stride: int

    @property
    def operations(self) -> int:
        return 2 * self.inputs * self.outputs * self.kernel**2 * (self.size // self.stride) ** 2

    def __str__(self) -> str:
        kernel = f"{self.kernel}×{self.kernel}/{self.stride}"
        return f"{kernel}, {self.inputs} → {self.outputs}, {self.size}×{self.size}"


CONVOLUTIONS = (
    Convolution(3, 64, 224, 7, 2),
    Convolution(64, 64, 56, 3, 1),
    Convolution(64, 128, 56, 3, 2),
    Convolution(64, 128, 56, 1, 2),
    Convolution(128, 128, 28, 3, 1),
    Convolution(128, 256, 28, 3, 2),
    Convolution(256, 256, 14, 3, 1),
    Convolution(256, 512, 14, 3, 2),
    Convolution(512, 512, 7, 3, 1),
)


@click.command(help=__doc__)
def main() -> None:
    os.environ |= launcher.child_environment(cpu.cores())  # TVM reads it before its first computation
    rows = [_row(convolution, precision) for precision in ("fp32", "int8") for convolution in CONVOLUTIONS]
    measured.keep(RESULTS, page, repeats=REPEATS, rows=rows)


def page(results: dict[str, Any]) -> str:
    """The Markdown page of the results."""
    lines = [_line(**row) for row in results["rows"]]
    origin = measured.origin(results, "python benchmarks/schedules.py")
    return TEXT.format(origin=origin, repeats=results["repeats"], table=measured.lines_of(HEADER, lines))


def _line(convolution: dict[str, int], precision: str, stock_ms: float, own_ms: float) -> list[str]:
    sizes = Convolution(**convolution)
    speed = f"{sizes.operations / own_ms / 1e6:.0f}"
    return [str(sizes), precision.upper(), f"{stock_ms:.3f}", f"{own_ms:.3f}", f"{stock_ms / own_ms:.2f}", speed]


def _row(convolution: Convolution, precision: str) -> dict[str, Any]:
    output = _expression(convolution, precision)
    executors = [_clock(output, own) for own in (False, True)]
    times = [
        [executor.module.time_evaluator("run", tvm.cpu(), number=3)().mean * 1e3 for executor in executors]
        for _ in range(REPEATS)
    ]
    stock, own = np.median(times, axis=0)
    return {"convolution": asdict(convolution), "precision": precision, "stock_ms": stock, "own_ms": own}


def _expression(sizes: Convolution, precision: str) -> relay.Expr:
    random = np.random.default_rng(0)
    shape = (sizes.outputs, sizes.inputs, sizes.kernel, sizes.kernel)
    attributes = {
        "channels": sizes.outputs,
        "kernel_size": shape[2:],
        "strides": (sizes.stride,) * 2,
        "padding": (sizes.kernel // 2,) * 2,
    }
    dtype = "float32" if precision == "fp32" else "uint8"
    data = relay.var("data", shape=(1, sizes.inputs, sizes.size, sizes.size), dtype=dtype)
    if precision == "fp32":
        weight = relay.const(random.standard_normal(shape).astype(np.float32))
        bias = relay.const(np.ones(sizes.outputs, np.float32))
        return relay.nn.relu(relay.nn.bias_add(relay.nn.conv2d(data, weight, **attributes), bias))
    weight = relay.const(random.integers(-128, 128, shape).astype(np.int8))
    bias = relay.const(np.ones((sizes.outputs, 1, 1), np.int32))
    summed = relay.nn.conv2d(data, weight, out_dtype="int32", **attributes) + bias
    scaled = relay.cast(summed, "float32") * relay.const(np.full((sizes.outputs, 1, 1), 1e-4, np.float32))
    return relay.cast(relay.clip(relay.cast(relay.round(scaled), "int32"), 0, 255), "uint8")


def _clock(output: relay.Expr, own: bool) -> graph_executor.GraphModule:
    """The convolution's executor, ready to be timed."""
    with schedules.using() if own else nullcontext(), tvm.transform.PassContext(3):
        library = relay.build(tvm.IRModule.from_expr(output), target=target.resolve(None, cpu.cores()))
    executor = graph_executor.GraphModule(library["default"](tvm.cpu()))
    data = executor.get_input(0)
    executor.set_input(0, np.random.default_rng(1).integers(0, 256, data.shape).astype(data.dtype))
    return executor


if __name__ == "__main__":
    main()
