"""Writes a module as TorchScript, by tracing."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import torch
from torch import nn

from ..host.files import replace_with


def save_traced(module: nn.Module, path: Path, shape: tuple[int, ...]) -> None:
    """Trace `module` on an input of `shape` (batch, channels, height, width) and write it to `path`."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # deprecation of torch.jit, which Relay's front end needs
        torch.jit.save(torch.jit.trace(module, torch.zeros(shape)), buffer)
    with replace_with(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
