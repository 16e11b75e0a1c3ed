"""The verb `prepare`: one file, in one form and precision, from the model or from the file before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from torch import nn

from ... import data as datasets
from ...compress import bfloat16, codebook_file, dynamic, ptq, qat
from ...compress.calibration import checked
from ...compress.retraining import retrainer
from ...data.preprocess import InputSpec
from ...export import module_file, onnx_file, qdq, torchscript
from ...host import cpu, packages
from ...host.files import replace_with
from ...models import random_weights, resolve
from ...spec import formats
from ...spec.errors import UserError
from ...spec.recipe import Quantize, Settings

CALIBRATION_BATCH = 16


@dataclass(frozen=True)
class _Step:
    """What every writer below may need."""

    parent: Path | None
    out: Path
    model_spec: dict[str, Any]
    spec: InputSpec
    classes: tuple[str, ...]
    outputs: int
    batch: int
    quantization: Quantize
    settings: dict[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.batch, *self.spec.shape)

    @property
    def source(self) -> Path:
        assert self.parent, "this form is made from another file"
        return self.parent

    def calibration(self, batch: int) -> Iterator[np.ndarray]:
        return datasets.load(self.model_spec["data"], "calibration").batches(self.spec, batch)

    def save_module(self, module: nn.Module, precision: str) -> None:
        module_file.save(
            module,
            self.out,
            model=self.model_spec["model"],
            classes=self.outputs,
            precision=precision,
            shape=self.spec.shape,
            sizes=module_file.sizes(self.source) if precision != "fp32" else None,
        )


def run(
    kind: str,
    precision: str,
    parent: str | None,
    out: str,
    model_spec: dict,
    description: dict,
    batch: int,
    quantization: dict | None = None,
    settings: dict | None = None,
) -> dict:
    """Write the form `kind` in `precision` to `out`; returns how it was quantized, if it was.

    `parent` is the file that it is made from (None: the model itself), `description` what `describe` found out,
    `quantization` how the recipe wants it (None: as is usual), `settings` those of its training.
    """
    step = _Step(
        parent=Path(parent) if parent else None,
        out=Path(out),
        model_spec=model_spec,
        spec=InputSpec.from_dict(description["spec"]),
        classes=tuple(description["classes"]),
        outputs=description["outputs_count"],
        batch=batch,
        quantization=Quantize(**(quantization or {"precision": precision})),
        settings=settings or {},
    )
    packages.need(formats.FORMATS[kind, precision].packages)
    method = WRITERS[kind, precision](step)
    return {"outputs": [str(file) for file in formats.files(step.out)], "quantization": method}


# The writers. Each returns how it quantized, if it did.


def module_fp32(step: _Step) -> None:
    if step.parent:  # what the recipe left
        module = codebook_file.load(step.parent, step.model_spec["model"], shape=step.spec.shape, classes=step.outputs)
        step.save_module(module, "fp32")
        return
    shape = step.model_spec["input_shape"]
    found = resolve(
        step.model_spec["model"],
        step.model_spec["weights"],
        input_shape=tuple(shape) if shape else None,
        classes=step.classes,
    )
    if step.model_spec["weights"] == "random":
        random_weights.fit(found.module, _images_for_random_weights(step))
    step.save_module(found.module, "fp32")


def _images_for_random_weights(step: _Step) -> Iterator[np.ndarray]:
    data = step.model_spec["data"]
    images = datasets.load(data, "calibration") if data else datasets.noise(step.spec)
    return images.batches(step.spec, random_weights.BATCH, random_weights.IMAGES)


def module_int8(step: _Step) -> dict:
    module, shape, asked = module_file.load(step.source), step.spec.shape, step.quantization
    options: dict[str, Any] = {"per_channel": asked.per_channel is not False}
    if asked.aware:
        Settings(**step.settings).check([asked])
        place = step.out.parent.parent / "qat"
        # Fake quantization does not know BF16.
        train = retrainer(
            step.model_spec["data"],
            step.spec,
            step.outputs,
            step.settings,
            place,
            names=step.classes,
            rate="qat",
            amp=False,
        )
        step.save_module(qat.quantize_aware(module, shape, train, **options), "int8")
        return {**qat.method(**options), "calibration": {"data": step.model_spec["data"], "trained": step.settings}}
    options["observer"] = asked.observer or "histogram"
    step.save_module(ptq.quantize_static(module, step.calibration(CALIBRATION_BATCH), shape, **options), "int8")
    return ptq.method(**options)


def module_bf16(step: _Step) -> dict:
    _need_bf16()
    step.save_module(bfloat16.to_bfloat16(module_file.load(step.source)), "bf16")
    return bfloat16.METHOD


def module_int8_dynamic(step: _Step) -> dict:
    return _module_dynamic(step, "int8-dynamic")


def module_fp16_dynamic(step: _Step) -> dict:
    return _module_dynamic(step, "fp16-dynamic")


def torchscript_traced(step: _Step) -> None:
    torchscript.save_traced(module_file.load(step.source), step.out, step.shape)


def onnx_fp32(step: _Step) -> None:
    if step.parent:
        onnx_file.save_from_module(module_file.load(step.parent), step.out, step.shape)
        return
    with replace_with(step.out) as beside:
        onnx.save(onnx_file.open_checked(Path(step.model_spec["model"]), step.spec.shape, step.batch), beside)


def onnx_int8(step: _Step) -> dict:
    asked = step.quantization
    if asked.aware:
        onnx_file.save_from_module(module_file.load(step.source), step.out, step.shape)
        return qat.method(per_channel=asked.per_channel is not False)
    options: dict[str, Any] = {"per_channel": asked.per_channel is not False, "observer": asked.observer or "minmax"}
    calibration = checked(step.calibration(step.batch), step.spec.shape)
    qdq.quantize(step.source, step.out, calibration, vnni=cpu.has_vnni(), **options)
    return qdq.method(**options)


def onnx_int8_dynamic(step: _Step) -> dict:
    qdq.quantize_on_the_fly(step.source, step.out)
    return qdq.DYNAMIC_METHOD


def openvino_fp32(step: _Step) -> None:
    from ...export import openvino_file

    openvino_file.convert(step.source, step.out, compute="f32")


def openvino_bf16(step: _Step) -> dict:
    from ...export import openvino_file

    _need_bf16()
    openvino_file.convert(step.source, step.out, compute="bf16")
    return {**bfloat16.METHOD, "weights": "FP32 in the file, BF16 once loaded"}


def openvino_int8(step: _Step) -> dict:
    from ...export import openvino_file

    asked = step.quantization
    if asked.aware:
        openvino_file.convert(step.source, step.out, compute="f32")
        return qat.method(per_channel=asked.per_channel is not False)
    if asked.observer or asked.per_channel is False:
        raise UserError(
            "OpenVINO's INT8 is NNCF's, per channel and with its own ranges. Leave the options of int8 out of the "
            "recipe, or take other --backends."
        )
    openvino_file.quantize(step.source, step.out, checked(step.calibration(step.batch), step.spec.shape))
    return openvino_file.METHOD


def tensorrt_fp32(step: _Step) -> None:
    _tensorrt(step, "fp32")


def tensorrt_fp16(step: _Step) -> dict:
    _tensorrt(step, "fp16")
    return {"method": "FP16 wherever TensorRT finds it faster", "weights": "FP32 in the file, FP16 in the engine"}


def _tensorrt(step: _Step, compute: str) -> None:
    """The ONNX file, with the precision that its engine is to be built in; TensorRT builds for the GPU it runs on."""
    model = onnx.load(step.source)
    onnx.helper.set_model_props(model, {"compute": compute})
    with replace_with(step.out) as beside:
        onnx.save(model, beside)


def _module_dynamic(step: _Step, precision: str) -> dict:
    step.save_module(dynamic.quantize_dynamic(module_file.load(step.source), precision), precision)
    return dynamic.METHOD[precision]


def _need_bf16() -> None:
    if not cpu.has_bf16():
        raise UserError(
            f"this CPU ({cpu.model_name()}) has neither avx512_bf16 nor amx_bf16: it would emulate BF16, slower than "
            "FP32. Ask for --precision fp32,int8."
        )


WRITERS: dict[tuple[str, str], Callable[[_Step], dict | None]] = {
    ("module", "fp32"): module_fp32,
    ("module", "int8"): module_int8,
    ("module", "bf16"): module_bf16,
    ("module", "int8-dynamic"): module_int8_dynamic,
    ("module", "fp16-dynamic"): module_fp16_dynamic,
    ("torchscript", "fp32"): torchscript_traced,
    ("torchscript", "int8"): torchscript_traced,
    ("onnx", "fp32"): onnx_fp32,
    ("onnx", "int8"): onnx_int8,
    ("onnx", "int8-dynamic"): onnx_int8_dynamic,
    ("tensorrt", "fp32"): tensorrt_fp32,
    ("tensorrt", "fp16"): tensorrt_fp16,
    ("openvino", "fp32"): openvino_fp32,
    ("openvino", "bf16"): openvino_bf16,
    ("openvino", "int8"): openvino_int8,
}
