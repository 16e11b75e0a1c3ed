"""What a model and its data are, found out before any work is begun: every bad input is told here."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

from torch import nn

from ... import data as datasets
from ...backends.relay import target as relay_target
from ...compress.layers import chosen
from ...data.dataset import Dataset
from ...export import onnx_file, onnx_layers
from ...host import user_code
from ...models import layer_sizes, outputs, resolve
from ...models.weights import state_hash
from ...spec.errors import UserError


def run(
    model: str,
    weights: str,
    input_shape: list[int] | None,
    data: str | None,
    batch: int,
    calibrate: bool,
    target: str | None,
    threads: int,
    recipe: str = "",
    layers: tuple[str, ...] = (),
) -> dict:
    """Open the model and the data once; what `recipe` makes of the model is looked at when it is made.

    `layers` are those that are to be pruned.

    Returns `spec` (InputSpec fields), `classes`, `outputs_count`, `fingerprint` (changes when the network or a weight
    does), `architecture` (changes when the size of a layer does, see `models.layer_sizes`), `mcpu` (LLVM's name of the
    CPU that is built for), `labelled` (as the network knows the labels), `images` and `data_version` (changes when a
    file of the data does). Raises `UserError` for whatever is wrong with either, and for an unknown `target`.
    """
    mcpu = relay_target.resolve(target, threads).mcpu
    test = datasets.load(data, "test") if data else None
    shape = tuple(input_shape) if input_shape else None
    if model.endswith(".onnx"):
        loaded = onnx_file.open_checked(Path(model), shape, batch)
        spec, classes, count = onnx_file.input_spec(loaded), (), onnx_file.output_count(loaded)
        fingerprint, layered = onnx_file.fingerprint(Path(model)), onnx_layers.layers_of(loaded)
    else:
        found = resolve(model, weights, input_shape=shape, classes=test.classes if test else ())
        spec, classes = found.spec, found.classes
        count, fingerprint = outputs(found.module, spec.shape), _fingerprint(found.module)
        layered = layer_sizes.layers_of(found.module, spec.shape)
        if layers:
            chosen(found.module, layers)
    calibration = datasets.load(data, "calibration") if data and calibrate else None
    if calibrate and not calibration:
        raise UserError(
            "INT8 needs real pictures to calibrate on (noise gives a useless model): give --data fashion-mnist or "
            "--data imagefolder:PATH, or ask for --precision fp32."
        )
    return {
        "spec": asdict(spec),
        "classes": list(classes or _names(test, count)),
        "outputs_count": count,
        "fingerprint": fingerprint,
        "architecture": layer_sizes.fingerprint(layered, spec.shape) or fingerprint,
        "mcpu": mcpu,
        "labelled": bool(test and test.labels is not None and _same_classes(test, classes, count)),
        "images": len(test) if test else 0,
        "data_version": datasets.version(data) if data else "",
        "calibration": {"data": calibration.name, "images": len(calibration)} if calibration else None,
    }


def _same_classes(test: Dataset, classes: tuple[str, ...], count: int) -> bool:
    """Labels mean something only to a network that knows the same classes in the same order."""
    return len(test.classes) == count and (not classes or tuple(classes) == test.classes)


def _names(test: Dataset | None, count: int) -> tuple[str, ...]:
    return test.classes if test and len(test.classes) == count else ()


def _fingerprint(module: nn.Module) -> str:
    """Changes with the structure, the weights, and the source of every module of the user's that was loaded."""
    digest = hashlib.sha256((repr(module) + state_hash(module)).encode())
    for path in user_code.loaded_sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()
