"""Eager PyTorch as it is usually run: evaluation mode, inference mode, the default memory layout.

An eager model is Python code and a file of weights: the project's own code loads it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..export import module_file


def load(
    artifact: Path, *, threads: int, memory_format: torch.memory_format = torch.contiguous_format
) -> Callable[[np.ndarray], np.ndarray]:
    """Open a module file. Input float32 (batch, channels, height, width), output float32 (batch, classes)."""
    torch.set_num_threads(threads)
    module = module_file.load(artifact).to(memory_format=memory_format)  # type: ignore[call-overload]  # not in stubs

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(images).contiguous(memory_format=memory_format)).numpy()

    return run
