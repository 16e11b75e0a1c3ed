"""The sizes of a network's convolutions and dense layers. Tuning records depend on them, the precision and the machine.

Weights and names do not count, so a fine-tuned network shares the records of the original. The number of classes does
not count either: it changes only the last layer, which then is one task without a record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..spec.tensors import TensorSpec
from .tensors import zeros

MATRIX_PRODUCTS = ("linear", "addmm", "mm")


@dataclass(frozen=True)
class Layer:
    """A convolution or a dense layer; sizes are channels first, without the batch."""

    kind: str  # conv, conv-transpose or dense
    data: tuple[int, ...]
    out: tuple[int, ...]
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    groups: int = 1


def fingerprint(layers: Sequence[Layer], shape: Sequence[Any]) -> str | None:
    """SHA-256, in hexadecimal, of the layers (the last is the classifier) and `shape_of` the inputs; None without.

    The order of the layers does not count, because exporters may reorder branches.
    """
    if not layers:
        return None
    *before, classifier = layers
    lines = sorted(json.dumps(asdict(layer)) for layer in (*before, replace(classifier, out=())))
    return hashlib.sha256(json.dumps([list(shape), lines]).encode()).hexdigest()


def layers_of(module: nn.Module, inputs: Sequence[TensorSpec]) -> list[Layer]:
    """The layers in the order in which `module` runs them on `inputs`."""
    device = next((tensor.device for tensor in module.parameters()), None)
    with torch.no_grad(), _Recorder() as recorder:
        module(*(tensor.to(device) for tensor in zeros(inputs)))
    return recorder.layers


def shape_of(inputs: Sequence[TensorSpec]) -> list[Any]:
    """What `fingerprint` takes of the inputs: the shape of the only one without the batch size, or a list of shapes."""
    shapes = [list(spec.sample_shape) for spec in inputs]
    return shapes[0] if len(shapes) == 1 else shapes


class _Recorder(TorchDispatchMode):
    """Records the convolutions and matrix products that PyTorch computes, in layers and in plain functions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[Layer] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        operator = func.overloadpacket.__name__
        if operator == "convolution":
            data, weight, _, strides, _, dilations, transposed, _, groups = args
            kind = "conv-transpose" if transposed else "conv"
            sizes = (tuple(data.shape[1:]), tuple(out.shape[1:]), tuple(weight.shape[2:]))
            self.layers.append(Layer(kind, *sizes, tuple(strides), tuple(dilations), groups))
        elif operator in MATRIX_PRODUCTS:
            data = args[1] if operator == "addmm" else args[0]
            self.layers.append(Layer("dense", (data.shape[-1],), (out.shape[-1],)))
        return out
