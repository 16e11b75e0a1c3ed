"""The inputs of a network whose user names them: by `--input-shape NAME:SIZES`, by samples, or in its class."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from torch import nn

from ..spec.errors import UserError, unknown
from ..spec.sizes import Sizes
from ..spec.tensors import TensorSpec


def named_inputs(
    module: nn.Module, declared: Mapping[str, TensorSpec], sizes: Sizes, samples: Mapping[str, np.ndarray]
) -> tuple[TensorSpec, ...]:
    """The inputs in the order of the parameters of `forward`, at batch size 1.

    A shape comes from `sizes`, from `samples` (arrays whose first axis is the sample), or is `declared`; a dtype is
    declared, or that of the samples. Raises `UserError` for unknown names, and for inputs without a shape.
    """
    if sizes.dims:
        raise UserError(f"--dim {next(iter(sizes.dims))} is for ONNX files. Give --input-shape NAME:SIZES.")
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(module.forward).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    }
    for name in (*sizes.shapes, *samples):
        if name not in parameters:
            raise unknown("input", name, parameters)
    known = sizes.shapes.keys() | samples.keys() | declared.keys()
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in known:
            raise UserError(f"the input '{name}' has no shape. Give --input-shape {name}:SIZES with the batch size 1.")
    return tuple(_spec(name, declared.get(name), sizes, samples) for name in parameters if name in known)


def first_parameter(module: nn.Module) -> str:
    """The name of the first parameter of `forward`."""
    return next(iter(inspect.signature(module.forward).parameters))


def _spec(name: str, declared: TensorSpec | None, sizes: Sizes, samples: Mapping[str, np.ndarray]) -> TensorSpec:
    spec = declared or TensorSpec(
        name, (1, *samples[name].shape[1:]) if name in samples else (), _dtype(samples.get(name))
    )
    if name in sizes.shapes:
        spec = replace(spec, shape=sizes.shapes[name])
    return replace(spec, name=name, batched=spec.shape[:1] == (1,))


def _dtype(array: np.ndarray | None) -> str:
    return "float32" if array is None or array.dtype.kind == "f" else array.dtype.name
