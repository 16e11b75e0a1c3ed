"""The verb `describe`: properties of a model and its data. It runs first, so that bad input fails early."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ... import data as datasets
from ...backends.relay import target as relay_target
from ...compress.layers import prunable
from ...data.dataset import Dataset
from ...data.preprocess import InputSpec
from ...export import onnx_file, onnx_layers
from ...host import user_code
from ...models import layer_sizes, outputs, resolve
from ...models.weights import state_hash
from ...spec.errors import UserError
from ...spec.variant import ModelSpec


@dataclass(frozen=True)
class Network:
    """Properties of the model without its data. `classes` are empty if they have no names."""

    spec: InputSpec
    classes: tuple[str, ...]
    outputs: int
    fingerprint: str
    architecture: str


def run(
    model_spec: dict[str, Any], batch: int, calibrate: bool, target: str | None, threads: int, layers: list[str]
) -> dict[str, Any]:
    """Open the model of `model_spec` (the fields of a `ModelSpec`) and its data once.

    `layers` are names of layers to be pruned; `calibrate` says whether calibration images are needed.

    Returns `spec` (fields of `InputSpec`), `classes`, `outputs_count`, `fingerprint` (changes with the network and with
    each weight), `architecture` (changes with the size of a layer, see `models.layer_sizes`), `mcpu` (LLVM's name of
    the target CPU), `labelled` (whether the labels are those of the model), `images` (of the test set), `data_version`
    (changes with each file of the data), and `calibration`. Raises `UserError` for a bad model, bad data, or an unknown
    `target`.
    """
    model = ModelSpec.from_dict(model_spec)
    mcpu = relay_target.resolve(target, threads).mcpu
    test = datasets.load(model.data, "test") if model.data else None
    network = _onnx(model, batch) if model.is_onnx else _pytorch(model, test, tuple(layers))
    return {
        "spec": asdict(network.spec),
        "classes": list(network.classes or _names(test, network.outputs)),
        "outputs_count": network.outputs,
        "fingerprint": network.fingerprint,
        "architecture": network.architecture,
        "mcpu": mcpu,
        "labelled": bool(test and test.labels is not None and _same_classes(test, network)),
        "images": len(test) if test else 0,
        "data_version": datasets.version(model.data) if model.data else "",
        "calibration": _calibration(model.data) if calibrate else None,
    }


def _onnx(model: ModelSpec, batch: int) -> Network:
    loaded = onnx_file.open_checked(Path(model.model), model.input_shape, batch)
    fingerprint = onnx_file.fingerprint(Path(model.model))
    spec = onnx_file.input_spec(loaded)
    architecture = layer_sizes.fingerprint(onnx_layers.layers_of(loaded), spec.shape) or fingerprint
    return Network(spec, (), onnx_file.output_count(loaded), fingerprint, architecture)


def _pytorch(model: ModelSpec, test: Dataset | None, layers: tuple[str, ...]) -> Network:
    classes = test.classes if test else ()
    resolved = resolve(model.model, model.weights, input_shape=model.input_shape, classes=classes)
    if layers:
        prunable(resolved.module, layers)
    count = outputs(resolved.module, resolved.spec.shape)
    fingerprint, shape = _fingerprint(resolved.module), resolved.spec.shape
    architecture = layer_sizes.fingerprint(layer_sizes.layers_of(resolved.module, shape), shape) or fingerprint
    return Network(resolved.spec, resolved.classes, count, fingerprint, architecture)


def _calibration(data: str | None) -> dict[str, object]:
    images = datasets.load(data, "calibration") if data else None
    if not images:
        raise UserError(
            "INT8 needs real images for calibration (noise gives a useless model). Give --data fashion-mnist or "
            "--data imagefolder:PATH, or --precision fp32."
        )
    return {"data": images.name, "images": len(images)}


def _same_classes(test: Dataset, network: Network) -> bool:
    """Whether the labels stand for the model's own classes, in the same order."""
    return len(test.classes) == network.outputs and network.classes in ((), test.classes)


def _names(test: Dataset | None, count: int) -> tuple[str, ...]:
    return test.classes if test and len(test.classes) == count else ()


def _fingerprint(module: nn.Module) -> str:
    """Changes with the structure, with the weights, and with the source of each loaded user module."""
    digest = hashlib.sha256((repr(module) + state_hash(module)).encode())
    for path in user_code.loaded_sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()
