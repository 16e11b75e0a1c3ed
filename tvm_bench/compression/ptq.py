"""Static post-training quantization by PyTorch: INT8 weights, UINT8 activations (per tensor).

Method: Jacob et al. 2018, arXiv:1712.05877, by `torch.ao.quantization`'s FX graph mode for x86.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.ao import quantization as ao
from torch.fx import GraphModule

from ..host import cpu
from ..models.tensors import tensors, zeros
from ..spec.errors import UserError
from ..spec.tensors import Arrays, TensorSpec
from .calibration import checked

ENGINE = "x86"
OBSERVERS = {"minmax": "MinMaxObserver", "histogram": "HistogramObserver", "entropy": "EntropyObserver"}
WEIGHTS = {
    True: "INT8, per channel, PerChannelMinMaxObserver, 8 bits, or 7 in layers that FBGEMM computes",
    False: "INT8, per tensor, MinMaxObserver, 8 bits, or 7 in layers that FBGEMM computes",
}
ONEDNN_GROUPS = 100  # PyTorch's `should_use_onednn_quant` gives convolutions with more groups to FBGEMM


def method(*, per_channel: bool = True, observer: str = "histogram") -> dict[str, str]:
    """How `quantize_static` quantizes, for manifests."""
    return {
        "method": "static post-training quantization, torch.ao FX graph mode, x86 engine",
        "weights": WEIGHTS[per_channel],
        "activations": f"UINT8, per tensor, {OBSERVERS[observer]}",
    }


def quantize_static(
    module: nn.Module,
    batches: Iterable[Arrays],
    inputs: Sequence[TensorSpec],
    *,
    per_channel: bool = True,
    observer: str = "histogram",
) -> nn.Module:
    """A quantized copy of `module`, calibrated on `batches` of its `inputs`.

    `observer` determines the range of an activation: `minmax`, `histogram` (smallest squared error) or `entropy`.
    Raises `UserError` for samples of another shape, and for a model that cannot be quantized.
    """
    prepared = prepared_for(module, inputs, _mapping(module, per_channel, observer))
    with torch.inference_mode():
        for arrays in checked(batches, inputs):
            prepared(*tensors(arrays))
    return converted(prepared)


def skeleton(module: nn.Module, inputs: Sequence[TensorSpec], *, observer: str) -> nn.Module:
    """`module` quantized without calibration, for `load_state_dict` to fill: the file says per tensor or per channel.

    It takes `module` apart, whose weights must be finite; their values do not matter. `observer` must be that of the
    file: a tensor with several readers is quantized once for those that have the same one.
    """
    structure = "histogram" if observer == "histogram" else "minmax"  # `entropy` has that of the second
    return _converted(_prepared(module.eval(), inputs, _mapping(module, per_channel=True, observer=structure)))


def prepared_for(
    module: nn.Module, inputs: Sequence[TensorSpec], mapping: ao.QConfigMapping, *, training: bool = False
) -> GraphModule:
    """A copy with observers; with `training`, with fake quantization. Raises `UserError` if it cannot be traced."""
    return _prepared(copy.deepcopy(module).train(training), inputs, mapping)


def _prepared(module: nn.Module, inputs: Sequence[TensorSpec], mapping: ao.QConfigMapping) -> GraphModule:
    from torch.ao.quantization.quantize_fx import prepare_fx, prepare_qat_fx

    torch.backends.quantized.engine = ENGINE
    if any(isinstance(layer, nn.ConvTranspose2d) for layer in module.modules()) and not packs_transposed():
        raise UserError(
            f"{type(module).__name__} has transposed convolutions, whose INT8 weights PyTorch garbles on a CPU without "
            "VNNI. Give --frontend onnx, which quantizes the ONNX file, or --precision fp32."
        )
    torch.fx.config.do_not_emit_stack_traces = True  # nobody reads them, and torch.export is imported for them
    prepare = prepare_qat_fx if module.training else prepare_fx
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation notices of torch.ao, pinned in setup.cfg with its torch
        try:
            return prepare(module, mapping, zeros(inputs))
        except (torch.fx.proxy.TraceError, NotImplementedError, TypeError) as error:
            raise UserError(
                f"{type(module).__name__} cannot be quantized: torch.fx cannot trace it ({error}). Give "
                "--frontend onnx, which quantizes the ONNX file without tracing, or --precision fp32."
            ) from error


def converted(prepared: GraphModule) -> nn.Module:
    """The quantized module of a `prepared_for` one. Raises `UserError` if it cannot be stored."""
    quantized = _converted(prepared)
    if any(isinstance(value, torch.ScriptObject) for value in quantized.state_dict().values()):
        raise UserError(
            "the model calls convolutions as functions, which torch.ao can neither fuse nor store. "
            "Give --frontend onnx, which quantizes the ONNX file, or --precision fp32."
        )
    return quantized


def packs_transposed() -> bool:
    """Whether PyTorch packs the weights of transposed convolutions right. FBGEMM, for CPUs without VNNI, does not."""
    values = torch.arange(256, dtype=torch.int32).reshape(8, 8, 2, 2).sub(128).to(torch.int8)
    weights = torch._make_per_tensor_quantized_tensor(values, 1.0, 0)
    geometry = [[2, 2], [0, 0], [0, 0], [1, 1]]
    packed = torch.ops.quantized.conv_transpose2d_prepack(weights, None, *geometry, 1)
    return torch.equal(packed.unpack()[0].int_repr(), values)


def weight_range(groups: int = 1) -> dict[str, int]:
    """The range of INT8 weights, as options of an observer: of eight bits, or half of it where FBGEMM computes.

    FBGEMM adds two products in 16 bits (`vpmaddubsw`): 255 * 64 + 255 * 64 fits. PyTorch uses it on CPUs without
    AVX-512 VNNI, and on all CPUs for convolutions of many `groups`.
    """
    if groups > ONEDNN_GROUPS or "avx512vnni" not in cpu.host_features():
        return {"quant_min": -64, "quant_max": 64}
    return {"quant_min": -128, "quant_max": 127}


def with_weights(mapping: ao.QConfigMapping, module: nn.Module, activations: Any, weights: Any) -> ao.QConfigMapping:
    """`mapping` with these observers of activations and weights, the latter with the `weight_range` of each layer."""
    mapping.set_global(ao.QConfig(activations, weights.with_args(**weight_range())))
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            mapping.set_module_name(name, ao.QConfig(activations, weights.with_args(**weight_range(layer.groups))))
    return mapping


def _mapping(module: nn.Module, per_channel: bool, observer: str) -> ao.QConfigMapping:
    activations: Any = ao.HistogramObserver
    if observer == "entropy":
        from .entropy import EntropyObserver  # loads ONNX Runtime, which a process that runs PyTorch must not pay for

        activations = EntropyObserver
    elif observer == "minmax":
        activations = ao.MinMaxObserver.with_args(dtype=torch.quint8, qscheme=torch.per_tensor_affine)
    weights = ao.default_per_channel_weight_observer if per_channel else ao.default_weight_observer
    return with_weights(ao.get_default_qconfig_mapping(ENGINE), module, activations, weights)


def _converted(prepared: GraphModule) -> nn.Module:
    from torch.ao.quantization.quantize_fx import convert_fx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert_fx(prepared).eval()  # type: ignore[arg-type]  # it is what `prepare_fx` returned
