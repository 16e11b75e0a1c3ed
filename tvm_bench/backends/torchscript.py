"""TorchScript: traced, frozen, and optimized for inference (batch norms folded, oneDNN operators fused)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from ..exporters.module_call import call, tensors
from ..spec.tensors import Arrays


def load(artifact: Path, *, threads: int) -> Callable[[Arrays], Arrays]:
    """Open a traced module.

    Freezing is part of loading: the weights that oneDNN packs cannot be saved to a file.
    """
    torch.set_num_threads(threads)
    torch.backends.quantized.engine = "x86"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation of torch.jit, pinned in setup.cfg with its torch
        module = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.load(artifact).eval()))

    def run(inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            return tuple(output.numpy() for output in call(module, tensors(inputs)))

    return run
