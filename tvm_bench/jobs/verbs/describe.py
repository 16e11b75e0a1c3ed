"""The verb `describe`: properties of a model and its data. It runs first, so that bad input fails early."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ... import data as datasets
from ...backends.relay import target as relay_target
from ...compression.layers import prunable
from ...data import feeds, samples
from ...data.dataset import Dataset
from ...data.preprocess import InputSpec, image_spec
from ...exporters import onnx_file, onnx_layers
from ...host import user_code
from ...measure.detection import can_score
from ...models import layer_sizes, outputs, resolve, with_named_inputs
from ...models.torchvision_boxes import has_classes
from ...models.torchvision_tasks import DETECTORS
from ...models.weights import state_hash
from ...spec import task as tasks
from ...spec.errors import UserError
from ...spec.feed import NORMALIZATIONS, SYNTHETIC, FeedRequest
from ...spec.tensors import TensorSpec, to_json
from ...spec.variant import ModelSpec


@dataclass(frozen=True)
class Network:
    """Properties of the model without its data. `spec` is None if the input is no image.

    `classes` are empty if they have no names. `inputs` and `outputs` have batch size 1 where the file allows it.
    """

    spec: InputSpec | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    classes: tuple[str, ...]
    fingerprint: str
    architecture: str

    @property
    def scores(self) -> int:
        """The number of classes of a classifier: one output (batch, classes); 0 for any other model."""
        return self.outputs[0].shape[1] if len(self.outputs) == 1 and len(self.outputs[0].shape) == 2 else 0


def run(
    model_spec: dict[str, Any],
    batch: int,
    calibrate: bool,
    target: str | None,
    threads: int,
    layers: list[str],
    task: str | None = None,
    answers: bool = False,
    calibration: int | None = None,
) -> dict[str, Any]:
    """Open the model of `model_spec` (the fields of a `ModelSpec`) and its data once.

    `layers` are names of layers to be pruned; `calibrate` says whether calibration samples are needed, of which
    the first `calibration` are used (None: all), and `answers`
    whether answers will be checked, for which other inputs than images must be given. `task` replaces the guessed one.

    Returns `spec` (fields of `InputSpec`; None if the input is no image), `model_inputs` and
    `model_outputs`, `classes`, `outputs_count`, `fingerprint` (changes with the network and with
    each weight), `architecture` (changes with the size of a layer, see `models.layer_sizes`), `mcpu` (LLVM's name of
    the target CPU), `task`, `labelled` (whether the labels are those of the model), `images` and
    `feed` (number and name of the test samples), `data_version` (changes with each file of the data), and
    `calibration`. Raises `UserError` for a bad model, bad data, or an unknown
    `target`.
    """
    model = ModelSpec.from_dict(model_spec)
    mcpu = relay_target.resolve(target, threads).mcpu
    test = datasets.load(model.data, "test") if model.data else None
    network = _onnx(model, batch) if model.is_onnx else _pytorch(model, batch, test, tuple(layers))
    _check(network, model, batch, task)
    if model.normalize:
        network = _normalized(network, model.normalize)
    task = task or tasks.guess(network.inputs, network.outputs)
    request = FeedRequest(network.inputs, asdict(network.spec) if network.spec else None, model.data, model.samples)
    if answers and task != tasks.CLASSIFICATION and not (model.data or model.samples):
        raise UserError(
            f"answers are checked on samples, and the task is {task}. Give --data imagefolder:PATH for images, "
            "--inputs samples.npz (arrays by input name, first axis = sample), or --inputs synthetic."
        )
    feed = feeds.load(request, "test") if answers or calibrate or model.samples else None
    return {
        "spec": asdict(network.spec) if network.spec else None,
        "model_inputs": to_json(network.inputs),
        "model_outputs": to_json(network.outputs),
        "classes": list(network.classes or _names(test, network.scores)),
        "outputs_count": network.scores,
        "fingerprint": network.fingerprint,
        "architecture": network.architecture,
        "mcpu": mcpu,
        "task": task,
        "detector": {"name": model.model, "classes": network.classes} if model.model in DETECTORS else None,
        "labelled": bool(test and test.task == task and _labelled(model, test, network)),
        "images": feed.size if feed else 0,
        "feed": feed.name if feed else "",
        "data_version": _version(model),
        "calibration": _calibration(request, calibration) if calibrate else None,
    }


def _check(network: Network, model: ModelSpec, batch: int, task: str | None) -> None:
    """Raises `UserError` for images, a batch size or a task that the model cannot have."""
    if model.data and network.spec is None:
        raise UserError(
            f"--data {model.data} has images, and the inputs are {', '.join(spec.text for spec in network.inputs)}. "
            "Give --inputs samples.npz (arrays by input name, first axis = sample), or --inputs synthetic."
        )
    if batch > 1 and (single := [spec for spec in network.outputs if not spec.batched]):
        raise UserError(
            f"the output {single[0].text} has no batch size of {batch} as its first size. Give --batch-size 1."
        )
    if task:
        tasks.check(task, network.outputs)


def _normalized(network: Network, normalize: str) -> Network:
    if network.spec is None:
        raise UserError(
            f"--normalize is for images, and the inputs are {', '.join(spec.text for spec in network.inputs)}. Remove "
            "--normalize."
        )
    mean, std = NORMALIZATIONS[normalize]
    return replace(network, spec=replace(network.spec, mean=mean, std=std))


def _version(model: ModelSpec) -> str:
    """Changes with each file of the model's data or samples."""
    if model.samples and model.samples != SYNTHETIC:
        return datasets.version_of(samples.files(Path(model.samples)))
    return datasets.version(model.data) if model.data else ""


