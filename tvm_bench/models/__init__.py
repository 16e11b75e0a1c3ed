"""Step 1: a name becomes a network with weights, the input it takes, and the classes it knows."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..data import fashion_mnist
from ..data.preprocess import InputSpec
from ..errors import UserError, unknown
from . import torchvision_models
from .weights import check_finite, load_state_dict

EMBEDDED = Path(__file__).parent / "embedded"
EMBEDDED_SUFFIX = "-fashion-mnist.safetensors"
FASHION_SPEC = InputSpec(shape=(3, 224, 224), resize=224, mean=(0.286,) * 3, std=(0.353,) * 3, grey=True)
SEED = 0


@dataclass(frozen=True)
class Model:
    """A network in evaluation mode, ready to run."""

    module: nn.Module
    spec: InputSpec
    classes: tuple[str, ...]  # empty where nobody named them


def resolve(
    name: str,
    weights: str = "default",
    *,
    input_shape: tuple[int, int, int] | None = None,
    classes: tuple[str, ...] = (),
) -> Model:
    """Build the model `name`: a torchvision model, or `package.module:callable` that returns an `nn.Module`.

    `weights` is `default` (embedded where there are some, the callable's own, else torchvision's ImageNet weights),
    `imagenet`, `random` (seeded), or a `.safetensors` or `.pt` state dict. `classes` sizes a new last layer where the
    weights do not bring their own. Raises `UserError` with the near names, or with what is wrong with the weights.
    """
    embedded = EMBEDDED / f"{name}{EMBEDDED_SUFFIX}"
    fits = input_shape in (None, FASHION_SPEC.shape)
    if weights == "default" and embedded.exists() and fits:
        module = architecture(name, len(fashion_mnist.CLASSES))
        load_state_dict(module, embedded)
        model = Model(module, FASHION_SPEC, fashion_mnist.CLASSES)
    elif ":" in name:
        model = _from_callable(name, weights, input_shape, classes)
    else:
        model = _from_torchvision(name, weights, input_shape, classes)
    check_finite(model.module, f"{name} with weights '{weights}'")
    return Model(model.module.eval(), model.spec, model.classes)


def _from_torchvision(
    name: str, weights: str, input_shape: tuple[int, int, int] | None, classes: tuple[str, ...]
) -> Model:
    spec = _spec_for(input_shape, grey=classes == fashion_mnist.CLASSES)
    if weights in ("default", "imagenet"):
        architecture(name, 1)  # an unknown name is the first thing to say
        return _imagenet(name, spec if input_shape else None)
    module = architecture(name, len(classes) or 1000)
    if weights != "random":
        load_state_dict(module, Path(weights))
    return Model(module, spec, classes)


def _imagenet(name: str, spec: InputSpec | None) -> Model:
    models = torchvision_models.import_torchvision().models
    published = models.get_model_weights(name).DEFAULT
    try:
        module = models.get_model(name, weights=published)
    except OSError as error:  # urllib's errors are OSErrors
        raise UserError(
            f"torchvision's ImageNet weights of {name} could not be downloaded ({error}). Go on-line, or put the file "
            f"{published.url.rsplit('/', 1)[-1]} into ~/.cache/torch/hub/checkpoints, or use --weights random or "
            "--weights FILE.safetensors."
        ) from error
    preset = published.transforms()
    crop = preset.crop_size[0]
    spec = spec or InputSpec((3, crop, crop), preset.resize_size[0], tuple(preset.mean), tuple(preset.std))
    return Model(module, spec, tuple(published.meta["categories"]))


def _from_callable(
    name: str, weights: str, input_shape: tuple[int, int, int] | None, classes: tuple[str, ...]
) -> Model:
    path, _, attribute = name.partition(":")
    try:
        build = getattr(importlib.import_module(path), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"model '{name}': {error}. Give package.module:callable, importable from the folder you run in."
        ) from error
    torch.manual_seed(SEED)
    module = build()
    if not isinstance(module, nn.Module):
        raise UserError(f"model '{name}': the callable returned {type(module).__name__}, not a torch.nn.Module.")
    if weights not in ("default", "random"):
        load_state_dict(module, Path(weights))
    spec = getattr(module, "input_spec", None)
    if input_shape or not spec:
        spec = _spec_for(input_shape, grey=False)
    return Model(module, spec, tuple(getattr(module, "classes", classes)))


def architecture(name: str, classes: int) -> nn.Module:
    """An untrained torchvision model with `classes` outputs, its weights seeded. Raises `UserError` with near names."""
    allowed = torchvision_models.names()
    if name not in allowed:
        raise unknown("model", name, allowed)
    torch.manual_seed(SEED)
    return torchvision_models.import_torchvision().models.get_model(name, weights=None, num_classes=classes)


def _spec_for(shape: tuple[int, int, int] | None, *, grey: bool) -> InputSpec:
    """Fashion-MNIST's scaling for its grey pictures, ImageNet's for all others."""
    base = FASHION_SPEC if grey else InputSpec()
    if shape is None:
        return base
    return InputSpec(shape, round(base.resize * min(shape[1:]) / 224), base.mean, base.std, base.grey)
