"""torchvision's classification models by name, and two forms of them that a suffix asks for.

`resnet18-cifar` has the stem for 32x32 pictures (He et al. 2016, arXiv:1512.03385, section 4.2: 3x3, stride 1, no
pooling); the rest is torchvision's. `resnet50-quantizable` is torchvision's own form for quantization, with the names
and shapes of the plain one's weights.
"""

from __future__ import annotations

from types import ModuleType

import torch
from torch import nn

from ..spec.errors import UserError, unknown

CIFAR, QUANTIZABLE = "-cifar", "-quantizable"
SEED = 0


def import_torchvision() -> ModuleType:
    """Import torchvision, also where its compiled operators do not load (its wheel beside a CPU-only torch)."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        # Its Python files ask for these two schemas while they are imported; classification never calls them.
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision

        import_torchvision.keep = library  # type: ignore[attr-defined]  # the schemas live as long as this object
    return torchvision


def names() -> list[str]:
    """Names of all classification models, the two forms included."""
    models = import_torchvision().models
    plain = models.list_models(module=models)
    residual = [name for name in plain if name.startswith(("resnet", "resnext", "wide_resnet"))]
    quantizable = [name.removeprefix("quantized_") for name in models.list_models(module=models.quantization)]
    return [*plain, *(name + CIFAR for name in residual), *(name + QUANTIZABLE for name in quantizable)]


def architecture(name: str, classes: int, seed: int = SEED) -> nn.Module:
    """An untrained model with `classes` outputs, its weights seeded. Raises `UserError` with near names."""
    torch.manual_seed(seed)
    return untrained(name, classes)


def untrained(name: str, classes: int) -> nn.Module:
    """An untrained model with `classes` outputs. Raises `UserError` with near names."""
    allowed = names()
    if name not in allowed:
        raise unknown("model", name, allowed)
    models = import_torchvision().models
    if name.endswith(QUANTIZABLE):
        build = models.get_model_builder("quantized_" + name.removesuffix(QUANTIZABLE))
        return build(weights=None, quantize=False, num_classes=classes)
    module = models.get_model(name.removesuffix(CIFAR), weights=None, num_classes=classes)
    return _with_cifar_stem(module) if name.endswith(CIFAR) else module


def imagenet(name: str):  # noqa: ANN201  # torchvision's WeightsEnum, which has no public name
    """What torchvision publishes for `name`. Raises `UserError` where that is nothing."""
    if name.endswith(CIFAR):
        raise UserError(
            f"{name} has no ImageNet weights: its stem is another one. Give --weights random or a file, or --model "
            f"{name.removesuffix(CIFAR)}."
        )
    return import_torchvision().models.get_model_weights(name.removesuffix(QUANTIZABLE)).DEFAULT


def imagenet_state(name: str) -> dict[str, torch.Tensor]:
    """The published state dict, downloaded or from torch's cache. Raises `UserError` off-line."""
    published = imagenet(name)
    try:
        return published.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # urllib's errors are OSErrors; a wrong hash is a RuntimeError
        raise UserError(
            f"torchvision's ImageNet weights of {name} could not be downloaded ({error}). Go on-line, or put the file "
            f"{published.url.rsplit('/', 1)[-1]} into ~/.cache/torch/hub/checkpoints, or use --weights random or "
            "--weights FILE.safetensors."
        ) from error


def _with_cifar_stem(module: nn.Module) -> nn.Module:
    first = module.conv1
    assert isinstance(first, nn.Conv2d), "a ResNet begins with a convolution"
    stem = nn.Conv2d(3, first.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does for the others
    module.conv1, module.maxpool = stem, nn.Identity()
    return module
