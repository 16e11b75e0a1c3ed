"""Eager PyTorch as it is usually run: evaluation mode, inference mode, the default memory layout.

An eager model is Python code and a file of weights: the project's own code loads it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from ..exporters import module_file
from ..exporters.module_call import call, tensors
from ..spec.tensors import Arrays


def load(
    artifact: Path, *, threads: int, memory_format: torch.memory_format = torch.contiguous_format
) -> Callable[[Arrays], Arrays]:
    """Open a module file. `memory_format` is that of the weights and of inputs with four dimensions."""
    torch.set_num_threads(threads)
    module = module_file.load(artifact).to(memory_format=memory_format)  # type: ignore[call-overload]  # not in stubs

    def run(inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            return tuple(output.numpy() for output in call(module, map(_converted, tensors(inputs))))

    def _converted(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.contiguous(memory_format=memory_format) if tensor.ndim == 4 else tensor

    return run
