"""MNN on the CPU, in the precision of the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import MNN
import MNN.expr

from ..spec.tensors import Arrays

TYPES = {"float32": MNN.expr.float, "int32": MNN.expr.int, "int64": MNN.expr.int64, "uint8": MNN.expr.uint8}


def load(artifact: Path, *, threads: int) -> Callable[[Arrays], Arrays]:
    """Open an `.mnn` file."""
    settings = {"backend": "CPU", "numThread": threads, "precision": "high", "power": "high"}
    runtime = MNN.nn.create_runtime_manager((settings,))
    net = MNN.nn.load_module_from_file(str(artifact), [], [], runtime_manager=runtime)
    layout = MNN.expr.NCHW

    def run(inputs: Arrays) -> Arrays:
        given = [MNN.expr.const(array, list(array.shape), layout, TYPES[str(array.dtype)]) for array in inputs]
        outputs = [MNN.expr.convert(output, layout) for output in net.forward(given)]
        return tuple(output.read().copy() for output in outputs)  # an array lives as long as its output

    return run
