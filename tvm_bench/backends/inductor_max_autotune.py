"""`torch.compile` that tries several kernels for each matrix product, and keeps the fastest."""

from functools import partial

from . import inductor

load = partial(inductor.load, mode="max-autotune")