def _onnx(model: ModelSpec, batch: int) -> Network:
    loaded = onnx_file.open_checked(Path(model.model), model.sizes(batch))
    fingerprint = onnx_file.fingerprint(Path(model.model))
    inputs, outputs = onnx_file.inputs(loaded, batch), onnx_file.outputs(loaded, batch)
    architecture = layer_sizes.fingerprint(onnx_layers.layers_of(loaded), layer_sizes.shape_of(inputs))
    return Network(image_spec(inputs), inputs, outputs, (), fingerprint, architecture or fingerprint)


def _pytorch(model: ModelSpec, batch: int, test: Dataset | None, layers: tuple[str, ...]) -> Network:
    classes = test.classes if test else ()
    resolved = resolve(model.model, model.weights, input_shape=model.input_shape, classes=classes)
    if layers:
        prunable(resolved.module, layers)
    arrays = samples.read(Path(model.samples)) if model.samples and model.samples != SYNTHETIC else {}
    resolved = with_named_inputs(resolved, model.sizes(1), arrays)
    inputs = tuple(spec.at(batch) for spec in resolved.inputs)
    results = outputs(resolved.module, inputs)
    fingerprint, layers_run = _fingerprint(resolved.module), layer_sizes.layers_of(resolved.module, inputs)
    architecture = layer_sizes.fingerprint(layers_run, layer_sizes.shape_of(inputs)) or fingerprint
    return Network(resolved.spec, inputs, results, resolved.classes, fingerprint, architecture)


def _calibration(request: FeedRequest, most: int | None) -> dict[str, object]:
    if not request.data and not request.samples:
        raise UserError(
            "INT8 needs real images for calibration (noise gives a useless model). Give --data fashion-mnist or "
            "--data imagefolder:PATH, or --precision fp32."
        )
    feed = feeds.load(request, "calibration")
    if not feed.size:
        raise UserError(f"{feed.name} has no images for calibration. Give other --data, or --precision fp32.")
    return {"data": feed.name, "images": min(feed.size, most or feed.size)}


def _labelled(model: ModelSpec, test: Dataset, network: Network) -> bool:
    """Whether there are labels, which for a classifier stand for its own classes, in the same order."""
    if test.task == tasks.DETECTION:
        named = has_classes(network.classes, test.classes)
        return named if model.model in DETECTORS else can_score(network.outputs)
    if test.task == tasks.SEGMENTATION:
        return True
    return test.labels is not None and len(test.classes) == network.scores and network.classes in ((), test.classes)


def _names(test: Dataset | None, count: int) -> tuple[str, ...]:
    return test.classes if test and len(test.classes) == count else ()


def _fingerprint(module: nn.Module) -> str:
    """Changes with the structure, with the weights, and with the source of each loaded user module."""
    digest = hashlib.sha256((repr(module) + state_hash(module)).encode())
    for path in user_code.loaded_sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()
