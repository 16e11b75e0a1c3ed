"""OpenVINO on the CPU: one stream with all threads, for the lowest latency."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import openvino
from openvino import properties
from openvino.properties import hint

from ..spec.tensors import Arrays

PRECISIONS = {"f32": openvino.Type.f32, "bf16": openvino.Type.bf16}


def load(artifact: Path, *, threads: int) -> Callable[[Arrays], Arrays]:
    """Open an `.xml` file and the `.bin` beside it; the `.xml` file names the precision of the computation."""
    core = openvino.Core()
    model = core.read_model(artifact)
    settings = {
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        # By default, OpenVINO computes an FP32 model in BF16 if the CPU has it.
        hint.inference_precision: PRECISIONS[model.get_rt_info("inference_precision").astype(str)],
        hint.enable_hyper_threading: True,  # threads are logical cores, as for all other backends
        properties.inference_num_threads: threads,
        properties.num_streams: 1,
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def run(inputs: Arrays) -> Arrays:
        results = request.infer(list(inputs), share_inputs=True)
        return tuple(results[i] for i in range(len(results)))

    return run
