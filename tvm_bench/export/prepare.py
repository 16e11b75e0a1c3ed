"""The verb `prepare`: one file, in one form and precision, from the model or from the file before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from torch import nn

from .. import cpu
from .. import data as datasets
from ..compress import ptq
from ..data.preprocess import InputSpec
from ..files import replace_with
from ..models import resolve
from . import module_file, onnx_file, qdq, torchscript

CALIBRATION_BATCH = 16


@dataclass(frozen=True)
class _Step:
    """What every writer below may need."""

    parent: Path | None
    out: Path
    subject: dict[str, Any]
    spec: InputSpec
    classes: tuple[str, ...]
    outputs: int
    batch: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.batch, *self.spec.shape)

    @property
    def source(self) -> Path:
        assert self.parent, "this form is made from another file"
        return self.parent

    def calibration(self, batch: int) -> Iterator[np.ndarray]:
        return datasets.load(self.subject["data"], "calibration").batches(self.spec, batch)

    def save_module(self, module: nn.Module, precision: str) -> None:
        module_file.save(
            module,
            self.out,
            model=self.subject["model"],
            classes=self.outputs,
            precision=precision,
            shape=self.spec.shape,
        )


def prepare(
    kind: str, precision: str, parent: str | None, out: str, subject: dict, description: dict, batch: int
) -> dict:
    """Write the file `out`; returns how it was quantized, if it was.

    `parent` is the file that it is made from (None: the model itself), `description` what `describe` found out.
    """
    step = _Step(
        parent=Path(parent) if parent else None,
        out=Path(out),
        subject=subject,
        spec=InputSpec.from_dict(description["spec"]),
        classes=tuple(description["classes"]),
        outputs=description["outputs_count"],
        batch=batch,
    )
    method = WRITERS[kind, precision](step)
    return {"outputs": [out], "quantization": method}


def _module_fp32(step: _Step) -> None:
    shape = step.subject["input_shape"]
    found = resolve(
        step.subject["model"],
        step.subject["weights"],
        input_shape=tuple(shape) if shape else None,
        classes=step.classes,
    )
    step.save_module(found.module, "fp32")


def _module_int8(step: _Step) -> dict:
    calibration = step.calibration(CALIBRATION_BATCH)
    step.save_module(ptq.quantize_static(module_file.load(step.source), calibration, step.spec.shape), "int8")
    return ptq.METHOD


def _torchscript(step: _Step) -> None:
    torchscript.save_traced(module_file.load(step.source), step.out, step.shape)


def _onnx_fp32(step: _Step) -> None:
    if step.parent:
        onnx_file.save_from_module(module_file.load(step.parent), step.out, step.shape)
        return
    with replace_with(step.out) as beside:
        onnx.save(onnx_file.open_checked(Path(step.subject["model"]), step.spec.shape, step.batch), beside)


def _onnx_int8(step: _Step) -> dict:
    qdq.quantize(step.source, step.out, step.calibration(step.batch), vnni=cpu.has_vnni())
    return qdq.METHOD


WRITERS = {
    ("module", "fp32"): _module_fp32,
    ("module", "int8"): _module_int8,
    ("torchscript", "fp32"): _torchscript,
    ("torchscript", "int8"): _torchscript,
    ("onnx", "fp32"): _onnx_fp32,
    ("onnx", "int8"): _onnx_int8,
}
