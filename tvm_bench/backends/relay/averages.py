"""Writes averages over rows and columns as global pools, whose sums are more accurate (`schedules/global_pool.py`)."""

from __future__ import annotations

from tvm import relay
from tvm.relay.expr_functor import ExprMutator
from tvm.topi.utils import get_const_tuple

from .calls import as_pass, name_of

ROWS_AND_COLUMNS = [2, 3]  # axes of (batch, channels, height, width)


@as_pass
class AveragesAsPools(ExprMutator):
    """Writes a `mean` of FP32 images as `nn.global_avg_pool2d`. Needs types."""

    def visit_call(self, call: relay.Call) -> relay.Expr:
        new = super().visit_call(call)
        if name_of(call) != "mean" or not _averages_images(call):
            return new
        pool = relay.nn.global_avg_pool2d(new.args[0])
        return pool if call.attrs.keepdims else relay.squeeze(pool, ROWS_AND_COLUMNS)


def _averages_images(mean: relay.Call) -> bool:
    images, axes = mean.args[0].checked_type, mean.attrs.axis
    if images.dtype != "float32" or len(images.shape) != 4 or axes is None or mean.attrs.exclude:
        return False
    return sorted(axis % 4 for axis in get_const_tuple(axes)) == ROWS_AND_COLUMNS
