"""ncnn on the CPU. It has no batches: the samples of a batch run one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import ncnn
import numpy as np

from ..spec.tensors import Arrays

# By default, ncnn keeps weights and what is between layers in half precision.
HALVES = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")
INT8_LAYER = re.compile(r"^(Convolution|ConvolutionDepthWise|InnerProduct)\s.*\s8=\d", re.MULTILINE)


def load(artifact: Path, *, threads: int) -> Callable[[Arrays], Arrays]:
    """Open a `.param` file and the `.bin` beside it."""
    net = ncnn.Net()
    net.opt.num_threads = threads
    for option in HALVES:
        setattr(net.opt, option, False)
    # Winograd's transform for tiles of 4x4 overflows 16 bits, unless weights have 6 bits.
    net.opt.use_winograd43_convolution = not INT8_LAYER.search(artifact.read_text(errors="replace"))
    if net.load_param(str(artifact)) or net.load_model(str(artifact.with_suffix(".bin"))):
        raise ValueError("it is damaged, or has an operator that ncnn lacks, see the log")
    inputs, outputs = net.input_names(), net.output_names()

    def run_one(sample: Arrays) -> list[np.ndarray]:
        extractor = net.create_extractor()
        for name, array in zip(inputs, sample, strict=True):
            extractor.input(name, ncnn.Mat(array))
        return [np.array(extractor.extract(name)[1]) for name in outputs]

    def run(arrays: Arrays) -> Arrays:
        samples = [run_one(sample) for sample in zip(*arrays, strict=True)]
        return tuple(np.stack(values) for values in zip(*samples, strict=True))

    return run
