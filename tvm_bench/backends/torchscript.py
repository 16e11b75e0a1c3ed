"""TorchScript: traced, frozen, and optimized for inference (batch norms folded, oneDNN operators fused)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch


def load(artifact: Path, *, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Open a traced module. Input float32 (batch, channels, height, width), output float32 (batch, classes).

    Freezing is part of loading: the weights that oneDNN packs cannot be saved to a file.
    """
    torch.set_num_threads(threads)
    torch.backends.quantized.engine = "x86"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation of torch.jit, pinned in setup.cfg with its torch
        module = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.load(artifact).eval()))

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(images)).numpy()

    return run
