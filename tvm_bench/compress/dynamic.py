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
    """A copy of `module` with quantized linear layers; `precision` is a key of `METHOD`."""
    torch.backends.quantized.engine = ENGINE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation notices of torch.ao, pinned in setup.cfg with its torch
        return torch.ao.quantization.quantize_dynamic(
            copy.deepcopy(module).eval(), {nn.Linear}, dtype=DTYPES[precision]
        )
