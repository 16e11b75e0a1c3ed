"""The verb `prepare`: writes a model to one file, in one file format and precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
from torch import nn
from torch.fx import GraphModule

from ...compression import bfloat16, calibration, codebook_file, dynamic, pt2e, ptq, qat
from ...compression.calibration import checked
from ...compression.retraining import retrainer
from ...data import feeds
from ...data.preprocess import InputSpec
from ...exporters import module_file, onnx_file, onnx_halves, program_file, pt2e_file, qdq, torchscript
from ...host import cpu, packages
from ...host.files import replace_with
from ...models import random_weights, resolve
from ...models.torchvision_tasks import is_for_task
from ...spec import formats, mixed_precision
from ...spec.errors import UserError
from ...spec.feed import FeedRequest
from ...spec.recipe import Quantize, Settings
from ...spec.tensors import Arrays, TensorSpec, from_json
from ...spec.variant import ModelSpec

CALIBRATION_BATCH = 16
Method = Mapping[str, object] | None  # how a file was quantized; None: it was not


@dataclass(frozen=True)
class Request:
    """The file to write. `parent` is the file that it is made from; None: it is made from the model itself.

    `inputs` have the batch size `batch`; `spec` makes images the only input (None: it is no image).
    """

    precision: str
    parent: Path | None
    out: Path
    model_spec: ModelSpec
    spec: InputSpec | None
    inputs: tuple[TensorSpec, ...]
    classes: tuple[str, ...]
    outputs: int
    batch: int
    quantization: Quantize
    settings: Mapping[str, Any]  # of training, for the fields of `Settings`
    calibration_images: int | None  # the first of the calibration samples; None: all

    @property
    def images(self) -> InputSpec:
        """How an image becomes the input. Raises `UserError` for a model whose input is no image."""
        if self.spec is None:
            raise UserError("training needs a classifier of images. Remove the trained steps from --recipe.")
        return self.spec

    @property
    def singles(self) -> tuple[TensorSpec, ...]:
        """The inputs at batch size 1, for files that serve every batch size."""
        return tuple(spec.at(1) for spec in self.inputs)

    @property
    def source(self) -> Path:
        """The file that this one is made from."""
        assert self.parent, f"{self.out} is made from another file"
        return self.parent

    def calibration(self, batch: int) -> Iterator[Arrays]:
        """The calibration samples, in batches. Raises `UserError` without data."""
        return calibration.batches(self.feed_request, batch, self.calibration_images)

    @property
    def feed_request(self) -> FeedRequest:
        """Where the inputs come from."""
        spec = asdict(self.spec) if self.spec else None
        return FeedRequest(self.inputs, spec, self.model_spec.data, self.model_spec.samples)


def run(
    kind: str,
    precision: str,
    parent: str | None,
    out: str,
    model_spec: dict[str, Any],
    description: dict[str, Any],
    batch: int,
    quantization: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the file format `kind` in `precision` to `out`, and return how it was quantized (None: it was not).

    `parent` is the file that it is made from (None: the model itself), `description` the result of the verb
    `describe`, `quantization` the fields of the recipe's `Quantize` (None: the defaults), `settings` those of training.
    """
    request = Request(
        precision=precision,
        parent=Path(parent) if parent else None,
        out=Path(out),
        model_spec=ModelSpec.from_dict(model_spec),
        spec=InputSpec.from_dict(description["spec"]) if description["spec"] else None,
        inputs=from_json(description["model_inputs"], batch),
        classes=tuple(description["classes"]),
        outputs=description["outputs_count"],
        batch=batch,
        quantization=Quantize.from_dict(quantization or {"precision": precision}),
        settings=settings or {},
        calibration_images=(description.get("calibration") or {}).get("images"),
    )
    packages.need(formats.FORMATS[kind, precision].packages)
    if precision == "bf16":
        _need_bf16()
    method = WRITERS[kind](request)
    return {"outputs": [str(file) for file in formats.files(request.out)], "quantization": method}


# One writer per file format. Each returns how it quantized.


def write_module(request: Request) -> Method:
    """A PyTorch module, in any precision."""
    module, method = _module(request)
    model = request.model_spec.model
    module_file.save(
        module,
        request.out,
        model=model,
        classes=len(request.classes) if is_for_task(model) else request.outputs,
        precision=request.precision,
        inputs=request.singles,
        sizes=None if request.precision == "fp32" else module_file.sizes(request.source),
        observer=_observer(request),
    )
    return method


