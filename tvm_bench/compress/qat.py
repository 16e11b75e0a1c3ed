"""Quantization-aware training: the network learns with the rounding of INT8 in its forward pass.

Method: Jacob et al. 2018, arXiv:1712.05877, section 3, by `torch.ao.quantization`'s FX graph mode: batch norms are
folded into the convolutions while they train, with the statistics of the trained network, which stay as they are
(Krishnamoorthi 2018, arXiv:1806.08342, section 3.2.2).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from torch.ao import quantization as ao
from torch.ao.nn.intrinsic.qat import freeze_bn_stats

from . import ptq


def method(*, per_channel: bool = True) -> dict[str, str]:
    """How `quantize_aware` quantizes, in words."""
    return {
        "method": "quantization-aware training, torch.ao FX graph mode, x86 engine",
        "weights": ptq.WEIGHTS[per_channel],
        "activations": "UINT8, per tensor, MovingAverageMinMaxObserver, 7 bits (reduce_range)",
    }


def quantize_aware(
    module: nn.Module, shape: tuple[int, ...], train: Callable[[nn.Module], object], *, per_channel: bool = True
) -> nn.Module:
    """A quantized copy of `module`, after `train` trained the fake-quantized one in place."""
    prepared = ptq.prepared_for(module, shape, _mapping(per_channel), training=True)
    prepared.apply(freeze_bn_stats)
    hook = prepared.register_forward_pre_hook(_observe_training_only)
    train(prepared)
    hook.remove()
    return ptq.converted(prepared.eval())


def _observe_training_only(module: nn.Module, _: object) -> None:
    """Else the ranges of activations would follow the validation pictures too."""
    module.apply(ao.enable_observer if module.training else ao.disable_observer)


def _mapping(per_channel: bool) -> ao.QConfigMapping:
    mapping = ao.get_default_qat_qconfig_mapping(ptq.ENGINE)
    if per_channel:
        return mapping
    default = mapping.global_qconfig
    return mapping.set_global(ao.QConfig(default.activation, ao.default_weight_fake_quant))
