"""Quantized averages by exact sums.

If input and output have the same scale, a quarter of the averages of four values lie exactly between two steps. ONNX
Runtime averages dequantized floats, whose rounding decides there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from ..host import packages
from .layer import Quantization

OPERATORS = ("DequantizeLinear", "AveragePool", "QuantizeLinear")


def average_pool(
    values: np.ndarray, pool: onnx.NodeProto, before: Quantization, after: Quantization
) -> np.ndarray | None:
    """The output of a quantized average pooling of images, rounded once, half to even.

    None for uneven padding, and in an environment without PyTorch, such as that of Relax.
    """
    if not packages.folder("torch"):
        return None
    import torch

    given: dict[str, Any] = {item.name: onnx.helper.get_attribute_value(item) for item in pool.attribute}
    pads = given.get("pads", [0, 0, 0, 0])
    if values.ndim != 4 or pads[:2] != pads[2:] or given.get("dilations", [1, 1]) != [1, 1]:
        return None
    (scale, zero), (out_scale, out_zero) = before.along(4), after.along(4)
    averages = torch.nn.functional.avg_pool2d(
        torch.from_numpy(values - zero),
        given["kernel_shape"],
        given.get("strides", [1, 1]),
        pads[:2],
        bool(given.get("ceil_mode", 0)),
        bool(given.get("count_include_pad", 0)),
    )
    limits = np.iinfo(after.dtype)
    return np.clip(np.rint(averages.numpy() * (scale / out_scale)) + out_zero, limits.min, limits.max)
