"""Writes a module as TorchScript, by tracing."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from ..host.files import replace_with
from ..models.tensors import flat_outputs, zeros
from ..spec.tensors import TensorSpec


def save_traced(module: nn.Module, path: Path, inputs: Sequence[TensorSpec]) -> None:
    """Trace `module` on `inputs` and write it to `path`. Nested outputs become a tuple."""
    buffer = io.BytesIO()
    fused_attention = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it is one operator, which Relay does not have
    with warnings.catch_warnings(), torch.inference_mode(), flat_outputs(module):
        warnings.simplefilter("ignore")  # deprecation of torch.jit, which Relay's front end needs
        torch.jit.save(torch.jit.trace(module, zeros(inputs)), buffer)
    torch.backends.mha.set_fastpath_enabled(fused_attention)
    with replace_with(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
