"""Dies of a segmentation fault, after as many calls as checking its answers takes."""

import ctypes

from tvm_bench.backends import onnxruntime

ALIVE = 40


def load(artifact, *, threads):
    honest, calls = onnxruntime.load(artifact, threads=threads), 0

    def run(inputs):
        nonlocal calls
        calls += 1
        if calls > ALIVE:
            ctypes.string_at(0)
        return honest(inputs)

    return run
