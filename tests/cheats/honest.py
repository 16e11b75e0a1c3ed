"""What the others would be if they did not cheat."""

from tvm_bench.backends import onnxruntime


def load(artifact, *, threads):
    return onnxruntime.load(artifact, threads=threads)
