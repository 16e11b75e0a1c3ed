"""A module that the caller holds, as an ONNX file that jobs can read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..host.files import sha256
from ..spec.errors import UserError
from ..spec.tensors import TensorSpec

if TYPE_CHECKING:
    from torch import nn


def onnx_file_of(module: nn.Module, shapes: tuple[Any, Any], root: Path) -> Path:
    """Export `module` to `root`/modules; the name of the file has a hash of its content.

    `shapes` are those of an image (channels, height, width) and of other inputs by name. Raises `UserError` without.
    """
    from ..exporters import onnx_file

    if not callable(getattr(module, "state_dict", None)):
        raise UserError(f"{type(module).__name__} is no model. Give a name, a path, or a torch.nn.Module.")
    image, named = shapes
    if not image and not named:
        raise UserError("a module does not say what it takes. Give input_shape, such as (3, 224, 224).")
    inputs = [TensorSpec("input", (1, *image))] if image else [TensorSpec(name, shape) for name, shape in named]
    folder, name = root / "modules", type(module).__name__.lower()
    folder.mkdir(parents=True, exist_ok=True)
    training = module.training
    temporary = folder / f"{name}.new.onnx"
    try:
        onnx_file.save_from_module(module.eval(), temporary, inputs)
    finally:
        module.train(training)
    return temporary.replace(folder / f"{name}-{sha256(temporary)[:8]}.onnx")
