"""`torch.compile` with Inductor and Triton on an NVIDIA GPU, channels last, in real FP32: TF32 is off."""

from __future__ import annotations

from pathlib import Path

import torch

from ..exporters import module_file
from . import _gpu, inductor


def load(artifact: Path, *, threads: int) -> _gpu.OnDevice:
    """Open a module file. Inputs and outputs are in main memory. Raises `UserError` without a C++ compiler."""
    torch.set_num_threads(threads)
    _gpu.use_fp32()
    module = inductor.compiled(_gpu.moved(module_file.load(artifact)), "inductor-cuda", artifact)
    return _gpu.OnDevice(module, mode=torch.no_grad)  # Inductor freezes no weights under inference_mode
