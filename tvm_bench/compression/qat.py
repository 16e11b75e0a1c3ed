"""Quantization-aware training: the model is trained with the rounding of INT8 in its forward pass.

Method: Jacob et al. 2018, arXiv:1712.05877, section 3, by `torch.ao.quantization`'s FX graph mode: batch norms are
folded into the convolutions during training. Their statistics are frozen at those of the trained FP32 model
(Krishnamoorthi 2018, arXiv:1806.08342, section 3.2.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn
from torch.ao import quantization as ao
from torch.ao.nn.intrinsic.qat import freeze_bn_stats

from ..spec.tensors import TensorSpec
from . import ptq


def method(*, per_channel: bool = True) -> dict[str, str]:
    """How `quantize_aware` quantizes, for manifests."""
    return {
        "method": "quantization-aware training, torch.ao FX graph mode, x86 engine",
        "weights": ptq.WEIGHTS[per_channel],
        "activations": "UINT8, per tensor, MovingAverageMinMaxObserver",
    }


def quantize_aware(
    module: nn.Module, inputs: Sequence[TensorSpec], train: Callable[[nn.Module], object], *, per_channel: bool = True
) -> nn.Module:
    """A quantized copy of `module`; `train` trains the fake-quantized model in place."""
    prepared = ptq.prepared_for(module, inputs, _mapping(module, per_channel), training=True)
    prepared.apply(freeze_bn_stats)
    hook = prepared.register_forward_pre_hook(_observe_training_only)
    train(prepared)
    hook.remove()
    return ptq.converted(prepared.eval())


def _observe_training_only(module: nn.Module, _: object) -> None:
    """Otherwise validation images would change the ranges of activations."""
    module.apply(ao.enable_observer if module.training else ao.disable_observer)


def _mapping(module: nn.Module, per_channel: bool) -> ao.QConfigMapping:
    observed = {"observer": ao.MovingAverageMinMaxObserver, "quant_min": 0, "quant_max": 255}
    activations = ao.FusedMovingAvgObsFakeQuantize.with_args(**observed)
    weights = ao.default_fused_per_channel_wt_fake_quant if per_channel else ao.default_weight_fake_quant
    return ptq.with_weights(ao.get_default_qat_qconfig_mapping(ptq.ENGINE), module, activations, weights)
