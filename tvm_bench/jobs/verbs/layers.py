"""The verb `layers`: what compression did to a network, as a whole and layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ... import data as datasets
from ...compress import codebook_file
from ...compress.layers import weighted
from ...data.preprocess import InputSpec
from ...export import module_file
from ...measure.layer_outputs import alike, outputs

PICTURES = 8  # whose outputs are compared layer by layer


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer. `bytes`, `parameters` and `nonzero` are of weights and bias, `sparsity` (0 to 1)
    of the weights; `flops` of one picture, a multiply and an add being two."""

    bytes: int
    parameters: int
    nonzero: int
    sparsity: float
    flops: int
    weights: torch.Tensor

    @property
    def numbers(self) -> dict[str, float]:
        """All but the weights."""
        return {name: getattr(self, name) for name in ("bytes", "parameters", "nonzero", "sparsity", "flops")}


def run(forms: list[dict[str, str]], spec: dict, data: str | None) -> dict[str, object]:
    """Compare modules; `forms` have a `name`, the `module` file, the `file` that is shipped, and `flops_of`, the FP32
    module of the same shapes. The first is the reference.

    Returns `forms`, with sizes in MB (10^6 bytes), numbers of parameters, and FLOPs; and `layers`, the first form
    against the last: the numbers of each before and after, and of weights and outputs the power of the difference
    over that of the signal: 0 where nothing changed, None where shapes differ.
    """
    shape = InputSpec.from_dict(spec).shape
    opened = [(form, module_file.load(Path(form["module"]))) for form in forms]
    counted = [_layers(module, _flops(module_file.load(Path(form["flops_of"])), shape)) for form, module in opened]
    totals = [_totals(form, module, found) for (form, module), found in zip(opened, counted, strict=True)]
    before, after = opened[0][1], opened[-1][1]
    like_after = alike(before, after)
    noise = _noise_of_outputs(like_after, after, list(counted[0]), InputSpec.from_dict(spec), data)
    rows = []
    for name, first in counted[0].items():
        last = counted[-1][name]
        weights = _noise(_weight(like_after.get_submodule(name)), last.weights)
        row = {"name": name, "before": first.numbers, "after": last.numbers}
        rows.append({**row, "weights_noise": weights, "outputs_noise": noise.get(name)})
    return {"forms": totals, "layers": rows}


def _layers(module: nn.Module, flops: dict[str, int]) -> dict[str, Layer]:
    found = {}
    for name in flops:
        layer = module.get_submodule(name)
        weight, bias = _weight(layer), _bias(layer)
        found[name] = Layer(
            bytes=_stored_bytes(layer) + (bias.numel() * 4 if bias is not None else 0),
            parameters=weight.numel() + (bias.numel() if bias is not None else 0),
            nonzero=int(weight.count_nonzero()) + (int(bias.count_nonzero()) if bias is not None else 0),
            sparsity=1 - int(weight.count_nonzero()) / weight.numel(),
            flops=flops[name],
            weights=weight,
        )
    return found


def _totals(form: dict[str, str], module: nn.Module, found: dict[str, Layer]) -> dict[str, object]:
    file = Path(form["file"])
    batch_norms = [
        value.detach()
        for each in module.modules()
        if not _is_weighted(each)
        for value in each.parameters(recurse=False)
    ]
    return {
        "name": form["name"],
        "file": form["file"],
        "mb": file.stat().st_size / 1e6,
        "zipped_mb": codebook_file.zipped_bytes(file) / 1e6,
        "parameters": sum(each.parameters for each in found.values()) + sum(each.numel() for each in batch_norms),
        "nonzero": sum(each.nonzero for each in found.values())
        + sum(int(each.count_nonzero()) for each in batch_norms),
        "flops": sum(each.flops for each in found.values()),
    }


def _flops(module: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """FLOPs of each convolution and linear layer on one picture."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, *shape))
    counts = counter.get_flop_counts()
    root = type(module).__name__
    return {name: sum(counts.get(f"{root}.{name}", {}).values()) for name in weighted(module)}


def _is_weighted(layer: nn.Module) -> bool:
    return callable(getattr(layer, "weight", None)) or bool(weighted(nn.Sequential(layer)))


def _weight(layer: nn.Module) -> torch.Tensor:
    """Weights as float32, of a layer that is plain, fused with what follows it, or quantized."""
    raw = _raw_weight(layer)
    return raw.dequantize() if raw.is_quantized else raw.float()


def _raw_weight(layer: nn.Module) -> torch.Tensor:
    layer = layer[0] if isinstance(layer, nn.Sequential) else layer
    return layer.weight().detach() if callable(layer.weight) else layer.weight.detach()


def _bias(layer: nn.Module) -> torch.Tensor | None:
    layer = layer[0] if isinstance(layer, nn.Sequential) else layer
    return layer.bias() if callable(layer.bias) else layer.bias


def _stored_bytes(layer: nn.Module) -> int:
    raw = _raw_weight(layer)
    if not raw.is_quantized:
        # A linear layer of FP16 gives its weights back in FP32.
        half = "Dynamic" in str(type(layer)) or "dynamic" in type(layer).__module__
        return raw.numel() * 2 if half else codebook_file.tensor_bytes(raw)
    scales = raw.q_per_channel_scales().numel() if raw.qscheme() == torch.per_channel_affine else 1
    return raw.numel() + scales * 12  # a float32 scale and an int64 zero point each


def _noise_of_outputs(
    before: nn.Module, after: nn.Module, names: list[str], spec: InputSpec, data: str | None
) -> dict[str, float | None]:
    pictures = datasets.load(data, "calibration") if data else datasets.noise(spec)
    images = torch.from_numpy(next(iter(pictures.batches(spec, PICTURES))))
    old, new = outputs(before, names, images), outputs(after, names, images)
    return {name: _noise(old[name], new[name]) for name in names if name in old and name in new}


def _noise(signal: torch.Tensor, other: torch.Tensor) -> float | None:
    """Power of the difference over that of `signal`; None where shapes differ."""
    if signal.shape != other.shape:
        return None
    noise, power = (signal - other).double().square().sum().item(), signal.double().square().sum().item()
    return noise / power if power else noise
