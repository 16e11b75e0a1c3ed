"""The file of a compressed model: safetensors, with a codebook for tensors of few different values.

A tensor of at most 256 different values is stored as `NAME:codebook` (float32) and `NAME:indices` (uint8). This is
lossless. Shapes are those of the stored tensors.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import nn

from ..host.files import replace_with
from ..models import resolve
from ..models.shapes import reshape
from ..spec.errors import UserError

CODEBOOK, INDICES, LARGEST = ":codebook", ":indices", 256


def save(module: nn.Module, path: Path, *, recipe: str) -> None:
    """Write the weights of `module`."""
    stored: dict[str, np.ndarray] = {}
    for name, tensor in module.state_dict().items():
        values = np.ascontiguousarray(tensor.numpy())
        # Pruning leaves zeros of both signs. With one sign only, the zipped file is a third smaller.
        stored |= _encoded(name, values + values.dtype.type(0) if values.dtype.kind == "f" else values)
    with replace_with(path) as beside:
        save_file(stored, beside, metadata={"recipe": recipe})


def load(path: Path, model: str, *, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build `model` (a name that `models.resolve` knows) with the sizes and the weights of the file."""
    state = state_dict(path)
    module = resolve(model, "random", input_shape=shape, classes=tuple(map(str, range(classes)))).module
    reshape(module, {name: list(tensor.shape) for name, tensor in state.items()})
    module.load_state_dict(state)
    return module.eval()


def state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a file. Raises `UserError` for a damaged file."""
    try:
        stored = load_file(path)
        names = dict.fromkeys(name.removesuffix(CODEBOOK).removesuffix(INDICES) for name in stored)
        return {name: torch.from_numpy(_decoded(name, stored)) for name in names}
    except (SafetensorError, KeyError, IndexError, OSError) as error:
        raise UserError(
            f"'{path}' is no file of weights, or is damaged ({error}). Delete it and run tvm-bench compress again."
        ) from error


def tensor_bytes(tensor: torch.Tensor) -> int:
    """The size of a tensor in the file in bytes, without the header."""
    return sum(part.nbytes for part in _encoded("tensor", tensor.numpy()).values())


def zipped_bytes(path: Path) -> int:
    """The size of the file in a zip archive (deflate), in bytes."""
    with replace_with(path.with_suffix(".zip")) as beside:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, path.name)
        size = beside.stat().st_size
    path.with_suffix(".zip").unlink()
    return size


def _encoded(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    if values.dtype == np.float32 and values.size > LARGEST:
        codebook, inverse = np.unique(values, return_inverse=True)
        indices = inverse.astype(np.uint8).reshape(values.shape)
        if codebook.size <= LARGEST and codebook.nbytes + indices.nbytes < values.nbytes:
            return {f"{name}{CODEBOOK}": codebook, f"{name}{INDICES}": indices}
    return {name: values}


def _decoded(name: str, stored: dict[str, np.ndarray]) -> np.ndarray:
    if name in stored:
        return stored[name]
    return stored[f"{name}{CODEBOOK}"][stored[f"{name}{INDICES}"]]
