"""The verb `sensitivity`: what each quantizer of an INT8 ONNX file costs if nothing else rounds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from ...data import feeds
from ...exporters import onnx_layers, qdq
from ...exporters.quantizers import QuantizedFile
from ...host import cpu
from ...host.files import drop_cut_lines, sha256
from ...host.progress import Progress
from ...measure import rounding_cost
from ...spec.feed import FeedRequest
from ...spec.mixed_precision import Cost, Node, Quantized
from ...spec.tensors import from_json

INTEGERS, COSTS = "int8.onnx", "costs.jsonl"


def run(
    folded: str,
    ranges: str,
    feed: dict[str, Any],
    task: str,
    outputs: list[dict[str, Any]],
    images: int,
    per_channel: bool,
    observer: str,
    threads: int,
) -> dict[str, Any]:
    """Quantize the file `folded`, and run it with each of its quantizers alone on `images` calibration samples.

    `folded` and `ranges` are files of the verb `ranges`; others are written beside them. Returns `nodes` (fields of
    `Node`) in the file's order, `quantizers` (fields of `Quantized`), and the number of `images`. An interrupted run is
    resumed.
    """
    place, request, specs = Path(folded).parent, FeedRequest.from_dict(feed), from_json(outputs)
    options: dict[str, Any] = {"vnni": cpu.has_vnni(), "per_channel": per_channel, "observer": observer}
    qdq.write(Path(folded), Path(ranges), place / INTEGERS, **options)
    files = QuantizedFile(onnx.load(folded), onnx.load(place / INTEGERS))
    count = rounding_cost.affordable(specs, images)
    inputs = list(feeds.load(request, "calibration").batches(1, count))
    exact = rounding_cost.outputs(files.floats, inputs, threads)

    def alone(quantizer: Any) -> Cost:
        rounded = rounding_cost.outputs(files.with_only(quantizer), inputs, threads)
        return rounding_cost.cost(task, specs, rounded, exact)

    key = hashlib.sha256(f"{sha256(Path(folded))}{sha256(place / INTEGERS)}{count}".encode()).hexdigest()
    names = onnx_layers.names_of(files.floats)
    return {
        "nodes": [asdict(Node(node.name, node.op_type, names.get(node.name))) for node in files.nodes],
        "quantizers": [asdict(row) for row in _costs(files, alone, place / COSTS, key)],
        "images": len(inputs),
    }


def _costs(files: QuantizedFile, alone: Callable[[Any], Cost], path: Path, key: str) -> list[Quantized]:
    """The cost of each quantizer. Those that an earlier run with the same `key` has stored in `path` are kept."""
    drop_cut_lines(path)
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    if not lines or lines[0] != key:
        path.write_text(json.dumps(key) + "\n")
        lines = [key]
    known = {name: Cost(**fields) for name, fields in lines[1:]}
    quantizers, rows = files.quantizers(), []
    with Progress("sensitivity", len(quantizers)) as progress, path.open("a") as file:
        progress.skip(sum(quantizer.name in known for quantizer in quantizers))
        for quantizer in quantizers:
            if quantizer.name not in known:
                progress.step(quantizer.name)
                known[quantizer.name] = alone(quantizer)
                file.write(json.dumps([quantizer.name, asdict(known[quantizer.name])]) + "\n")
                file.flush()
            rows.append(Quantized(**asdict(quantizer), cost=known[quantizer.name]))
    return rows
