"""Random weights with which a network distinguishes images, as with trained weights.

The answer of an untrained network hardly depends on its input: batch norms that have seen no image leave the
differences between images as small as the weights make them, and the biases decide the class. A library that ignores
its input would pass the check of answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from ..spec.tensors import Arrays
from .tensors import tensors

Tensors = tuple[torch.Tensor, ...]  # the inputs of one call

IMAGES, BATCH = 32, 16
# Bias of batch norms, in standard deviations: ReLU cuts off little. With a bias of 0, a rounding error grows from layer
# to layer until INT8 agrees with FP32 no better than a constant does (MobileNetV2, RegNet, ShuffleNetV2). With 2, the
# part that all images have in common grows through the shortcuts of a ResNet and takes most of the INT8 range.
BIAS = 1.5
MUTED = 1e-2  # layer scales up to this become 1: with ConvNeXt's 1e-6, an error in a block would not show
MIN_VARIATION = 1e-4  # between images, relative to the part that all have in common: below it, rounding decides


def fit(module: nn.Module, batches: Iterable[Arrays]) -> bool:
    """Fit the random weights of `module`, in place and in evaluation mode, to `batches` of inputs.

    Layers that start with zeros get random weights, and layer scales near zero become 1. Batch norms take their
    statistics from the images. The last layer is shifted so that its outputs have zero mean for each class, and scaled
    so that the scores have unit variance between images, on average over the classes.

    Returns False if the last layer stays as it is: it is unknown, or its outputs do not vary between the images.
    """
    samples = [tensors(arrays) for arrays in batches]
    with torch.no_grad():
        _unmute(module)
        _fit_batch_norms(module, samples)
        layer = _last_layer(module, samples[0])
        return layer is not None and _standardize(layer, module, samples)


def _unmute(module: nn.Module) -> None:
    """Initialize weights that are all zero (the last layer of ViT), and layer scales near zero (ConvNeXt)."""
    random = torch.Generator().manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d) and not layer.weight.any():
            nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5, generator=random)
        elif any(True for _ in layer.children()):
            for scale in layer.parameters(recurse=False):
                if 0 < scale.abs().max() <= MUTED and scale.min() == scale.max():
                    scale.fill_(1.0)


def _fit_batch_norms(module: nn.Module, samples: list[Tensors]) -> None:
    norms = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over the batches
        layer.train()
        if layer.affine:
            layer.bias.fill_(BIAS)
    for batch in samples:
        module(*batch)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()


def _last_layer(module: nn.Module, batch: Tensors) -> nn.Linear | nn.Conv2d | None:
    """The last layer with weights, if it runs only once and has one score per class; else None."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    calls: list[nn.Module] = []
    scores = _scores(module, layers, [batch], lambda layer, _: calls.append(layer))
    if scores is None:
        return None
    classes = scores.shape[1]
    last = next((layer for layer in layers if calls and layer is calls[-1]), None)
    return last if last is not None and calls.count(last) == 1 and last.weight.shape[0] == classes else None


def _standardize(layer: nn.Linear | nn.Conv2d, module: nn.Module, samples: list[Tensors]) -> bool:
    """Scale and shift the last layer. Returns False, and changes nothing, if its outputs do not vary."""
    bias = torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias
    before = bias.clone()
    means: list[torch.Tensor] = []
    bias.zero_()
    _scores(module, [layer], samples, lambda _, output: means.append(_class_means(layer, output)))
    bias.copy_(-torch.stack(means).mean(dim=0))
    scores = _scores(module, [], samples)
    assert scores is not None, "a last layer has scores"
    deviation = scores.var(dim=0).mean().sqrt()
    common = torch.stack([*means, scores.mean(dim=0)]).square().mean().sqrt()
    if not deviation > MIN_VARIATION * common:  # not `<=`: NaN does not vary either
        bias.copy_(before)
        return False
    layer.weight /= deviation
    bias /= deviation
    return True


def _class_means(layer: nn.Linear | nn.Conv2d, output: torch.Tensor) -> torch.Tensor:
    return output.mean(dim=(0, 2, 3)) if isinstance(layer, nn.Conv2d) else output.flatten(0, -2).mean(dim=0)


def _scores(
    module: nn.Module,
    layers: list,
    samples: list[Tensors],
    callback: Callable[[nn.Module, torch.Tensor], None] = lambda *_: None,
) -> torch.Tensor | None:
    """The scores (samples, classes); None if the output is anything else.

    `callback` is called with every output of every layer in `layers`.
    """
    hooks = [layer.register_forward_hook(lambda layer, _, output: callback(layer, output)) for layer in layers]
    try:
        outputs = [module(*batch) for batch in samples]
    finally:
        for hook in hooks:
            hook.remove()
    is_scores = all(isinstance(output, torch.Tensor) and output.ndim == 2 for output in outputs)
    return torch.cat(outputs) if is_scores else None
