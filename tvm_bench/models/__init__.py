"""Step 1: build a model from its name: the network with its weights, its input and its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..data import fashion_mnist
from ..data.preprocess import InputSpec, image_spec
from ..spec.embedded import weights as embedded_weights
from ..spec.errors import UserError
from ..spec.sizes import Sizes
from ..spec.tensors import TensorSpec, image_input
from .dynamic_operators import run_static
from .named_inputs import first_parameter, named_inputs
from .structure import call
from .tensors import flatten
from .torchvision_models import CIFAR, SEED, architecture, imagenet, imagenet_state
from .torchvision_tasks import is_for_task, spec_of
from .weights import check_finite, fill, load_state_dict, trained_as

FASHION_SPEC = InputSpec(shape=(3, 224, 224), resize=224, mean=(0.286,) * 3, std=(0.353,) * 3, grey=True)


@dataclass(frozen=True)
class Model:
    """A network in evaluation mode, ready to run. `classes` are empty if they have no names."""

    module: nn.Module
    spec: InputSpec | None  # None: the input is no image, and `tensors` are its inputs
    classes: tuple[str, ...]
    tensors: tuple[TensorSpec, ...] = ()
    declared: bool = True  # whether the model or its user defines the input

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs at batch size 1."""
        return (image_input(self.spec.shape),) if self.spec else self.tensors

    @property
    def images(self) -> InputSpec:
        """How an image becomes the input. Raises `UserError` for a model whose input is no image."""
        if self.spec is None:
            raise UserError(f"{type(self.module).__name__} takes no images. Give a classifier of images.")
        return self.spec


def resolve(
    name: str,
    weights: str = "default",
    *,
    input_shape: tuple[int, int, int] | None = None,
    classes: tuple[str, ...] = (),
) -> Model:
    """Build the model `name`: one of `torchvision_models.names`, or the `package.module:callable` of an `nn.Module`.

    `weights` is `default` (the embedded weights, or the callable's own, or torchvision's ImageNet weights), `imagenet`,
    `random` (seeded, not yet fitted to images: see random_weights.py), or a `.safetensors` or `.pt` state dict.
    `classes` sets the size of a new last layer; files of `tvm-bench train` name their own classes and input instead.
    Raises `UserError` for an unknown name, with similar names, and for weights that cannot be used.
    """
    metadata = trained_as(Path(weights))
    classes = tuple(metadata.get("classes", classes))
    embedded = embedded_weights(name)
    fits = input_shape is None or input_shape[0] == FASHION_SPEC.shape[0]  # pooling makes any height and width fit
    if weights == "default" and embedded.exists() and fits:
        module = architecture(name, len(fashion_mnist.CLASSES))
        load_state_dict(module, embedded)
        model = Model(module, _resized(FASHION_SPEC, input_shape), fashion_mnist.CLASSES)
    elif ":" in name:
        model = _from_callable(name, weights, input_shape, classes)
    else:
        model = _from_torchvision(name, weights, input_shape, classes)
    check_finite(model.module, f"{name} with weights '{weights}'")
    spec = _resized(InputSpec.from_dict(metadata["spec"]), input_shape) if metadata else model.spec
    return replace(model, module=model.module.eval(), spec=spec)


def _from_torchvision(
    name: str, weights: str, input_shape: tuple[int, int, int] | None, classes: tuple[str, ...]
) -> Model:
    if weights in ("default", "imagenet"):
        return _imagenet(name, input_shape)
    module = architecture(name, len(classes))
    if weights != "random":
        load_state_dict(module, Path(weights))
    return Model(module, spec_for(name, classes, input_shape), classes)


def _imagenet(name: str, input_shape: tuple[int, int, int] | None) -> Model:
    module = architecture(name, 0)  # first, so that an unknown name is reported as such
    fill(module, imagenet_state(name), "torchvision's ImageNet weights")
    published = imagenet(name)
    preset, categories = published.transforms(), tuple(published.meta["categories"])
    if is_for_task(name):
        return Model(module, spec_for(name, categories, input_shape), categories)
    crop = preset.crop_size[0]
    spec = InputSpec((3, crop, crop), preset.resize_size[0], tuple(preset.mean), tuple(preset.std))
    return Model(module, spec_for(name, categories, input_shape) if input_shape else spec, categories)


def _from_callable(
    name: str, weights: str, input_shape: tuple[int, int, int] | None, classes: tuple[str, ...]
) -> Model:
    torch.manual_seed(SEED)
    module = call(name)
    if weights not in ("default", "random"):
        load_state_dict(module, Path(weights))
    classes = tuple(getattr(module, "classes", classes))
    if tensors := getattr(module, "inputs", ()):
        return Model(module, None, classes, tuple(tensors))
    spec = getattr(module, "input_spec", None)
    if input_shape or not spec:
        return Model(module, spec_for(name, (), input_shape), classes, declared=bool(input_shape))
    return Model(module, spec, classes)


def with_named_inputs(model: Model, sizes: Sizes, samples: Mapping[str, np.ndarray]) -> Model:
    """The model with the inputs that its user names: their shapes, and the arrays of `samples`, see `named_inputs`."""
    if not (sizes.shapes or sizes.dims or samples):
        return model
    declared = {spec.name: spec for spec in model.tensors}
    if model.spec and model.declared:
        declared = {first_parameter(model.module): image_input(model.spec.shape)}
    inputs = named_inputs(model.module, declared, sizes, samples)
    if model.spec and not samples and (image := image_spec(inputs)):
        return replace(model, spec=_resized(model.spec, image.shape))
    return replace(model, spec=None, tensors=inputs)


def spec_for(name: str, classes: tuple[str, ...], shape: tuple[int, int, int] | None = None) -> InputSpec:
    """The usual input of a model: scaled for Fashion-MNIST or else ImageNet; 32x32 without a crop for a CIFAR stem."""
    base = FASHION_SPEC if classes == fashion_mnist.CLASSES else InputSpec()
    if is_for_task(name):
        base = spec_of(name)
    if name.endswith(CIFAR):
        base = InputSpec((3, 32, 32), 32, base.mean, base.std, base.grey)
    return _resized(base, shape)


def _resized(spec: InputSpec, shape: tuple[int, int, int] | None) -> InputSpec:
    if shape is None:
        return spec
    return InputSpec(shape, round(spec.resize * min(shape[1:]) / spec.shape[1]), spec.mean, spec.std, spec.grey)


def outputs(module: nn.Module, inputs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The outputs of `module` for `inputs`. Raises `UserError` if it does not run, or returns no tensors."""
    training = module.training
    with torch.inference_mode():
        try:
            values = flatten(run_static(module.eval(), inputs))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            shapes = ", ".join(str(spec.shape) for spec in inputs)
            raise UserError(
                f"the model does not run on an input of shape {shapes}: {error}. Give --input-shape C,H,W."
            ) from error
    module.train(training)
    arrays = {name: tensor.numpy(force=True) for name, tensor in values.items()}
    batch = inputs[0].shape[:1]
    return tuple(
        TensorSpec(name, array.shape, array.dtype.name, batched=array.shape[:1] == batch)
        for name, array in arrays.items()
    )


def class_count(module: nn.Module, shape: tuple[int, ...]) -> int:
    """The number of classes of a classifier of images of `shape`. Raises `UserError` if it is none."""
    results = outputs(module, (image_input(shape),))
    if len(results) != 1 or len(results[0].shape) != 2:
        raise UserError("the model does not return one tensor (batch, classes): it is no classifier.")
    return results[0].shape[1]
