"""Dynamic post-training quantization by PyTorch. It has no dynamic convolution: only linear layers are quantized.

INT8: weights per tensor, activations with the range of each call. FP16: weights are rounded to FP16, the arithmetic
is FP32.
"""

from __future__ import annotations

import copy
import warnings

import torch
from torch import nn

from .ptq import ENGINE

METHOD = {
    "int8-dynamic": {
        "method": "dynamic post-training quantization of linear layers, torch.ao, x86 engine; convolutions stay FP32",
        "weights": "INT8, per tensor",
        "activations": "UINT8, per tensor, ranges of each call",
    },
    "fp16-dynamic": {
        "method": "linear layers with FP16 weights, torch.ao, x86 engine; convolutions stay FP32",
        "weights": "FP16",
        "activations": "FP32",
    },
}
DTYPES = {"int8-dynamic": torch.qint8, "fp16-dynamic": torch.float16}


def quantize_dynamic(module: nn.Module, precision: str) -> nn.Module:
    """A copy with quantized linear layers, `precision` being a key of `METHOD`; `module` is left as it was."""
    return skeleton(copy.deepcopy(module), precision)


def skeleton(module: nn.Module, precision: str) -> nn.Module:
    """`module` itself with quantized linear layers, for `load_state_dict` to fill. Its weights must be finite."""
    torch.backends.quantized.engine = ENGINE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation notices of torch.ao, pinned in setup.cfg with its torch
        return torch.ao.quantization.quantize_dynamic(module.eval(), {nn.Linear}, dtype=DTYPES[precision], inplace=True)
