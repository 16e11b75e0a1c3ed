"""State dicts from and to files, without running what a file may carry."""

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

# What readers of tensors end with when a file is damaged, or holds more than tensors.
DAMAGED = (
    *(SafetensorError, pickle.UnpicklingError, struct.error, EOFError, OSError),
    *(RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError),
)
ABOUT = "tvm_bench"  # the entry of the file's metadata


def load_state_dict(module: nn.Module, path: Path) -> None:
    """Fill `module` from a `.safetensors` or `.pt` state dict, cast to the module's own types.

    Raises `UserError` for a missing or damaged file, and for names or shapes that do not fit.
    """
    known = trained_as(path).get("model")
    fill(module, read(path), f"the weights in '{path}'" + (f", trained as '{known}'," if known else ""))


def fill(module: nn.Module, state: dict[str, torch.Tensor], what: str, *, new_head: bool = False) -> bool:
    """Copy `state` into `module`. With `new_head`, a last layer for another number of classes stays as it is.

    Returns whether it stayed. Raises `UserError`, which begins with `what`, for names or shapes that do not fit.
    """
    own = module.state_dict()
    head = _head(module) if new_head else None
    in_both = own.keys() & state.keys()
    kept = {key for key in in_both if key.rpartition(".")[0] == head and _other_classes(state[key], own[key])}
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [
        f"{key}: file {tuple(state[key].shape)}, model {tuple(own[key].shape)}"
        for key in sorted(in_both - kept)
        if state[key].shape != own[key].shape
    ]
    if missing or unexpected or shapes:
        raise UserError(
            f"{what} do not fit {type(module).__name__}: "
            f"{len(missing)} missing {missing[:3]}, {len(unexpected)} not known {unexpected[:3]}, "
            f"{len(shapes)} of another shape {shapes[:3]}. Give the file that belongs to this model."
        )
    module.load_state_dict({key: own[key] if key in kept else value for key, value in state.items()})
    return bool(kept)


def _head(module: nn.Module) -> str | None:
    """The name of the last layer with weights, which tells the classes apart."""
    layers = [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    return layers[-1] if layers else None


def _other_classes(file: torch.Tensor, own: torch.Tensor) -> bool:
    """Whether only the first dimension, the number of outputs, is another one."""
    return file.shape != own.shape and file.shape[1:] == own.shape[1:]


def save_state_dict(module: nn.Module, path: Path, *, half: bool = True, about: dict | None = None) -> None:
    """Write a `.safetensors` file; with `half`, matrices and kernels as FP16, vectors (batch norm, biases) in FP32.

    `about` (`model`, `spec`, `classes`) lies beside the weights, so that the file alone tells what it was trained as.
    """
    state = {
        key: value.half().contiguous() if half and value.ndim > 1 else value.contiguous()
        for key, value in module.state_dict().items()
    }
    with replace_with(path) as beside:
        save_file(state, beside, {ABOUT: json.dumps(about)} if about else None)


def trained_as(path: Path) -> dict:
    """What `save_state_dict` was told about the weights; empty for a file of another origin."""
    try:
        with safe_open(path, "pt") as file:
            return json.loads((file.metadata() or {}).get(ABOUT, "{}"))
    except (SafetensorError, OSError, ValueError):
        return {}  # whatever is wrong with the file, `read` says it


def state_hash(module: nn.Module) -> str:
    """SHA-256 of all names and values of the state dict, in hexadecimal."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        # A copy: what NumPy shares can no longer be resized, and the observers of quantization are.
        digest.update(name.encode() + value.cpu().clone().contiguous().numpy().tobytes())
    return digest.hexdigest()


def check_finite(module: nn.Module, what: str) -> None:
    """Raise `UserError` naming the tensors that hold NaN or infinity."""
    bad = [key for key, value in module.state_dict().items() if not torch.isfinite(value).all()]
    if bad:
        raise UserError(f"{what}: NaN or infinite values in {', '.join(bad[:5])}. Train again, or give other weights.")


def read(path: Path) -> dict[str, torch.Tensor]:
    """The state dict in the file. Raises `UserError` for a missing or damaged one, or another kind of file."""
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
