"""An `nn.Module` as a file: how to build it again, and its state dict. Reading it runs no code."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import nn

from ..compress import bfloat16, dynamic, ptq
from ..host.files import replace_with
from ..models import resolve
from ..models.shapes import reshape, shapes_of


def save(
    module: nn.Module,
    path: Path,
    *,
    model: str,
    classes: int,
    precision: str,
    shape: tuple[int, ...],
    sizes: dict[str, list[int]] | None = None,
) -> None:
    """Write `module`, which `model` (a name that `models.resolve` knows) builds with `classes` outputs.

    `sizes` are the shapes of its tensors before it was quantized, which pruning may have made smaller; None: as now.
    """
    state = {
        "model": model,
        "classes": classes,
        "precision": precision,
        "shape": list(shape),
        "sizes": sizes or shapes_of(module),
        "state": module.state_dict(),
    }
    buffer = io.BytesIO()  # torch's own writer hides a full disk behind an error of its own
    torch.save(state, buffer)
    with replace_with(path) as beside:
        beside.write_bytes(buffer.getbuffer())


def load(path: Path) -> nn.Module:
    """Build the module again, in evaluation mode, with the saved weights and the scales of what was quantized."""
    saved = torch.load(path, weights_only=True)
    names = tuple(map(str, range(saved["classes"])))
    shape = tuple(saved["shape"])
    module = resolve(saved["model"], "random", input_shape=shape, classes=names).module
    reshape(module, saved["sizes"])
    if saved["precision"] == "int8":
        module = ptq.skeleton(module, shape)
    elif saved["precision"] == "bf16":
        module = bfloat16.to_bfloat16(module)
    elif saved["precision"] in dynamic.METHOD:
        module = dynamic.quantize_dynamic(module, saved["precision"])
    module.load_state_dict(saved["state"])
    return module.eval()


def sizes(path: Path) -> dict[str, list[int]]:
    """The shapes of the tensors of the FP32 module that the file's was made from."""
    return torch.load(path, weights_only=True)["sizes"]