def write_torchscript(request: Request) -> Method:
    """A traced module."""
    torchscript.save_traced(module_file.load(request.source), request.out, request.inputs)
    return None


def write_onnx(request: Request) -> Method:
    """An exported module, the user's own ONNX file, or a quantized version of either."""
    if request.precision == "int8-dynamic":
        qdq.quantize_on_the_fly(request.source, request.out)
        return qdq.DYNAMIC_METHOD
    if request.precision == "fp16":
        onnx_halves.convert(request.source, request.out)
        return onnx_halves.METHOD
    if request.precision == "int8" and request.quantization.pt2e:
        pt2e_file.save_onnx(_by_pt2e(request, pairs=True), request.out, request.inputs)
        return pt2e.METHOD
    if request.precision == "int8" and not request.quantization.aware:
        return _quantized_onnx(request)
    if request.parent:
        onnx_file.save_from_module(module_file.load(request.parent), request.out, request.inputs)
    else:
        with replace_with(request.out) as temporary:
            onnx.save(_own_onnx(request), temporary)
    return qat.method(per_channel=_per_channel(request)) if request.precision == "int8" else None


def _own_onnx(request: Request) -> onnx.ModelProto:
    return onnx_file.open_checked(Path(request.model_spec.model), request.model_spec.sizes(request.batch))


def write_openvino(request: Request) -> Method:
    """OpenVINO's own format."""
    from ...exporters import openvino_file

    quantization = request.quantization
    if request.precision != "int8" or quantization.aware or quantization.pt2e:
        openvino_file.convert(request.source, request.out, compute="bf16" if request.precision == "bf16" else "f32")
        if request.precision == "bf16":
            return {**bfloat16.METHOD, "weights": "FP32 in the file, BF16 once loaded"}
        if quantization.pt2e:
            return pt2e.METHOD
        return qat.method(per_channel=_per_channel(request)) if quantization.aware else None
    if quantization.observer or quantization.per_channel is False or quantization.excluded:
        raise UserError(
            "OpenVINO's INT8 (by NNCF) is always per channel, excludes nothing, and finds its own ranges. Remove the "
            "options of int8 from --recipe, or give other --backends."
        )
    calibration = checked(request.calibration(request.batch), request.inputs)
    openvino_file.quantize(request.source, request.out, calibration)
    return openvino_file.METHOD


def write_exported(request: Request) -> Method:
    """An exported program: in FP32 for Relax, and in INT8 for Inductor and Relax."""
    if request.precision == "fp32":
        program_file.save_from_module(module_file.load(request.source), request.out, request.inputs)
        return None
    if request.quantization not in (Quantize("int8"), Quantize("int8", pt2e=True)):
        raise UserError(
            "INT8 of Inductor, and of Relax with --frontend pytorch, is that of PT2E, without options and without "
            "training. Give --recipe int8-pt2e, or other --backends."
        )
    pt2e_file.save_program(_by_pt2e(request), request.out, request.inputs)
    return pt2e.METHOD


def write_tensorrt(request: Request) -> Method:
    """An ONNX file in INT8, as TensorRT takes it."""
    quantization = request.quantization
    if quantization.aware or quantization.pt2e or mixed_precision.in_bf16(quantization.excluded):
        raise UserError(
            "TensorRT's INT8 is calibrated after training, and what it excludes is FP32. Remove training, pt2e and "
            "bf16: from int8 in --recipe, or give other --backends."
        )
    return _quantized_onnx(request, tensorrt=True)


def write_ncnn(request: Request) -> Method:
    """ncnn's own format."""
    from ...exporters import ncnn_file

    if any(spec.dtype != "float32" for spec in request.inputs):
        raise UserError("ncnn takes FP32 inputs only. Give other --backends.")
    if request.precision == "int8":
        ncnn_file.convert_int8(request.source, request.out)
        return _around_zero(request)
    ncnn_file.convert(request.source, request.out)
    return None


def write_mnn(request: Request) -> Method:
    """MNN's own format."""
    from ...exporters import mnn_file

    if request.precision == "int8":
        mnn_file.convert_int8(request.source, request.out)
        return _onnx_method(request)
    mnn_file.convert(request.source, request.out)
    return None


