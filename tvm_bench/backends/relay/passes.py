"""Step 5: the project's own passes over a Relay module, before `relay.build` runs TVM's.

docs/results/graph.md has the gain of each pass on ResNet-18 in INT8. Layout conversion is no gain by itself, but TVM's
fast schedules start from NCHW.
"""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relay
from tvm.relay.expr_functor import ExprMutator

from . import quantized_clip, quantized_dense, quantized_reshape, quantized_resize, quantized_tables
from .byte_tables import ByteTables
from .calls import as_pass
from .float_constants import FloatConstants
from .folding import FoldWithNumPy
from .grouped_quantization import GroupedConvolutions
from .quantized_transposed import TransposedConvolutions
from .rounding import RoundedOnce
from .schedules.override import operator_attribute
from .sequence import in_sequence
from .shortcuts import while_importing
from .simplify import Simplified

# Pooling is not in the list: with a layout of its own, it would not follow the blocked one (NCHW16c) of its neighbours,
# and need two transforms.
CONVOLUTIONS = ("nn.conv2d", "qnn.conv2d")
REPEATED = [  # TVM's names of passes of `alter_layouts` that find nothing left to do in its result
    "qnn.Legalize",
    "Legalize",
    "SimplifyInference",
    "CanonicalizeCast",
    "CanonicalizeOps",
    "FlattenAtrousConv",
    "AlterOpLayout",
]


def lower_quantization(module: tvm.IRModule, target: tvm.target.Target) -> tvm.IRModule:
    """Lower QDQ pairs and `qnn.*` operators to integer arithmetic, in types with fast instructions on `target`."""
    steps = [
        _ScalarZeroPoints(),
        FloatConstants(),
        relay.transform.FakeQuantizationToInteger(),
        RoundedOnce(),
        GroupedConvolutions(),
        TransposedConvolutions(),
        relay.qnn.transform.Legalize(),
        relay.qnn.transform.CanonicalizeOps(),
        FoldWithNumPy(),
        relay.transform.FoldConstant(),
        # Lowering pads with the zero point in a separate kernel; where that is 0, the convolution can pad.
        relay.transform.FoldExplicitPadding(),
    ]
    # Products of two activations, as of attention, stay in float32: TVM has no fast kernel for u8 x u8.
    in_float = operator_attribute("nn.batch_matmul", quantized_clip.RULE, None)
    with (
        target,
        while_importing(),
        in_float,
        quantized_clip.using(),
        quantized_dense.using(),
        quantized_reshape.using(),
        quantized_resize.using(),
        quantized_tables.using(),
        tvm.transform.PassContext(opt_level=3),
    ):
        return in_sequence(steps, module)


def alter_layouts(module: tvm.IRModule) -> tvm.IRModule:
    """The passes of `relay.build` up to the layouts of its kernels, with constants folded by NumPy.

    Afterwards `relay.build` can leave out those of `REPEATED`.
    """
    transform = relay.transform
    steps = [
        relay.qnn.transform.Legalize(),
        transform.Legalize(),
        transform.SimplifyInference(),
        FoldWithNumPy(),
        transform.FoldConstant(),
        transform.FoldScaleAxis(),
        transform.CanonicalizeCast(),
        transform.CanonicalizeOps(),
        transform.FlattenAtrousConv(),
        transform.AlterOpLayout(),
        FoldWithNumPy(),
        Simplified(),
        ByteTables(),
    ]
    return in_sequence(steps, module)


def convert_layouts(module: tvm.IRModule, layout: str = "NCHW") -> tvm.IRModule:
    """Convert convolutions to the layout that their schedules start from, unless they have it already.

    TVM's default schedules for x86 need NCHW, AutoScheduler NHWC. INT8 stays NCHW: TVM 0.19 has no NHWC convolution
    that uses VNNI.
    """
    if _convolution_layouts(module) <= {layout}:
        return module
    layouts = {name: [layout, "default"] for name in CONVOLUTIONS}
    with tvm.transform.PassContext(opt_level=3):
        return relay.transform.ConvertLayout(layouts)(module)


def _convolution_layouts(module: tvm.IRModule) -> set[str]:
    layouts: set[str] = set()

    def visit(node: relay.Expr) -> None:
        if isinstance(node, relay.Call) and getattr(node.op, "name", "") in CONVOLUTIONS:
            layouts.add(str(node.attrs.data_layout))

    relay.analysis.post_order_visit(module["main"], visit)
    return layouts


@as_pass
class _ScalarZeroPoints(ExprMutator):
    """Replaces per-channel zero points that are all zero, as those of symmetric weights, by one scalar zero.

    ONNX Runtime writes a vector of zeros. With a vector, every convolution computes a correction for zero points.
    """

    ZERO_POINTS = {"qnn.dequantize": (2,), "qnn.quantize": (2,)}

    def visit_call(self, call: relay.Call) -> relay.Call:
        call = super().visit_call(call)
        positions = self.ZERO_POINTS.get(getattr(call.op, "name", ""), ())
        arguments = [_scalar(a) if i in positions else a for i, a in enumerate(call.args)]
        return relay.Call(call.op, arguments, call.attrs, call.type_args, call.span)


def _scalar(expression: relay.Expr) -> relay.Expr:
    if isinstance(expression, relay.Constant) and expression.data.shape and not np.any(expression.data.numpy()):
        return relay.const(0, expression.data.dtype)
    return expression
