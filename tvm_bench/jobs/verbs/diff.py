"""The verb `diff`: compares a compiled model with its source, layer by layer."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...backends.relay import target as relay_target
from ...compression import pt2e
from ...data import feeds
from ...exporters import module_file, pt2e_file
from ...host.progress import Progress
from ...layer_diff import exported
from ...layer_diff.builds import Relay
from ...layer_diff.layer import Source, Values
from ...layer_diff.severed_onnx import OnnxSource
from ...layer_diff.severed_torch import TorchSource
from ...measure.metrics import distances
from ...spec.feed import FeedRequest
from ...spec.layer_errors import ExportErrors, Fault
from ...spec.tensors import from_json
from . import _layers

STEPS = 7  # of the progress
IMAGES_OF_ITSELF = 64


def run(
    source: str,
    feed: dict[str, Any],
    images: int,
    threads: int,
    target: str | None,
    folder: str,
    whole: bool,
    export: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Compare the layers of the model file `source` on the first `images` test images, built for `target`.

    Returns `layers` (fields of `LayerErrors`), in execution order, and `faults` (fields of `Fault`), whose files are
    written to `folder`. With `whole`, the errors of Relay before fusion, and those that accumulate in the whole model
    too; without, `itself`: the distances of the source's answers from its own in another order of rounding (see
    `measure.metrics`).

    `export` are the files of a PyTorch `module` and of the `onnx` exported from it, and whether `pt2e` quantized the
    module between them. Then `exported` are the layers of the ONNX file against the module (fields of `ExportErrors`).
    """
    relay = Relay(relay_target.resolve(target, threads))
    request = FeedRequest.from_dict(feed)
    with Progress("diff", STEPS) as progress:
        model = _opened(Path(source), feed)
        inputs = list(_layers.inputs_of(model, request, images))
        progress.step("PyTorch, module by module")
        modules, export_faults = _exported(export, request, inputs, Path(folder)) if export else (None, [])
        layers, own = _layers.of_model(model, inputs, relay, Path(folder), progress, whole=whole)
        results = [*export_faults, *own]
    files = [file for fault in results for file in fault.files]
    return {
        "layers": layers,
        "exported": [asdict(row) for row in modules] if modules is not None else None,
        "faults": [asdict(row) for row in results],
        "itself": None if whole else _itself(model, list(_layers.inputs_of(model, request, IMAGES_OF_ITSELF))),
        "outputs": files,
    }


def _opened(path: Path, feed: dict[str, Any]) -> Source:
    if path.suffix == OnnxSource.suffix:
        return OnnxSource.of(path)
    return TorchSource.of(path, from_json(feed["inputs"]))


def _exported(
    export: dict[str, Any], request: FeedRequest, inputs: list[Values], folder: Path
) -> tuple[list[ExportErrors], list[Fault]]:
    module = module_file.load(Path(export["module"]))
    if export["pt2e"]:  # there is no file of the quantized module
        calibration = feeds.load(request, "calibration").batches(request.inputs[0].shape[0], None)
        module = pt2e_file.with_fake_quantization(pt2e.quantize(module, calibration, request.inputs, pairs=True))
    return exported.compared(module, Path(export["onnx"]), inputs, folder / "export")


def _itself(model: Source, inputs: list[Values]) -> dict[str, float]:
    answers, others = (np.concatenate(outputs) for outputs in (model.run(inputs), model.run_otherwise(inputs)))
    return distances(others.reshape(len(others), -1), answers.reshape(len(answers), -1))
