"""A schedule for global and adaptive pooling in blocked layouts (NCHW16c).

TVM 0.19 sums up the channels of a block one after the other, each over the whole image. Here a vector has all of them.
"""

from __future__ import annotations

from tvm import te
from tvm.topi.utils import traverse_inline
from tvm.topi.x86 import pooling

TAG = "adaptive_pool"  # begins the tags of TVM's stages


def schedule(outs: list[te.Tensor]) -> te.Schedule:
    """TVM's schedule for adaptive pooling on x86, with this one for blocked layouts."""
    last = outs[0].op
    pools: list[te.Operation] = []
    s = te.create_schedule([last])
    traverse_inline(s, last, lambda op: pools.append(op) if op.tag.startswith(TAG) else None)
    if len(outs) > 1 or not pools or any(len(op.axis) != 5 for op in pools):
        return pooling.schedule_adaptive_pool(outs)
    for pool in dict.fromkeys(pools):
        local = s.cache_write(pool.output(0), "local")
        image, block, row, column, channel = s[pool].op.axis
        s[pool].parallel(s[pool].fuse(image, block))
        s[pool].vectorize(channel)
        s[local].compute_at(s[pool], column)
        *_, channel = s[local].op.axis
        s[local].reorder(*s[local].op.reduce_axis, channel)
        s[local].vectorize(channel)
    if last not in pools and len(last.axis) > 1:
        s[last].parallel(s[last].fuse(*last.axis[:2]))
    return s
