"""Eager PyTorch, as people run it: evaluation mode, inference mode, the default memory layout.

The one backend that needs the project's own code to load: an eager model is Python, not a file of a runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..export import module_file


def load(artifact: Path, *, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Open a module file. Input float32 (batch, channels, height, width), output float32 (batch, classes)."""
    torch.set_num_threads(threads)
    module = module_file.load(artifact)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(images)).numpy()

    return run
