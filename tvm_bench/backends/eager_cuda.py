"""Eager PyTorch on an NVIDIA GPU, channels last, in real FP32: TF32 is off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from ..exporters import module_file
from ..exporters.module_call import call, tensors
from ..spec.tensors import Arrays


def load(artifact: Path, *, threads: int) -> Callable[[Arrays], Arrays]:
    """Open a module file.

    Inputs and outputs are in main memory: each call includes the transfers to the GPU and back.
    """
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    module = module_file.load(artifact).to("cuda")
    module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in stubs

    def run(inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            return tuple(output.cpu().numpy() for output in call(module, map(_moved, tensors(inputs))))

    return run


def _moved(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to("cuda", memory_format=torch.channels_last if tensor.ndim == 4 else torch.preserve_format)
