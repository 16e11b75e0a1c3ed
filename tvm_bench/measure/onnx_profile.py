"""Profiles an ONNX file in ONNX Runtime: the time of each node of the optimized graph, and why one computes floats."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

RUNS = 20
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
FUSED = ("Relu", "Clip")  # with an integer product before them
ACTIVATIONS = (*FUSED, "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid")  # with a product of floats
BLOCKED = "_nchwc"  # what ONNX Runtime puts behind the name of an output
BYTES = ("uint8", "int8")
SEVEN_BITS = 64  # the largest weight of which two products with data of 8 bits fit 16 bits


@dataclass(frozen=True)
class Node:
    """A node that ONNX Runtime runs: median milliseconds, and whether it reads 8-bit integers."""

    name: str
    operator: str
    ms: float
    reads_bytes: bool


def nodes(path: Path, inputs: Mapping[str, np.ndarray], threads: int) -> tuple[list[Node], float]:
    """The nodes of the optimized graph, and the median milliseconds of the whole model, without the profiler."""
    with tempfile.TemporaryDirectory() as folder:
        session = _session(path, threads, profile=str(Path(folder, "profile")))
        for _ in range(RUNS):
            session.run(None, dict(inputs))
        events = json.loads(Path(session.end_profiling()).read_text())
    times: dict[str, list[float]] = defaultdict(list)
    about: dict[str, tuple[str, bool]] = {}
    for event in events:
        name = event["name"].removesuffix("_kernel_time")
        if event.get("cat") != "Node" or name == event["name"]:
            continue
        times[name].append(event["dur"] / 1e3)
        types = {dtype for entry in event["args"].get("input_type_shape", ()) for dtype in entry}
        about[name] = event["args"]["op_name"], bool(types.intersection(BYTES))
    found = [Node(name, about[name][0], float(np.median(ms)), about[name][1]) for name, ms in times.items()]
    return found, _whole(_session(path, threads), inputs)


def _session(path: Path, threads: int, profile: str | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _whole(session: onnxruntime.InferenceSession, inputs: Mapping[str, np.ndarray]) -> float:
    times = []
    for _ in range(RUNS):
        start = perf_counter()
        session.run(None, dict(inputs))
        times.append(perf_counter() - start)
    return float(np.median(times)) * 1e3


def source_names(model: onnx.ModelProto) -> dict[str, str]:
    """The name of each product in the file by its name in the optimized graph, where blocked layouts change it."""
    readers = _readers(model)
    found: dict[str, str] = {}
    for node in (node for node in model.graph.node if node.op_type in PRODUCTS):
        fused = [reader for name in node.output for reader in readers[name] if reader.op_type in ACTIVATIONS]
        found |= {f"{name}{BLOCKED}": node.name for part in (node, *fused) for name in part.output}
    return found


def reasons(model: onnx.ModelProto) -> dict[str, str]:
    """Why a product cannot be computed in integers, by the name of its node, as far as the file says."""
    producers = {name: node for node in model.graph.node for name in node.output}
    readers = _readers(model)
    outputs = {value.name for value in model.graph.output}
    found = {}
    for node in model.graph.node:
        if node.op_type not in PRODUCTS:
            continue
        operands = [producers.get(name) for name in node.input[:2]]
        floats = [
            name for name, made in zip(("data", "weights"), operands, strict=False) if not _is(made, "Dequantize")
        ]
        after = list(_after(node, readers))
        if floats:
            found[node.name] = f"its {' and '.join(floats)} are not quantized in the file"
        elif outputs.intersection(node.output):
            found[node.name] = "its output is an output of the model, in floats"
        elif float_readers := [reader for reader in after if not _is(reader, "Quantize")]:
            found[node.name] = f"its output is not quantized: {float_readers[0].op_type} reads floats"
        else:
            found[node.name] = f"ONNX Runtime has no integer kernel for this {node.op_type}"
    return found


def has_wide_weights(model: onnx.ModelProto) -> bool:
    """Whether weights of 8 bits are so large that sums of two products may not fit 16 bits."""
    return any(
        tensor.data_type == onnx.TensorProto.INT8
        and len(tensor.dims) > 1
        and np.abs(numpy_helper.to_array(tensor).astype(np.int16)).max(initial=0) > SEVEN_BITS
        for tensor in model.graph.initializer
    )


def _readers(model: onnx.ModelProto) -> Mapping[str, list[onnx.NodeProto]]:
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    return readers


def _after(node: onnx.NodeProto, readers: Mapping[str, list[onnx.NodeProto]]) -> Iterator[onnx.NodeProto]:
    """What reads the output of a node, or of the activation behind it."""
    for name in node.output:
        for reader in readers[name]:
            if reader.op_type in FUSED:
                yield from _after(reader, readers)
            else:
                yield reader


def _is(node: onnx.NodeProto | None, kind: str) -> bool:
    return node is not None and node.op_type.startswith(kind)
