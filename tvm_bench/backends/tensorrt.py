"""TensorRT on an NVIDIA GPU: an engine for this GPU, cached beside the file that it was built from."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import tensorrt
import torch

from ..host.deployment_size import compiled_folder
from ..host.files import replace_with
from ..spec.errors import UserError
from ..spec.tensors import Arrays
from . import _gpu

LOG = tensorrt.Logger(tensorrt.Logger.ERROR)


def load(artifact: Path, *, threads: int) -> OnGpu:
    """Open an `.onnx` file, whose types are those of the computation.

    Inputs and outputs are in main memory. The first process builds the engine, which takes minutes. Raises `UserError`
    for a file that TensorRT cannot read.
    """
    torch.set_num_threads(threads)
    return OnGpu(_engine(artifact))


class OnGpu:
    """An engine, called on arrays in main memory: a call copies them to the GPU, and its answer back."""

    def __init__(self, engine: tensorrt.ICudaEngine):
        self.context, self.stream = engine.create_execution_context(), torch.cuda.Stream()
        on_gpu = {name: _allocated(engine, name) for name in map(engine.get_tensor_name, range(engine.num_io_tensors))}
        for name, tensor in on_gpu.items():
            self.context.set_tensor_address(name, tensor.data_ptr())
        is_input = {name: engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT for name in on_gpu}
        self.inputs = [tensor for name, tensor in on_gpu.items() if is_input[name]]
        self.outputs = [tensor for name, tensor in on_gpu.items() if not is_input[name]]
        self.answers = [torch.empty(output.shape, dtype=output.dtype, pin_memory=True) for output in self.outputs]

    def __call__(self, arrays: Arrays) -> Arrays:
        with torch.cuda.stream(self.stream):
            for tensor, array in zip(self.inputs, arrays, strict=True):
                tensor.copy_(torch.from_numpy(array), non_blocking=True)
            self._compute()
            for answer, output in zip(self.answers, self.outputs, strict=True):
                answer.copy_(output, non_blocking=True)
        self.stream.synchronize()
        return tuple(answer.numpy().copy() for answer in self.answers)

    def time_evaluator(self, runs: int) -> list[float]:
        """Milliseconds of each of `runs` runs by the GPU's clock, without copies, on the inputs of the last call."""
        with torch.cuda.stream(self.stream):
            return _gpu.events_ms(self._compute, runs)

    def _compute(self) -> None:
        self.context.execute_async_v3(self.stream.cuda_stream)


def _allocated(engine: tensorrt.ICudaEngine, name: str) -> torch.Tensor:
    dtype = torch.from_numpy(np.empty(0, tensorrt.nptype(engine.get_tensor_dtype(name)))).dtype
    return torch.empty(tuple(engine.get_tensor_shape(name)), dtype=dtype, device="cuda")


def _engine(artifact: Path) -> tensorrt.ICudaEngine:
    """The engine that was built from the file as it is now, if this GPU and TensorRT can run it, else a new one."""
    folder, runtime = compiled_folder("tensorrt", artifact), tensorrt.Runtime(LOG)
    about = artifact.stat()  # not its SHA-256, which would count as loading
    cached = folder / f"{about.st_mtime_ns}-{about.st_size}.engine"
    if cached.exists() and (engine := runtime.deserialize_cuda_engine(cached.read_bytes())) is not None:
        return engine
    built = _built(artifact)
    shutil.rmtree(folder, ignore_errors=True)  # engines of earlier files
    folder.mkdir()
    with replace_with(cached) as temporary:
        temporary.write_bytes(built)
    return runtime.deserialize_cuda_engine(built)


def _built(artifact: Path) -> bytes:
    builder = tensorrt.Builder(LOG)
    # Since TensorRT 11, the types of the file are the only way; before, it takes this flag.
    typed = 1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network, config = builder.create_network(typed), builder.create_builder_config()
    parser = tensorrt.OnnxParser(network, LOG)
    if not parser.parse(artifact.read_bytes()):
        raise UserError(f"TensorRT cannot read '{artifact}': {parser.get_error(0)}. Give other --backends.")
    config.clear_flag(tensorrt.BuilderFlag.TF32)
    built = builder.build_serialized_network(network, config)
    if built is None:
        raise UserError(f"TensorRT cannot build an engine from '{artifact}'. Give other --backends.")
    return bytes(built)
