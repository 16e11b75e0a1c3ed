"""LiteRT, formerly TensorFlow Lite, on the CPU by its delegate XNNPACK. It runs in the environment `litert`.

Inputs are NCHW, as for every backend. The file transposes them to NHWC, in the time of a call.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from ..spec.tensors import Arrays


def load(artifact: Path, *, threads: int) -> Callable[[Arrays], Arrays]:
    """Open a `.tflite` file."""
    interpreter = Interpreter(str(artifact), num_threads=threads)
    interpreter.allocate_tensors()
    taken, given = _indices(interpreter)

    def run(inputs: Arrays) -> Arrays:
        for index, array in zip(taken, inputs, strict=True):
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return tuple(interpreter.get_tensor(index) for index in given)

    return run


def _indices(interpreter: Interpreter) -> tuple[list[int], list[int]]:
    """The tensors that are the inputs and the outputs, in the model's order."""
    # While it lives, the interpreter refuses to run.
    runner = interpreter.get_signature_runner()
    return _in_order(runner.get_input_details()), _in_order(runner.get_output_details())


def _in_order(details: dict[str, dict[str, Any]]) -> list[int]:
    """The indices of tensors with names such as `args_0` and `output_10`."""
    return [details[name]["index"] for name in sorted(details, key=lambda name: int(name.rpartition("_")[2]))]
