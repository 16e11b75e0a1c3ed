"""Eager PyTorch in channels_last, the layout that oneDNN's convolutions are fastest in; the input is laid out in each
call."""

from functools import partial

import torch

from . import eager

load = partial(eager.load, memory_format=torch.channels_last)
