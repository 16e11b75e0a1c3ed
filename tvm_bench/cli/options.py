"""Groups of options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from ..spec import backends
from ..spec.feed import NORMALIZATIONS
from ..spec.task import TASKS
from ..spec.variant import PRECISIONS
from .parsing import (
    dims,
    input_shapes,
    json_wanted,
    listed,
    numbers,
    output_file,
    plot_file,
    recipe,
    thread_counts,
    threads,
)

BACKEND_NAMES = tuple(backends.BACKENDS)
MODEL = (click.argument("model", required=False, metavar="[MODEL]"),)
SIZES = (
    click.option(
        "--input-shape",
        multiple=True,
        callback=input_shapes,
        metavar="C,H,W",
        help="Shape of the image input if the model does not define it; of any input as NAME:SIZES with the batch "
        "size, such as x:1,3,48,192. Repeatable.",
    ),
    click.option(
        "--dim",
        "dims",
        multiple=True,
        callback=dims,
        metavar="NAME=SIZE",
        help="Size of a named open dimension of an ONNX file, such as height=640. Repeatable.",
    ),
)
MODEL_OPTIONS = (
    click.option(
        "--model",
        "model_option",
        metavar="MODEL",
        help="A torchvision model (classifiers also with a CIFAR stem: resnet18-cifar), a path to an .onnx file, or "
        "package.module:callable that returns an nn.Module. The same as the argument MODEL.  [default: resnet18]",
    ),
    click.option(
        "--weights",
        default="default",
        show_default=True,
        help="default (embedded, else the callable's, else ImageNet's), imagenet, random, or a .safetensors or .pt "
        "file.",
    ),
    *SIZES,
    click.option(
        "--data",
        help="fashion-mnist (2,000 embedded test images), fashion-mnist:full, cifar10, cifar100, indoor67 (each with "
        ":PATH if it is not in ./data), imagefolder:PATH, masks:PATH (segmentation), or coco:PATH (detection).  "
        "[default: fashion-mnist for the embedded model, else none]",
    ),
    click.option(
        "--inputs",
        "inputs",
        metavar="FILE",
        help="Inputs that are not images: an .npz file (arrays by input name, first axis = sample), a folder of such "
        "files with one sample each, or synthetic. Used to check, calibrate and time.",
    ),
    click.option(
        "--normalize",
        type=click.Choice(list(NORMALIZATIONS)),
        help="How the pixels of images become numbers: by ImageNet's mean and deviation, or scaled to a range.  "
        "[default: as the model defines it; imagenet for an ONNX file]",
    ),
    click.option(
        "--recipe",
        callback=recipe,
        default="",
        help="Compression techniques, applied from left to right, such as prune-structured50+int8. "
        "`tvm-bench compress --help` lists them.",
    ),
)
TVM = (
    click.option(
        "--backend", type=click.Choice(backends.TVMS), default="relay", show_default=True, help="Which TVM it is for."
    ),
)
SUBJECT = (*MODEL, *MODEL_OPTIONS)
CALIBRATION = (
    click.option(
        "--calibration-images",
        "calibration",
        type=click.IntRange(1),
        metavar="N",
        help="Calibrate INT8 with the first N calibration images (or samples of --inputs) only.  [default: all]",
    ),
)
BUILDS = (
    click.option(
        "--task",
        type=click.Choice(TASKS),
        help="What the outputs are; decides how they are scored and compared.  [default: guessed from the outputs]",
    ),
    *CALIBRATION,
    click.option("--target", help="TVM target, such as 'llvm -mcpu=skylake-avx512'.  [default: this CPU]"),
)
PRECISION = (
    click.option(
        "--precision",
        callback=listed(PRECISIONS, PRECISIONS, kind="precision"),
        help=f"Precisions, comma-separated: {', '.join(PRECISIONS)}, or all.  [default: fp32,int8; with --recipe, fp32 "
        "and the precision of the recipe]",
    ),
)
FORMS = (
    *PRECISION,
    click.option(
        "--frontend",
        "frontends",
        callback=listed(backends.FRONTENDS, kind="front end"),
        help="Front ends of Relay and Relax, comma-separated: onnx, pytorch.  [default: onnx for FP32 and for Relax, "
        "pytorch for INT8]",
    ),
    *BUILDS,
    click.option(
        "--batch-size",
        "batches",
        callback=numbers,
        default="1",
        show_default=True,
        help="Samples in one call; several, such as 1,2,4, are a sweep.",
    ),
)
LOGS = (
    click.option(
        "--logs",
        type=click.Path(path_type=Path),
        default=Path("tuning_logs"),
        show_default=True,
        help="Folder of the tuning records.",
    ),
)
IMAGES = (
    click.option(
        "--images",
        type=click.IntRange(1),
        metavar="N",
        help="Check only the first N test images.  [default: all]",
    ),
)
LIMITS = (
    click.option(
        "--max-drop",
        type=click.FloatRange(0),
        metavar="POINTS",
        help="Constraint: maximum Top-1 drop from FP32 eager, in percentage points.",
    ),
    click.option(
        "--max-rss",
        type=click.FloatRange(0, min_open=True),
        metavar="MB",
        help="Constraint: maximum peak memory (RSS) in MB.",
    ),
    click.option(
        "--max-p95",
        type=click.FloatRange(0, min_open=True),
        metavar="MS",
        help="Constraint: maximum 95th-percentile latency in ms.",
    ),
)
SWEPT_THREADS = (
    click.option(
        "--threads",
        callback=thread_counts,
        help="Thread count of all backends; several, such as 1,2, are a sweep.  [default: all cores]",
    ),
)
THREADS = (click.option("--threads", type=int, callback=threads, help="Thread count.  [default: all cores]"),)
JSON = (
    click.option("--json", "as_json", is_flag=True, callback=json_wanted, help="Print JSON."),
    click.option(
        "-o",
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=output_file,
        expose_value=False,
        is_eager=True,
        metavar="FILE",
        help="Write the JSON to FILE.",
    ),
)
PLOT = (
    click.option(
        "--plot",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=plot_file,
        metavar="FILE",
        help="Draw it too, to a .png or .svg file.",
    ),
)
ARTIFACTS = (
    click.option(
        "--artifacts",
        type=click.Path(path_type=Path),
        default=Path("artifacts"),
        show_default=True,
        help="Folder of all outputs.",
    ),
)


def with_options(*groups: tuple) -> Callable:
    """A decorator that adds several groups of options to a command."""

    def decorate(function: Callable) -> Callable:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return decorate
