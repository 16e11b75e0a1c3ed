"""torchvision's models by name, and two variations of classifiers that a suffix selects.

`resnet18-cifar` has the stem for 32x32 images (He et al. 2016, arXiv:1512.03385, section 4.2: 3x3, stride 1, no
pooling); the rest is torchvision's. `resnet50-quantizable` is torchvision's own quantizable version; the names and
shapes of its weights are those of `resnet50`.
"""

from __future__ import annotations

from types import ModuleType

import torch
from torch import nn

from ..spec.errors import UserError, unknown
from . import torchvision_tasks

CIFAR, QUANTIZABLE = "-cifar", "-quantizable"
SEED = 0
IMAGENET_CLASSES = 1000


def import_torchvision() -> ModuleType:
    """Import torchvision, also if its compiled operators cannot be loaded (its wheel beside a CPU-only torch)."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        # Its Python files need these two schemas at import; classification never calls them.
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision

        import_torchvision.keep = library  # type: ignore[attr-defined]  # the schemas exist as long as this object
    return torchvision


def names() -> list[str]:
    """The names of all classifiers, with and without the two suffixes, and of the networks for other tasks."""
    models = import_torchvision().models
    plain = models.list_models(module=models)
    residual = [name for name in plain if name.startswith(("resnet", "resnext", "wide_resnet"))]
    quantizable = [name.removeprefix("quantized_") for name in models.list_models(module=models.quantization)]
    others = [*models.list_models(module=models.segmentation), *torchvision_tasks.DETECTORS]
    return [*plain, *(name + CIFAR for name in residual), *(name + QUANTIZABLE for name in quantizable), *others]


def architecture(name: str, classes: int, seed: int = SEED) -> nn.Module:
    """An untrained model with `classes` outputs and seeded weights. Raises `UserError` with similar names."""
    torch.manual_seed(seed)
    return untrained(name, classes)


def untrained(name: str, classes: int) -> nn.Module:
    """An untrained model with `classes` outputs; 0: as published. Raises `UserError` with similar names."""
    allowed = names()
    if name not in allowed:
        raise unknown("model", name, allowed)
    models = import_torchvision().models
    if torchvision_tasks.is_for_task(name):
        return torchvision_tasks.build(models, name, classes)
    if name.endswith(QUANTIZABLE):
        build = models.get_model_builder("quantized_" + name.removesuffix(QUANTIZABLE))
        return build(weights=None, quantize=False, num_classes=classes or IMAGENET_CLASSES)
    module = models.get_model(name.removesuffix(CIFAR), weights=None, num_classes=classes or IMAGENET_CLASSES)
    return _with_cifar_stem(module) if name.endswith(CIFAR) else module


def imagenet(name: str):  # noqa: ANN201  # torchvision's WeightsEnum, which has no public name
    """torchvision's published ImageNet weights. Raises `UserError` for a CIFAR stem, which has none."""
    if name.endswith(CIFAR):
        raise UserError(
            f"{name} has no ImageNet weights: its stem is not the usual one. Give --weights random or a file, or "
            f"--model {name.removesuffix(CIFAR)}."
        )
    return import_torchvision().models.get_model_weights(name.removesuffix(QUANTIZABLE)).DEFAULT


def imagenet_state(name: str) -> dict[str, torch.Tensor]:
    """The published state dict, downloaded or from torch's cache. Raises `UserError` if the download fails."""
    published = imagenet(name)
    try:
        state = published.get_state_dict(progress=False, check_hash=True)
        return {key: value for key, value in state.items() if not key.startswith("aux_classifier.")}  # for training
    except (OSError, RuntimeError) as error:  # urllib's errors are OSErrors; a wrong hash is a RuntimeError
        raise UserError(
            f"torchvision's ImageNet weights of {name} could not be downloaded ({error}). Connect to the internet, "
            f"or put {published.url.rsplit('/', 1)[-1]} into ~/.cache/torch/hub/checkpoints, or give --weights random "
            "or --weights FILE.safetensors."
        ) from error


def _with_cifar_stem(module: nn.Module) -> nn.Module:
    first = module.conv1
    assert isinstance(first, nn.Conv2d), "a ResNet begins with a convolution"
    stem = nn.Conv2d(3, first.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does elsewhere
    module.conv1, module.maxpool = stem, nn.Identity()
    return module