WRITERS: dict[str, Callable[[Request], Method]] = {
    "module": write_module,
    "torchscript": write_torchscript,
    "onnx": write_onnx,
    "exported": write_exported,
    "tensorrt": write_tensorrt,
    "openvino": write_openvino,
    "ncnn": write_ncnn,
    "mnn": write_mnn,
}


def _module(request: Request) -> tuple[nn.Module, Method]:
    """The module in the precision of the request, and how it was quantized."""
    if request.precision == "fp32":
        return _fp32_module(request), None
    module = module_file.load(request.source)
    if request.precision == "bf16":
        return bfloat16.to_bfloat16(module), bfloat16.METHOD
    if request.precision in dynamic.METHOD:
        return dynamic.quantize_dynamic(module, request.precision), dynamic.METHOD[request.precision]
    if request.quantization.needs_onnx:
        raise UserError(
            "int8-pt2e and int8-without: do not make PyTorch modules. Give --backends relay,onnxruntime, and for Relay "
            "--frontend onnx."
        )
    if request.quantization.aware:
        return _trained_int8(module, request)
    per_channel, observer = _per_channel(request), _observer(request)
    quantized = ptq.quantize_static(
        module,
        request.calibration(CALIBRATION_BATCH),
        request.singles,
        per_channel=per_channel,
        observer=observer,
    )
    return quantized, ptq.method(per_channel=per_channel, observer=observer)


def _fp32_module(request: Request) -> nn.Module:
    spec = request.model_spec
    if request.parent:  # the weights after the last step of a recipe
        return codebook_file.load(request.parent, spec.model, shape=request.images.shape, classes=request.outputs)
    model = resolve(spec.model, spec.weights, input_shape=spec.input_shape, classes=request.classes)
    if spec.weights == "random":
        feed = feeds.load(request.feed_request, "calibration")
        random_weights.fit(model.module, feed.batches(random_weights.BATCH, random_weights.IMAGES))
    return model.module


def _trained_int8(module: nn.Module, request: Request) -> tuple[nn.Module, Method]:
    settings, per_channel = Settings.from_dict(request.settings), _per_channel(request)
    settings.check([request.quantization])
    train = retrainer(
        request.model_spec.data,
        request.images,
        request.outputs,
        settings,
        request.out.parent.parent / "qat",
        names=request.classes,
        purpose="qat",
        amp=False,  # fake quantization does not support BF16
    )
    trained = qat.quantize_aware(module, request.singles, train, per_channel=per_channel)
    calibration = {"data": request.model_spec.data, "trained": request.settings}
    return trained, {**qat.method(per_channel=per_channel), "calibration": calibration}


def _by_pt2e(request: Request, *, pairs: bool = False) -> GraphModule:
    calibration = request.calibration(request.batch)
    return pt2e.quantize(module_file.load(request.source), calibration, request.inputs, pairs=pairs)


def _quantized_onnx(request: Request, *, tensorrt: bool = False) -> Method:
    excluded = request.quantization.excluded
    options = {**request.quantization.by_onnxruntime, "excluded": excluded, "tensorrt": tensorrt}
    calibration = checked(request.calibration(request.batch), request.inputs)
    qdq.quantize(request.source, request.out, calibration, vnni=cpu.has_vnni(), **options)
    return qdq.method(**options)


def _around_zero(request: Request) -> Method:
    """How the INT8 ONNX file was quantized, and what ncnn makes of it: it has no zero points."""
    activations = "INT8, symmetric, per tensor, the largest magnitudes of the ONNX file"
    return {**_onnx_method(request), "activations": activations}


def _onnx_method(request: Request) -> Mapping[str, object]:
    """How the INT8 ONNX file was quantized that another file is made from."""
    if request.quantization.pt2e:
        return pt2e.METHOD
    if request.quantization.aware:
        return qat.method(per_channel=_per_channel(request))
    return qdq.method(**request.quantization.by_onnxruntime, excluded=request.quantization.excluded)


def _per_channel(request: Request) -> bool:
    return request.quantization.per_channel is not False


def _observer(request: Request) -> str:
    """That of a quantized module; quantization-aware training has its own, without histograms."""
    return "minmax" if request.quantization.aware else request.quantization.observer or "histogram"


def _need_bf16() -> None:
    if not cpu.has_bf16():
        raise UserError(
            f"this CPU ({cpu.model_name()}) has neither avx512_bf16 nor amx_bf16: it would emulate BF16, slower than "
            "FP32. Give --precision fp32,int8."
        )
