"""State dicts from and to files, without running what a file may carry."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ..errors import UserError


def load_state_dict(module: nn.Module, path: Path) -> None:
    """Fill `module` from a `.safetensors` or `.pt` state dict, cast to the module's own types.

    Raises `UserError` for a missing or damaged file, and for names or shapes that do not fit.
    """
    state = _read(path)
    own = module.state_dict()
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [
        f"{key}: file {tuple(state[key].shape)}, model {tuple(own[key].shape)}"
        for key in own.keys() & state.keys()
        if state[key].shape != own[key].shape
    ]
    if missing or unexpected or shapes:
        raise UserError(
            f"the weights in '{path}' do not fit {type(module).__name__}: "
            f"{len(missing)} missing {missing[:3]}, {len(unexpected)} not known {unexpected[:3]}, "
            f"{len(shapes)} of another shape {shapes[:3]}. Give the file that belongs to this model."
        )
    module.load_state_dict(state)


def save_state_dict(module: nn.Module, path: Path, *, half: bool = True) -> None:
    """Write a `.safetensors` file; with `half`, matrices and kernels as FP16, vectors (batch norm, biases) in FP32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        key: value.half().contiguous() if half and value.ndim > 1 else value.contiguous()
        for key, value in module.state_dict().items()
    }
    save_file(state, path)


def state_hash(module: nn.Module) -> str:
    """SHA-256 of all names and values of the state dict, in hexadecimal."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def check_finite(module: nn.Module, what: str) -> None:
    """Raise `UserError` naming the tensors that hold NaN or infinity."""
    bad = [key for key, value in module.state_dict().items() if not torch.isfinite(value).all()]
    if bad:
        raise UserError(f"{what}: NaN or infinite values in {', '.join(bad[:5])}. Train again, or give other weights.")


def _read(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise UserError(
            f"no weights at '{path}'. --weights takes default, imagenet, random, or a .safetensors or .pt file."
        )
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        first = str(error).strip().splitlines()[:1]
        raise UserError(f"the weights in '{path}' are damaged or not a plain state dict: {' '.join(first)}") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(
            f"'{path}' holds no state dict (name -> tensor). Save it with torch.save(model.state_dict(), …)."
        )
    return state
