"""ExecuTorch's own file, lowered from an exported program. It runs in the environment `executorch`.

XNNPACK computes the operators that it has, ExecuTorch's own kernels the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from executorch.exir import to_edge_transform_and_lower
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from ..host.files import replace_with
from ..spec.errors import UserError, first_line
from ..spec.recipe import Quantize
from ..spec.tensors import Arrays

RECIPES = (Quantize("int8"), Quantize("int8", pt2e=True))
METHOD = {
    "method": "static post-training quantization, torchao PT2E, XNNPACKQuantizer",
    "weights": "INT8, symmetric, per channel, PerChannelMinMaxObserver",
    "activations": "INT8, per tensor, HistogramObserver",
}


def convert(source: Path, path: Path) -> None:
    """Lower the FP32 program `source`, for inputs of exactly its shapes. Raises `UserError` if ExecuTorch cannot."""
    with _named(source):
        _lower(torch.export.load(source), path)


def quantize(source: Path, path: Path, batches: Iterable[Arrays]) -> None:
    """Quantize the FP32 program `source` to INT8, calibrated on `batches`, and lower it. Inputs and outputs stay FP32.

    Raises `UserError` if ExecuTorch cannot.
    """
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    with _named(source), torch.no_grad():
        program = torch.export.load(source)
        assert program.example_inputs, "torch.export keeps the inputs of its call"
        prepared = prepare_pt2e(program.module(), quantizer)
        for arrays in batches:
            prepared(*map(torch.from_numpy, arrays))
        _lower(torch.export.export(convert_pt2e(prepared), program.example_inputs[0]), path)


def _lower(program: torch.export.ExportedProgram, path: Path) -> None:
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    with replace_with(path) as temporary:
        temporary.write_bytes(lowered.buffer)


@contextmanager
def _named(source: Path) -> Iterator[None]:
    """Make of any error in the block a `UserError` that names `source`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # errors of many kinds: an operator without a kernel, a type, a failed pass
        first = first_line(error)
        raise UserError(f"ExecuTorch cannot lower '{source}': {first}. Give other --backends.") from error
