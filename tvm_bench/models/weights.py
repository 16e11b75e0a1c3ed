"""Reads and writes state dicts. Reading runs no code that a file may contain."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ..host.files import replace_with
from ..spec.errors import UserError

# Exceptions of torch.load and safetensors for files that are damaged or hold more than tensors.
DAMAGED = (
    *(SafetensorError, pickle.UnpicklingError, struct.error, EOFError, OSError),
    *(RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError),
)
ABOUT = "tvm_bench"  # the key in the metadata of a .safetensors file


def load_state_dict(module: nn.Module, path: Path) -> None:
    """Load a `.safetensors` or `.pt` state dict into `module`, cast to the module's own types.

    Raises `UserError` for a missing or damaged file, and for names or shapes that do not fit.
    """
    trained_model = trained_as(path).get("model")
    origin = f"the weights in '{path}'" + (f", trained as '{trained_model}'," if trained_model else "")
    fill(module, read(path), origin)


def fill(module: nn.Module, state: dict[str, torch.Tensor], origin: str, *, new_head: bool = False) -> bool:
    """Copy `state` into `module`. With `new_head`, a last layer for another number of classes stays as it is.

    Returns whether it stayed. Raises `UserError`, which begins with `origin`, for names or shapes that do not fit.
    """
    own = module.state_dict()
    head = _head(module) if new_head else None
    in_both = own.keys() & state.keys()
    unchanged = {key for key in in_both if key.rpartition(".")[0] == head and _other_classes(state[key], own[key])}
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [
        f"{key}: file {tuple(state[key].shape)}, model {tuple(own[key].shape)}"
        for key in sorted(in_both - unchanged)
        if state[key].shape != own[key].shape
    ]
    if missing or unexpected or shapes:
        raise UserError(
            f"{origin} do not fit {type(module).__name__}: "
            f"{len(missing)} missing {missing[:3]}, {len(unexpected)} unexpected {unexpected[:3]}, "
            f"{len(shapes)} of another shape {shapes[:3]}. Give the file that belongs to this model."
        )
    module.load_state_dict({key: own[key] if key in unchanged else value for key, value in state.items()})
    return bool(unchanged)


def _head(module: nn.Module) -> str | None:
    """The name of the classifier head: the last layer with weights."""
    layers = [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    return layers[-1] if layers else None


def _other_classes(file: torch.Tensor, own: torch.Tensor) -> bool:
    """Whether the shapes differ in the first dimension only, the number of classes."""
    return file.shape != own.shape and file.shape[1:] == own.shape[1:]


def save_state_dict(module: nn.Module, path: Path, *, half: bool = True, about: dict | None = None) -> None:
    """Write a `.safetensors` file; with `half`, matrices and kernels in FP16, vectors (batch norm, biases) in FP32.

    `about` (`model`, `spec`, `classes`) is stored in the file's metadata, from which `trained_as` reads it.
    """
    state = {
        key: value.half().contiguous() if half and value.ndim > 1 else value.contiguous()
        for key, value in module.state_dict().items()
    }
    with replace_with(path) as temporary:
        save_file(state, temporary, {ABOUT: json.dumps(about)} if about else None)


def trained_as(path: Path) -> dict:
    """The `about` that `save_state_dict` stored in the file; empty for any other file."""
    try:
        with safe_open(path, "pt") as file:
            return json.loads((file.metadata() or {}).get(ABOUT, "{}"))
    except (SafetensorError, OSError, ValueError):
        return {}  # `read` reports what is wrong with the file


def state_hash(module: nn.Module) -> str:
    """SHA-256 of all names and values of the state dict, in hexadecimal."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        # A copy: a tensor that shares its memory with NumPy cannot be resized, as observers of quantization are.
        digest.update(name.encode() + value.cpu().clone().contiguous().numpy().tobytes())
    return digest.hexdigest()


def check_finite(module: nn.Module, origin: str) -> None:
    """Raise `UserError`, which begins with `origin`, naming the tensors that hold NaN or infinity."""
    bad = [key for key, value in module.state_dict().items() if not torch.isfinite(value).all()]
    if bad:
        names = ", ".join(bad[:5])
        raise UserError(f"{origin}: NaN or infinite values in {names}. Train again, or give other weights.")


def read(path: Path) -> dict[str, torch.Tensor]:
    """The state dict in the file. Raises `UserError` for a file that is missing, damaged, or of another kind."""
    if not path.is_file():
        raise UserError(
            f"no weights at '{path}'. --weights takes default, imagenet, random, or a .safetensors or .pt file."
        )
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except DAMAGED as error:
        first = str(error).strip().splitlines()[:1]
        raise UserError(f"the weights in '{path}' are damaged or not a plain state dict: {' '.join(first)}") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(
            f"'{path}' holds no state dict (name -> tensor). Save it with torch.save(model.state_dict(), …)."
        )
    return state
