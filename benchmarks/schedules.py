"""Print a Markdown table of the times of ResNet-18's convolutions with TVM's default schedules and with this project's.

TVM_NUM_THREADS=2 TOPHUB_LOCATION=NONE python benchmarks/schedules.py
"""

import os
import sys
from contextlib import nullcontext

import numpy as np
import tvm
from tvm import relay
from tvm.contrib import graph_executor

from tvm_bench.backends.relay import schedules, target

# Input channels, output channels, input size, kernel, stride.
CONVOLUTIONS = (
    (3, 64, 224, 7, 2),
    (64, 64, 56, 3, 1),
    (64, 128, 56, 3, 2),
    (64, 128, 56, 1, 2),
    (128, 128, 28, 3, 1),
    (128, 256, 28, 3, 2),
    (256, 256, 14, 3, 1),
    (256, 512, 14, 3, 2),
    (512, 512, 7, 3, 1),
)
REPEATS = 60


def convolution(precision: str, inputs: int, outputs: int, size: int, kernel: int, stride: int) -> relay.Expr:
    """A convolution with bias and ReLU, or for INT8 with the requantization that follows it in a model."""
    random = np.random.default_rng(0)
    shape = (outputs, inputs, kernel, kernel)
    attributes = {
        "channels": outputs,
        "kernel_size": shape[2:],
        "strides": (stride,) * 2,
        "padding": (kernel // 2,) * 2,
    }
    data = relay.var("data", shape=(1, inputs, size, size), dtype="float32" if precision == "fp32" else "uint8")
    if precision == "fp32":
        weight = relay.const(random.standard_normal(shape).astype(np.float32))
        biased = relay.nn.bias_add(
            relay.nn.conv2d(data, weight, **attributes), relay.const(np.ones(outputs, np.float32))
        )
        return relay.nn.relu(biased)
    weight = relay.const(random.integers(-128, 128, shape).astype(np.int8))
    summed = relay.nn.conv2d(data, weight, out_dtype="int32", **attributes) + relay.const(
        np.ones((outputs, 1, 1), np.int32)
    )
    scaled = relay.cast(summed, "float32") * relay.const(np.full((outputs, 1, 1), 1e-4, np.float32))
    return relay.cast(relay.clip(relay.cast(relay.round(scaled), "int32"), 0, 255), "uint8")


def clock(output: relay.Expr, own: bool, threads: int) -> graph_executor.GraphModule:
    """The convolution's executor, ready to be timed."""
    with schedules.using() if own else nullcontext(), tvm.transform.PassContext(3):
        library = relay.build(tvm.IRModule.from_expr(output), target=target.resolve(None, threads))
    return graph_executor.GraphModule(library["default"](tvm.cpu()))


def main() -> None:
    """Print a row for each convolution: medians of interleaved runs, and the speed of the project's schedule."""
    threads = int(os.environ.get("TVM_NUM_THREADS", "1"))
    print(
        "| convolution | precision | TVM's ms | project's ms | ratio | GOP/s |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        sep="\n",
    )
    for precision in sys.argv[1:] or ("fp32", "int8"):
        for inputs, outputs, size, kernel, stride in CONVOLUTIONS:
            output = convolution(precision, inputs, outputs, size, kernel, stride)
            executors = [clock(output, own, threads) for own in (False, True)]
            times = np.array(
                [
                    [e.module.time_evaluator("run", tvm.cpu(), number=3)().mean * 1e3 for e in executors]
                    for _ in range(REPEATS)
                ]
            )
            stock, own = np.median(times, axis=0)
            operations = 2 * inputs * outputs * kernel**2 * (size // stride) ** 2
            name = f"{kernel}×{kernel}/{stride}, {inputs} → {outputs}, {size}×{size}"
            print(
                f"| {name} | {precision} | {stock:.3f} | {own:.3f} | {stock / own:.2f} | {operations / own / 1e6:.0f} |"
            )


if __name__ == "__main__":
    main()
