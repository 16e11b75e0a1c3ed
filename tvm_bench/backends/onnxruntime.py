"""ONNX Runtime on the CPU, with its default settings except for the number of threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnxruntime

from ..spec.tensors import Arrays


def load(artifact: Path, *, threads: int) -> Callable[[Arrays], Arrays]:
    """Open an `.onnx` file."""
    session = onnxruntime.InferenceSession(str(artifact), session_options(threads), providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]

    def run(inputs: Arrays) -> Arrays:
        return tuple(session.run(None, dict(zip(names, inputs, strict=True))))

    return run


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """The default settings, for `threads` threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return options
