"""Eager PyTorch, as people run it: evaluation mode, inference mode, the default memory layout.

An eager model is Python, not a file of a runtime: it needs the project's own code to load.
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
    module = module_file.load(artifact).to(memory_format=memory_format)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(images).contiguous(memory_format=memory_format)).numpy()

    return run
