"""Eager PyTorch on an NVIDIA GPU, channels last, in real FP32: TF32 is off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..export import module_file


def load(artifact: Path, *, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Open a module file. Input float32 (batch, channels, height, width), output float32 (batch, classes).

    Both are in main memory: each call includes the transfers to the GPU and back.
    """
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    module = module_file.load(artifact).to("cuda")
    module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in stubs

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            moved = torch.from_numpy(images).to("cuda", memory_format=torch.channels_last)
            return module(moved).cpu().numpy()

    return run
