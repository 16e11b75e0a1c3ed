"""Writes a module as TorchScript, by tracing."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from ..host.files import replace_with
from ..models.tensors import flat_outputs, zeros
from ..spec.tensors import TensorSpec
from . import trace_constants


def save_traced(module: nn.Module, path: Path, inputs: Sequence[TensorSpec]) -> None:
    """Trace `module` on `inputs` and write it to `path`. Nested outputs become a tuple."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode(), flat_outputs(module), plain_attention():
        warnings.simplefilter("ignore")  # deprecation of torch.jit, which Relay's front end needs
        traced = torch.jit.trace(module, zeros(inputs))
        trace_constants.fold(traced)
        torch.jit.save(traced, buffer)
    with replace_with(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


@contextmanager
def plain_attention() -> Iterator[None]:
    """While the context is open, attention is several operators: TVM does not have PyTorch's fused one."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
