"""What a backend does in a process of its own."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from tvm_bench import backends
from tvm_bench.spec.errors import UserError

CALLS = 300


def probe(backend, artifacts, damaged, threads, images):
    """Logits by batch size, threads that live, CPU seconds per wall second, and what is said of a damaged artifact."""
    pictures = np.load(images)
    logits = {}
    for batch, artifact in artifacts.items():
        run = backends.load(backend, Path(artifact), threads=threads)
        size = int(batch)
        chunks = [pictures[i : i + size] for i in range(0, len(pictures), size)]
        given = [chunk.copy() for chunk in chunks]
        logits[batch] = np.concatenate([run((chunk,))[0].copy() for chunk in chunks]).tolist()
        assert all(np.array_equal(*pair) for pair in zip(chunks, given, strict=True)), "the input was overwritten"
    began = time.process_time(), time.perf_counter()
    for _ in range(CALLS):
        run((chunks[0],))
    used, took = time.process_time() - began[0], time.perf_counter() - began[1]
    return {
        "logits": logits,
        "cpu_per_wall": used / took,
        "torch_threads": sys.modules["torch"].get_num_threads() if "torch" in sys.modules else threads,
        "openmp_threads": os.environ["OMP_NUM_THREADS"],
        "error": error_of(backend, Path(damaged), threads),
    }


def error_of(backend, damaged, threads):
    try:
        backends.load(backend, damaged, threads=threads)
    except UserError as error:
        return str(error)
    return None


def main(request, answer):
    """Probe as the file `request` says, and write the file `answer`."""
    Path(answer).write_text(json.dumps(probe(**json.loads(Path(request).read_text()))))
