"""An `nn.Module` as a file: what is needed to build it again, and its state dict. Reading it runs no code.

The packages that a network needs are imported with this module, so that a backend's load time includes no imports.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.ao.quantization.quantize_fx
from torch import nn

from ..compression import bfloat16, dynamic, ptq
from ..host.files import replace_with
from ..models.shapes import reshape, shapes_of
from ..models.structure import structure
from ..models.torchvision_models import import_torchvision
from ..spec.tensors import TensorSpec, from_json, to_json

import_torchvision()


def save(
    module: nn.Module,
    path: Path,
    *,
    model: str,
    classes: int,
    precision: str,
    inputs: Sequence[TensorSpec],
    sizes: dict[str, list[int]] | None = None,
    observer: str = "minmax",
) -> None:
    """Write `module`, which `models.resolve` builds by the name `model` with `classes` outputs. It takes `inputs`.

    `sizes` are the shapes of its tensors before quantization, which pruning may have reduced; None: the present ones.
    `observer` is that of an INT8 module, see `ptq.quantize_static`.
    """
    state = {
        "model": model,
        "classes": classes,
        "precision": precision,
        "inputs": to_json(inputs),
        "sizes": sizes or shapes_of(module),
        "observer": observer,
        "state": module.state_dict(),
    }
    buffer = io.BytesIO()  # torch's own writer hides the error of a full disk
    torch.save(state, buffer)
    with replace_with(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load(path: Path) -> nn.Module:
    """Build the network and load its state dict, as a user of PyTorch does. Returns it in evaluation mode.

    The network gets no random weights first, and uses the tensors of the file without a copy. For INT8, FX quantization
    prepares and converts the network again before the state dict is loaded: apart from TorchScript, PyTorch has no
    file format for such a network that can be read without running code.
    """
    saved = torch.load(path, weights_only=True)
    module = _skeleton(saved["precision"], _network(saved), from_json(saved["inputs"]), saved["observer"])
    module.load_state_dict(saved["state"], assign=True)
    return module.eval()


def _network(saved: dict) -> nn.Module:
    module = structure(saved["model"], saved["classes"])
    reshape(module, saved["sizes"])
    return module


def _skeleton(precision: str, network: nn.Module, inputs: Sequence[TensorSpec], observer: str) -> nn.Module:
    """`network`, converted to the structure that it has in `precision`, without values."""
    if precision == "fp32":
        return network
    if precision == "bf16":
        return bfloat16.skeleton(network)
    for parameter in network.parameters():
        # Quantization rejects the NaN that undefined memory may hold. NumPy's zeros take no memory until written to.
        parameter.data = torch.from_numpy(np.zeros(parameter.shape, np.float32))
    if precision == "int8":
        return ptq.skeleton(network, inputs, observer=observer)
    return dynamic.skeleton(network, precision)


def sizes(path: Path) -> dict[str, list[int]]:
    """The shapes of the tensors of the FP32 module from which the module in the file was made."""
    return torch.load(path, weights_only=True)["sizes"]
