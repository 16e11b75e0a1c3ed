"""The sizes of a convolution as a value, and as text: the key of schedules and tuning records."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import tvm
from tvm import relay
from tvm.topi.utils import get_const_tuple

from ....spec import layer_name
from ....spec.layer_name import short

DTYPES = {"float32": "fp32", "uint16": "bf16", "uint8": "int8", "int8": "int8"}  # of data; see bf16_dot.py
CONVOLUTION = re.compile(r"nn\.(contrib_)?(depthwise_)?conv2d")


@dataclass(frozen=True)
class Convolution:
    """Sizes of data (N, C, H, W) and kernel (outputs, height, width), independent of their layouts."""

    dtype: str
    data: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def depthwise(self) -> bool:
        """Whether there is one filter per channel."""
        return self.groups > 1 and self.groups == self.data[1] == self.kernel[0]

    @property
    def out(self) -> tuple[int, int]:
        """Height and width of the output."""
        top, left, bottom, right = self.padding
        height, width = (
            (size + pad - step * (kernel - 1) - 1) // stride + 1
            for size, pad, kernel, stride, step in zip(
                self.data[2:], (top + bottom, left + right), self.kernel[1:], self.strides, self.dilation, strict=True
            )
        )
        return height, width

    @property
    def outputs(self) -> int:
        """Images x rows x columns of the output."""
        height, width = self.out
        return self.data[0] * height * width

    @property
    def operations(self) -> float:
        """Multiplications plus additions of the direct convolution."""
        return 2.0 * self.outputs * prod(self.kernel) * self.data[1] / self.groups

    @property
    def layer(self) -> str:
        """`64->128 3x3/2, 28x28`: what it computes, the same in every precision, by the size of its output."""
        outputs, *kernel = self.kernel
        return layer_name.convolution((self.data[1], outputs), kernel, self.strides, self.out, self.groups)

    def in_bf16(self) -> Convolution:
        """The same convolution in BF16."""
        return replace(self, dtype="bf16")

    def __str__(self) -> str:
        """`int8 64->128 3x3/2 56x56`, followed by padding, groups, dilation and batch if they are not the defaults."""
        outputs, height, width = self.kernel
        batch, channels, *size = self.data
        text = f"{self.dtype} {channels}->{outputs} {height}x{width}/{short(self.strides)} {size[0]}x{size[1]}"
        text += f" pad {short(self.padding)}" if any(self.padding) else ""
        text += f" groups {self.groups}" if self.groups > 1 else ""
        text += f" dilation {short(self.dilation)}" if set(self.dilation) != {1} else ""
        return text + (f" batch {batch}" if batch > 1 else "")


def of(attrs: Any, data: Any, weight: Any) -> Convolution:
    """The convolution of a call's attributes and the types or tensors of its data and weight, in any Relay layout."""
    shape = get_const_tuple(data.shape)
    if len(shape) == 5:  # NCHW16c
        shape = (shape[0], shape[1] * shape[4], shape[2], shape[3])
    elif attrs.data_layout == "NHWC":
        shape = (shape[0], shape[3], shape[1], shape[2])
    if attrs.channels is not None and attrs.kernel_size is not None:
        kernel = (int(attrs.channels), *get_const_tuple(attrs.kernel_size))
    else:
        sizes = dict(zip(str(attrs.kernel_layout), get_const_tuple(weight.shape), strict=True))
        kernel = (sizes["O"], sizes["H"], sizes["W"])
    return Convolution(
        DTYPES.get(data.dtype, data.dtype),
        shape,
        kernel,
        get_const_tuple(attrs.strides),
        get_const_tuple(attrs.padding),
        get_const_tuple(attrs.dilation),
        int(attrs.groups),
    )


def in_kernels(factory: Any) -> dict[str, tuple[Convolution, str]]:
    """The convolution in each kernel of a build and its Relay operator, by the kernel's name; others are left out."""
    convolutions = {}
    for name, info in factory.function_metadata.items():
        for function in info.relay_primfuncs.values():
            for call in _convolutions(function):
                types = (argument.checked_type for argument in call.args[:2])
                convolutions[str(name)] = of(call.attrs, *types), call.op.name
    return convolutions


def _convolutions(function: relay.Function) -> list[relay.Call]:
    calls: list[relay.Call] = []

    def visit(node: relay.Expr) -> None:
        if isinstance(node, relay.Call) and isinstance(node.op, tvm.ir.Op) and CONVOLUTION.match(node.op.name):
            calls.append(node)

    relay.analysis.post_order_visit(function, visit)
    return calls
