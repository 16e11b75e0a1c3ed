"""What the commands have in common: their options, and the order that comes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from . import backends, cpu
from .errors import unknown
from .limits import Limits
from .recipe import Settings, parse
from .variant import PRECISIONS, Order, Subject


def shape(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, int, int] | None:
    """`3,224,224` or `1x3x224x224` -> (3, 224, 224)."""
    if value is None:
        return None
    sizes = value.replace("x", ",").split(",")
    if len(sizes) == 4 and sizes[0] == "1":
        sizes = sizes[1:]
    if len(sizes) != 3 or not all(size.isdigit() and int(size) > 0 for size in sizes):
        raise click.BadParameter(f"'{value}': give channels,height,width, such as 3,224,224.")
    channels, height, width = map(int, sizes)
    return channels, height, width


def threads(context: click.Context, option: click.Parameter, value: int | None) -> int:
    """The thread budget: all cores where none is given, never more."""
    cores = cpu.cores()
    if value is not None and not 1 <= value <= cores:
        raise click.BadParameter(f"{value}: this process may use {cores} cores; give 1 to {cores}.")
    return value or cores


def numbers(context: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    """`1,2,4` -> (1, 2, 4)."""
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"'{value}': give numbers from 1 on, such as 1 or 1,2,4.")
    return tuple(dict.fromkeys(map(int, parts)))


def thread_counts(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...]:
    """`1,2` -> (1, 2), none above the cores; all cores where none is given."""
    asked = numbers(context, option, value) if value else (None,)
    return tuple(threads(context, option, each) for each in asked)


def tracker(context: click.Context, option: click.Parameter, value: str | None) -> tuple[str, int] | None:
    """`127.0.0.1:9190` -> ("127.0.0.1", 9190)."""
    if value is None:
        return None
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter(f"'{value}': give HOST:PORT, such as 127.0.0.1:9190.")
    return host, int(port)


def recipe(context: click.Context, option: click.Parameter, value: str) -> str:
    """The recipe as given, once it was read."""
    parse(value)
    return "+".join(part.strip() for part in value.split("+"))


def listed(allowed: tuple[str, ...], every: tuple[str, ...] = ()) -> Callable:
    """A callback for a list with commas, of names that are `allowed`; `all` stands for `every`."""

    def parse(context: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...]:
        if value is None:
            return ()
        names = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        if every and "all" in names:
            return every
        for name in names:
            if name not in allowed:
                raise click.BadParameter(str(unknown(str(option.name), name, allowed)))
        if not names:
            raise click.BadParameter(f"give at least one of {', '.join(allowed)}.")
        return names

    return parse


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


def limits(given: dict[str, Any]) -> Limits:
    """Take the limits out of `given`."""
    return Limits(**{field.name: given.pop(field.name) for field in fields(Limits)})


def order(
    given: dict[str, Any], settings: Settings | None = None, precisions: tuple[str, ...] = ("fp32", "int8")
) -> Order:
    """Take the common options out of `given`, and leave the command's own; `precisions` where none was asked for."""
    model, weights, data = given.pop("model"), given.pop("weights"), given.pop("data")
    embedded = Path(__file__).parent / "models" / "embedded" / f"{model}-fashion-mnist.safetensors"
    if data is None and weights == "default" and embedded.exists():
        data = "fashion-mnist"
    subject = Subject(model, weights, given.pop("input_shape"), data, given.pop("recipe"))
    threads = given.pop("threads")
    return Order(
        subject=subject,
        precisions=_precisions(subject, given.pop("precision"), precisions),
        settings=settings,
        frontends=given.pop("frontends"),
        target=given.pop("target"),
        batches=given.pop("batches"),
        threads=threads if isinstance(threads, tuple) else (threads,),
        root=given.pop("artifacts"),
        logs=given.pop("logs", Path("tuning_logs")),
    )


def _precisions(subject: Subject, asked: tuple[str, ...], usual: tuple[str, ...]) -> tuple[str, ...]:
    """What was asked for; where nothing was, FP32 and what the recipe ends in, or what is usual."""
    quantization = parse(subject.recipe).quantization
    return asked or (("fp32", quantization.precision) if quantization else usual)


def compression(given: dict[str, Any]) -> Order:
    """The order of `compress`: the common options, and how the techniques are to be carried out."""
    layers = tuple(part.strip() for part in (given.pop("layers") or "").split(",") if part.strip())
    settings = Settings(layers=layers, **{name: given.pop(name) for name in SETTINGS})
    return order({**given, **PLAIN}, settings, ("fp32",))


SETTINGS = ("epochs", "batch_size", "lr", "seed", "teacher", "teacher_weights", "temperature", "alpha")
PLAIN = {"precision": (), "frontends": (), "target": None, "batches": (1,)}
