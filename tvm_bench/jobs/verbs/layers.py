"""The verb `layers`: compares a model before and after compression, as a whole and layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ... import data as datasets
from ...compression import codebook_file
from ...compression.layers import weighted
from ...data.preprocess import InputSpec
from ...exporters import module_file
from ...measure import layer_weights
from ...measure.layer_outputs import alike, outputs
from ...spec.compression_result import LayerChange, LayerNumbers, ModelFiles, ModelNumbers

IMAGES = 8  # number of images for which outputs are compared


@dataclass(frozen=True)
class Layer:
    """The numbers of a convolution or linear layer, and its weights as float32."""

    numbers: LayerNumbers
    weights: torch.Tensor


def run(models: list[ModelFiles], spec: dict[str, Any], data: str | None) -> dict[str, Any]:
    """Compare `models`, of which the first is the reference.

    Returns `models` (`ModelNumbers` of each) and `layers` (`LayerChange` of each layer, the first model against the
    last).
    """
    inputs = InputSpec.from_dict(spec)
    modules = [module_file.load(Path(files["module"])) for files in models]
    flops = [_flops(module_file.load(Path(files["fp32"])), inputs.shape) for files in models]
    counted = [_layers(module, counts) for module, counts in zip(modules, flops, strict=True)]
    totals = [_totals(*parts) for parts in zip(models, modules, counted, strict=True)]
    before, after = alike(modules[0], modules[-1]), modules[-1]
    noise = _noise_of_outputs(before, after, list(counted[0]), inputs, data)
    rows: list[LayerChange] = [
        {
            "name": name,
            "before": layer.numbers,
            "after": counted[-1][name].numbers,
            "weights_noise": _noise(layer_weights.weight(before.get_submodule(name)), counted[-1][name].weights),
            "outputs_noise": noise.get(name),
        }
        for name, layer in counted[0].items()
    ]
    return {"models": totals, "layers": rows}


def _layers(module: nn.Module, flops: dict[str, int]) -> dict[str, Layer]:
    layers = {}
    for name in flops:
        layer = module.get_submodule(name)
        weight, bias = layer_weights.weight(layer), layer_weights.bias(layer)
        numbers: LayerNumbers = {
            "bytes": _stored_bytes(layer) + (bias.numel() * 4 if bias is not None else 0),
            "parameters": weight.numel() + (bias.numel() if bias is not None else 0),
            "nonzero": int(weight.count_nonzero()) + (int(bias.count_nonzero()) if bias is not None else 0),
            "sparsity": 1 - int(weight.count_nonzero()) / weight.numel(),
            "flops": flops[name],
        }
        layers[name] = Layer(numbers, weight)
    return layers


def _totals(files: ModelFiles, module: nn.Module, layers: dict[str, Layer]) -> ModelNumbers:
    file = Path(files["file"])
    numbers = [layer.numbers for layer in layers.values()]
    batch_norms = [
        value.detach()
        for layer in module.modules()
        if not _is_weighted(layer)
        for value in layer.parameters(recurse=False)
    ]
    return {
        "name": files["name"],
        "file": files["file"],
        "mb": file.stat().st_size / 1e6,
        "zipped_mb": codebook_file.zipped_bytes(file) / 1e6,
        "parameters": sum(row["parameters"] for row in numbers) + sum(value.numel() for value in batch_norms),
        "nonzero": sum(row["nonzero"] for row in numbers) + sum(int(value.count_nonzero()) for value in batch_norms),
        "flops": sum(row["flops"] for row in numbers),
    }


def _flops(module: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """FLOPs of each convolution and linear layer for one image."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, *shape))
    counts = counter.get_flop_counts()
    root = type(module).__name__
    return {name: sum(counts.get(f"{root}.{name}", {}).values()) for name in weighted(module)}


def _is_weighted(layer: nn.Module) -> bool:
    return callable(getattr(layer, "weight", None)) or bool(weighted(nn.Sequential(layer)))


def _stored_bytes(layer: nn.Module) -> int:
    raw = layer_weights.stored_weight(layer)
    if not raw.is_quantized:
        # A linear layer with FP16 weights returns them as FP32.
        half = "Dynamic" in str(type(layer)) or "dynamic" in type(layer).__module__
        return raw.numel() * 2 if half else codebook_file.tensor_bytes(raw)
    scales = raw.q_per_channel_scales().numel() if raw.qscheme() == torch.per_channel_affine else 1
    return raw.numel() + scales * 12  # a float32 scale and an int64 zero point each


def _noise_of_outputs(
    before: nn.Module, after: nn.Module, names: list[str], spec: InputSpec, data: str | None
) -> dict[str, float | None]:
    dataset = datasets.load(data, "calibration") if data else datasets.noise(spec)
    images = torch.from_numpy(next(iter(dataset.batches(spec, IMAGES))))
    old, new = outputs(before, names, images), outputs(after, names, images)
    return {name: _noise(old[name], new[name]) for name in names if name in old and name in new}


def _noise(signal: torch.Tensor, other: torch.Tensor) -> float | None:
    """The power of the difference over that of `signal`; None if the shapes differ."""
    if signal.shape != other.shape:
        return None
    noise, power = (signal - other).double().square().sum().item(), signal.double().square().sum().item()
    return noise / power if power else noise
