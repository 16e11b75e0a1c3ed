"""OpenVINO on the CPU: one stream with all threads, for the lowest latency."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
from openvino import properties
from openvino.properties import hint

PRECISIONS = {"f32": openvino.Type.f32, "bf16": openvino.Type.bf16}


def load(artifact: Path, *, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Open an `.xml` file and the `.bin` beside it; the `.xml` file names the precision of the computation.

    Input float32 (batch, channels, height, width), output float32 (batch, classes).
    """
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

    def run(images: np.ndarray) -> np.ndarray:
        return request.infer(images, share_inputs=True)[0]

    return run
