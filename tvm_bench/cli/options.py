"""The options that commands have in common, in groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from ..spec import backends
from ..spec.variant import PRECISIONS
from .parsing import listed, numbers, recipe, shape, thread_counts, threads

BACKEND_NAMES = tuple(backends.BACKENDS)
SUBJECT = (
    click.option(
        "--model",
        default="resnet18",
        show_default=True,
        help="A torchvision classifier or a form of one (resnet18-cifar), a path to an .onnx file, or "
        "package.module:callable that returns an nn.Module.",
    ),
    click.option(
        "--weights",
        default="default",
        show_default=True,
        help="default (embedded, the callable's own, or ImageNet's), imagenet, random, or a .safetensors or .pt file.",
    ),
    click.option(
        "--input-shape", callback=shape, metavar="C,H,W", help="Size of the input, where the model does not tell."
    ),
    click.option(
        "--data",
        help="fashion-mnist (2,000 embedded test pictures), fashion-mnist:full, cifar10, cifar100, indoor67 (each with "
        ":PATH where it is not in ./data), or imagefolder:PATH.  "
        "[default: fashion-mnist for the embedded model, else none]",
    ),
    click.option(
        "--recipe",
        callback=recipe,
        default="",
        help="Compression techniques from left to right, such as prune-structured50+int8: `tvm-bench compress --help`.",
    ),
)
FORMS = (
    click.option(
        "--precision",
        callback=listed(PRECISIONS, PRECISIONS),
        help=f"Of {', '.join(PRECISIONS)}; all is every one that a backend has.  [default: fp32,int8, or what --recipe "
        "ends in]",
    ),
    click.option(
        "--frontend",
        "frontends",
        callback=listed(tuple(backends.FRONTENDS)),
        help="Which way into Relay: onnx, pytorch, or both.  [default: onnx for FP32, pytorch for INT8]",
    ),
    click.option("--target", help="TVM target, such as 'llvm -mcpu=skylake-avx512'.  [default: this CPU]"),
    click.option(
        "--batch",
        "batches",
        callback=numbers,
        default="1",
        show_default=True,
        help="Pictures a call; several, such as 1,2,4, are a sweep.",
    ),
)
LOGS = (
    click.option(
        "--logs",
        type=click.Path(path_type=Path),
        default=Path("tuning_logs"),
        show_default=True,
        help="Where tuning records are kept.",
    ),
)
IMAGES = (
    click.option(
        "--images", type=click.IntRange(1), help="Check the answers on so many test pictures only.  [default: all]"
    ),
)
LIMITS = (
    click.option(
        "--max-drop",
        type=click.FloatRange(0),
        metavar="POINTS",
        help="Name the fastest variant that loses at most so many percentage points of FP32 eager's Top-1.",
    ),
    click.option(
        "--max-rss",
        type=click.FloatRange(0, min_open=True),
        metavar="MB",
        help="... whose memory stays below this.",
    ),
    click.option(
        "--p95",
        type=click.FloatRange(0, min_open=True),
        metavar="MS",
        help="... whose calls take no longer than this, 95 in 100.",
    ),
)
SWEPT_THREADS = (
    click.option(
        "--threads",
        callback=thread_counts,
        help="Threads for every backend alike; several, such as 1,2, are a sweep.  [default: all cores]",
    ),
)
THREADS = (click.option("--threads", type=int, callback=threads, help="Threads.  [default: all cores]"),)
ARTIFACTS = (
    click.option(
        "--artifacts",
        type=click.Path(path_type=Path),
        default=Path("artifacts"),
        show_default=True,
        help="Where everything is written.",
    ),
)


def with_options(*groups: tuple) -> Callable:
    """One decorator for several groups of options."""

    def decorate(function: Callable) -> Callable:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return decorate
