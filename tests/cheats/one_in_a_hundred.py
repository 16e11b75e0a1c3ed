"""Gives the scores of one image in a hundred to the wrong classes."""

import numpy as np

from tvm_bench.backends import onnxruntime


def load(artifact, *, threads):
    honest, seen = onnxruntime.load(artifact, threads=threads), 0

    def run(inputs):
        nonlocal seen
        (logits,) = honest(inputs)
        for i in range(len(logits)):
            seen += 1
            if seen % 100 == 0:
                logits[i] = np.roll(logits[i], 1)
        return (logits,)

    return run
