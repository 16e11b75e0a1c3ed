"""ONNX Runtime on an NVIDIA GPU, FP32 in real FP32: TF32 is off."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnxruntime
import torch

from ..host.packages import ONNXRUNTIME_GPU
from ..spec.errors import UserError
from ..spec.tensors import Arrays
from . import _gpu
from .onnxruntime import session_options

PROVIDER = "CUDAExecutionProvider"


def load(artifact: Path, *, threads: int) -> OnDevice:
    """Open an `.onnx` file. Inputs and outputs are in main memory. Raises `UserError` without ONNX Runtime for CUDA."""
    need_provider(onnxruntime.get_available_providers())
    onnxruntime.preload_dlls()  # CUDA and cuDNN from their packages
    stream = torch.cuda.Stream()
    options = {"use_tf32": "0", "user_compute_stream": str(stream.cuda_stream)}
    session = onnxruntime.InferenceSession(
        str(artifact), session_options(threads), providers=[(PROVIDER, options), "CPUExecutionProvider"]
    )
    need_provider(session.get_providers())  # without CUDA's libraries, it would run on the CPU
    return OnDevice(session, stream)


def need_provider(providers: Iterable[str]) -> None:
    """Raise `UserError` if CUDA is not among the `providers` of an installation or of a session."""
    if PROVIDER not in (found := tuple(providers)):
        raise UserError(
            f"ONNX Runtime {onnxruntime.__version__} has no {PROVIDER} here, only {', '.join(found)}: either it is not "
            f"the package onnxruntime-gpu, or CUDA's libraries are missing. Install it: {ONNXRUNTIME_GPU}"
        )


class OnDevice:
    """A session, called on arrays in main memory: a call copies them to the device, and its answer back.

    `stream` is the one that the session computes on.
    """

    def __init__(self, session: onnxruntime.InferenceSession, stream: torch.cuda.Stream | None = None):
        self.session, self.stream = session, stream
        self.names = [node.name for node in session.get_inputs()]
        self.arrays: Arrays = ()

    def __call__(self, arrays: Arrays) -> Arrays:
        self.arrays = arrays
        return tuple(self.session.run(None, dict(zip(self.names, arrays, strict=True))))

    def bound(self, device: str = "cuda") -> onnxruntime.IOBinding:
        """The inputs of the last call, and room for the outputs, on `device`: a run on them copies nothing."""
        binding = self.session.io_binding()
        for name, array in zip(self.names, self.arrays, strict=True):
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0))
        for output in self.session.get_outputs():
            binding.bind_output(output.name, device)
        binding.synchronize_inputs()
        return binding

    def time_evaluator(self, runs: int) -> list[float]:
        """Milliseconds of each of `runs` runs by the GPU's clock, without copies, on the inputs of the last call."""
        binding, options = self.bound(), onnxruntime.RunOptions()
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")  # the events wait
        with torch.cuda.stream(self.stream):
            return _gpu.events_ms(lambda: self.session.run_with_iobinding(binding, options), runs)
