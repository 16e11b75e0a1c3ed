"""Eager PyTorch on an NVIDIA GPU, channels last, in real FP32: TF32 is off."""

from __future__ import annotations

from pathlib import Path

import torch

from ..exporters import module_file
from . import _gpu


def load(artifact: Path, *, threads: int) -> _gpu.OnDevice:
    """Open a module file.

    Inputs and outputs are in main memory: each call includes the transfers to the GPU and back.
    """
    torch.set_num_threads(threads)
    _gpu.use_fp32()
    return _gpu.OnDevice(_gpu.moved(module_file.load(artifact)))
