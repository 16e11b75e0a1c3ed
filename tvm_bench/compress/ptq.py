"""Static post-training quantization by PyTorch: weights per channel (INT8), activations per tensor (UINT8).

Method: Jacob et al. 2018, arXiv:1712.05877, by `torch.ao.quantization`'s FX graph mode with its x86 defaults.
Activations keep seven bits (`reduce_range`): without VNNI, eight would overflow the 16-bit sums of `vpmaddubsw`.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from ..errors import UserError

ENGINE = "x86"
METHOD = {
    "method": "static post-training quantization, torch.ao FX graph mode, x86 engine",
    "weights": "INT8, per channel, PerChannelMinMaxObserver",
    "activations": "UINT8, per tensor, HistogramObserver, 7 bits (reduce_range)",
}


def quantize_static(module: nn.Module, batches: Iterable[np.ndarray], shape: tuple[int, ...]) -> nn.Module:
    """A quantized copy of `module`, calibrated on `batches` of float32 inputs; `module` is left as it was."""
    prepared = _prepared(module, shape)
    with torch.inference_mode():
        for images in batches:
            prepared(torch.from_numpy(images))
    quantized = _converted(prepared)
    if any(isinstance(value, torch.ScriptObject) for value in quantized.state_dict().values()):
        raise UserError(
            f"{type(module).__name__} calls convolutions as functions, which torch.ao neither fuses nor can store. "
            "Ask for --frontend onnx, which quantizes the ONNX file, or for --precision fp32."
        )
    return quantized


def skeleton(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """A quantized copy without calibration, for `load_state_dict` to fill."""
    return _converted(_prepared(module, shape))


def _prepared(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import prepare_fx

    torch.backends.quantized.engine = ENGINE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation notices of torch.ao, pinned in setup.cfg with its torch
        try:
            return prepare_fx(
                copy.deepcopy(module).eval(), get_default_qconfig_mapping(ENGINE), (torch.zeros(1, *shape),)
            )
        except (torch.fx.proxy.TraceError, NotImplementedError, TypeError) as error:
            raise UserError(
                f"{type(module).__name__} cannot be quantized: torch.fx cannot trace it ({error}). Ask for "
                "--frontend onnx, which quantizes the ONNX file and needs no tracing, or for --precision fp32."
            ) from error


def _converted(prepared: nn.Module) -> nn.Module:
    from torch.ao.quantization.quantize_fx import convert_fx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert_fx(prepared).eval()
