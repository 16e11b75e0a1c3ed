"""Exact Winograd F(4x4, 3x3) for INT8: transforms in int16, sums in int32, the same results as the direct convolution.

The usual weight transform has fractions. Here each of its rows is multiplied by 4, 6, 6, 24, 24 or 1, which makes it
integer, and the output transform by 24 over that. So the results are 24 * 24 = 9 * 64 times those of the convolution.
All sums are modulo 2^32, where 9 has an inverse: a multiplication by it, and a shift by 6 bits, give the result if it
is less than 2^25. The transformed data, of uint8, is less than 2^15, and so are the weights.
"""

from __future__ import annotations

from math import prod

import numpy as np
from tvm import relay, tir

from . import int8_dot, winograd_chunks, winograd_matrices, winograd_weights
from .conv_workload import Convolution
from .int16_dot import PAIR
from .winograd_tiles import RegisterTile

SIZE = 4  # of a tile of outputs
BLOCK = 16  # channels
LARGEST = 2**25  # the results are less
# Where it is likely to be faster, by measurements of 16 to 512 channels at 14 to 224 pixels.
MAX_WEIGHTS_BYTES = 5_000_000
MANY_OUTPUTS = 700  # then weights of any size are read for enough outputs
LEAST_OUTPUTS = 400
LEAST_CHANNELS = 32
LEAST_VALUES = 25_000  # outputs x channels
LEAST_OUTPUTS_WITHOUT_VNNI = 49  # where direct products take twice as many instructions, or four times
G = winograd_matrices.OF[SIZE].all_of_weights.T.astype(np.int64)
SUMS = 4 * winograd_matrices.OF[SIZE].sums  # without fractions
INVERSE_OF_9 = 954437177  # modulo 2^32
SHIFT = 6


def unscaled(sums: tir.PrimExpr) -> tir.PrimExpr:
    """The result of the convolution, from the transformed sums."""
    return (sums * tir.const(INVERSE_OF_9, "int32")) >> tir.const(SHIFT, "int32")


def stored(weight: relay.Expr, *, chunks: bool) -> relay.Constant | None:
    """The weights (O, I, 3, 3) as a library stores them; None if they are no constant, or too large.

    That is (6, 6, O/16, I/2, 16, 2) in int16, transformed, or for `chunks` (O/16, I/2, 3, 3, 16, 2) in int8.
    """
    if not isinstance(weight, relay.Constant):
        return None
    values = weight.data.numpy().astype(np.int64)
    outputs, inputs, *_ = values.shape
    signs = (values.clip(min=0), -values.clip(max=0))
    if max(int(part.sum(axis=(1, 2, 3)).max()) for part in signs) * np.iinfo(np.uint8).max >= LARGEST:
        return None
    if chunks:
        values = values.reshape(outputs // BLOCK, BLOCK, inputs // PAIR, PAIR, *values.shape[2:])
        return relay.const(np.ascontiguousarray(values.transpose(0, 2, 4, 5, 1, 3)).astype(np.int8))
    values = np.einsum("ea,oiab,nb->enoi", G, values, G)
    values = values.reshape(*values.shape[:2], outputs // BLOCK, BLOCK, inputs // PAIR, PAIR)
    return relay.const(np.ascontiguousarray(values.transpose(0, 1, 2, 4, 3, 5)).astype(np.int16))


def pays(convolution: Convolution) -> bool:
    """Whether it is likely to be faster than the direct convolution."""
    outputs, channels = convolution.outputs, min(convolution.kernel[0], convolution.data[1])
    if _weights_bytes(convolution) > MAX_WEIGHTS_BYTES and outputs < MANY_OUTPUTS and not in_chunks(convolution):
        return False
    if not int8_dot.has_vnni():
        return outputs >= LEAST_OUTPUTS_WITHOUT_VNNI
    return outputs >= LEAST_OUTPUTS and channels >= LEAST_CHANNELS and outputs * channels >= LEAST_VALUES


def in_chunks(convolution: Convolution) -> bool:
    """Whether its weights are transformed by the kernel, for a chunk of input channels at a time."""
    blocks, places = convolution.kernel[0] // BLOCK, (SIZE + 2) ** 2 * BLOCK
    tiles = convolution.data[0] * prod(-(-pixels // SIZE) for pixels in convolution.out)
    register_tile = RegisterTile.of(BLOCK, blocks, int8_dot.best(BLOCK))
    large = _weights_bytes(convolution) > winograd_weights.LARGE
    return large and winograd_chunks.fit(register_tile, blocks, tiles, places)


def _weights_bytes(convolution: Convolution) -> int:
    return 2 * (SIZE + 2) ** 2 * convolution.kernel[0] * convolution.data[1]


def has_instructions() -> bool:
    """Whether the current target has dot products for whole blocks."""
    return int8_dot.best(BLOCK) is not None
