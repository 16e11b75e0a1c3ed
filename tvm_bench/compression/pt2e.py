"""Static post-training quantization by torchao's PT2E: of the exported graph of a module, which needs no tracing by FX.

Method: Jacob et al. 2018, arXiv:1712.05877, by `X86InductorQuantizer`: UINT8 activations per tensor, INT8 weights per
channel.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.fx import GraphModule, Node

from ..host import cpu
from ..models.tensors import tensors, zeros
from ..spec.errors import UserError, first_line
from ..spec.tensors import Arrays, TensorSpec
from .calibration import checked

METHOD = {
    "method": "static post-training quantization, torchao PT2E, X86InductorQuantizer",
    "weights": "INT8, per channel, PerChannelMinMaxObserver",
    "activations": "UINT8, per tensor, HistogramObserver, 8 bits, or 7 (reduce_range) where the CPU has no VNNI",
}
aten = torch.ops.aten
# Operators whose outputs are quantized in a file of QDQ pairs, and those that fuse with the one before.
COMPUTED = (aten.conv2d.default, aten.linear.default, aten.add.Tensor, aten.add_.Tensor, aten.mul.Tensor)
FUSED = (aten.relu.default, aten.relu_.default, aten.hardtanh.default, aten.hardtanh_.default)


def quantize(
    module: nn.Module, batches: Iterable[Arrays], inputs: Sequence[TensorSpec], *, pairs: bool = False
) -> GraphModule:
    """`module` for exactly these `inputs`, quantized and calibrated on `batches`.

    With `pairs`, the outputs of all convolutions, dense layers, sums and products are quantized, as other runtimes
    need it for integer kernels. Without, Inductor decides: it keeps sums in float. Raises `UserError` for samples of
    another shape, and for a module that cannot be exported.
    """
    logging.getLogger("torchao").setLevel(logging.ERROR)  # it reports the CUDA libraries that it does not load
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # deprecation notices of torch's own modules
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        prepared = prepare_pt2e(exported(module.eval(), inputs).module(), _quantizer(pairs))
        for arrays in checked(batches, inputs):
            prepared(*tensors(arrays))
        return convert_pt2e(prepared)


def exported(module: nn.Module, inputs: Sequence[TensorSpec]) -> torch.export.ExportedProgram:
    """The graph of `module` for exactly these `inputs`. Raises `UserError` if it depends on values."""
    try:
        # Strict: without, torchao does not tell apart two calls of one ReLU.
        return torch.export.export(module, zeros(inputs), strict=True)
    except Exception as error:  # torch.export raises errors of many kinds, those of the module included
        first = first_line(error)
        raise UserError(
            f"{type(module).__name__} cannot be exported for int8-pt2e: {first}. Give --recipe int8 --frontend onnx, "
            "which quantizes the ONNX file, or --precision fp32."
        ) from error


def _quantizer(pairs: bool):  # noqa: ANN202  # torchao is imported only when it is used
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    config = x86.get_default_x86_inductor_quantization_config(reduce_range=not cpu.has_vnni())

    class WithPairs(x86.X86InductorQuantizer):
        def annotate(self, model: GraphModule) -> GraphModule:
            super().annotate(model)
            for node in model.graph.nodes:
                if node.target in COMPUTED:
                    last = _fused_end(node)
                    note = last.meta.setdefault(x86.QUANT_ANNOTATION_KEY, x86.QuantizationAnnotation(_annotated=True))
                    note.output_qspec = config.output_activation
            return model

    return (WithPairs if pairs else x86.X86InductorQuantizer)().set_global(config)


def _fused_end(node: Node) -> Node:
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target in FUSED else node
