"""TensorRT on an NVIDIA GPU: an engine for this GPU, cached beside the file that it was built from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import tensorrt
import torch

from ..host.deployment_size import compiled_folder
from ..host.files import replace_with
from ..spec.errors import UserError

LOG = tensorrt.Logger(tensorrt.Logger.ERROR)


def load(artifact: Path, *, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Open an `.onnx` file whose metadata name the precision of the computation.

    Input float32 (batch, channels, height, width), output float32 (batch, classes), both in main memory. The first
    process builds the engine, which takes minutes. Raises `UserError` for a file that TensorRT cannot read.
    """
    torch.set_num_threads(threads)
    engine = _engine(artifact)
    context, stream = engine.create_execution_context(), torch.cuda.Stream()
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    inputs, outputs = (torch.empty(tuple(engine.get_tensor_shape(name)), device="cuda") for name in names)
    for name, tensor in zip(names, (inputs, outputs), strict=True):
        context.set_tensor_address(name, tensor.data_ptr())
    answer = torch.empty(outputs.shape, pin_memory=True)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.cuda.stream(stream):
            inputs.copy_(torch.from_numpy(images), non_blocking=True)
            context.execute_async_v3(stream.cuda_stream)
            answer.copy_(outputs, non_blocking=True)
        stream.synchronize()
        return answer.numpy().copy()

    return run


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
    network, config = builder.create_network(0), builder.create_builder_config()
    parser = tensorrt.OnnxParser(network, LOG)
    if not parser.parse(artifact.read_bytes()):
        raise UserError(f"TensorRT cannot read '{artifact}': {parser.get_error(0)}. Give other --backends.")
    compute = {entry.key: entry.value for entry in onnx.load(artifact).metadata_props}["compute"]
    config.clear_flag(tensorrt.BuilderFlag.TF32)
    if compute == "fp16":
        config.set_flag(tensorrt.BuilderFlag.FP16)
    built = builder.build_serialized_network(network, config)
    if built is None:
        raise UserError(f"TensorRT cannot build an engine from '{artifact}' in {compute}. Give other --backends.")
    return bytes(built)
