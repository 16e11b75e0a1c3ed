"""Callbacks of options: they parse a text, or raise a clear `BadParameter`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from ..host import cpu
from ..spec.errors import unknown
from ..spec.recipe import parse

PICTURES = (".png", ".svg")
OUTPUT = f"{__name__}.output"  # where a context has the file for JSON


def input_shapes(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[int, int, int] | None, tuple[tuple[str, tuple[int, ...]], ...]]:
    """`3,224,224` -> ((3, 224, 224), ()); `x:1,3,64,64` -> (None, (("x", (1, 3, 64, 64)),)). Both may be given."""
    images = [value for value in values if ":" not in value]
    if len(images) > 1:
        raise click.BadParameter(f"{images}: give one shape without a name; name the others, such as x:1,3,224,224.")
    named = {name: _named_shape(name, sizes) for name, _, sizes in (v.rpartition(":") for v in values if ":" in v)}
    return (_image_shape(images[0]) if images else None), tuple(named.items())


def dims(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """`height=640` -> (("height", 640),)."""
    pairs = [value.rpartition("=") for value in values]
    for value, (name, _, size) in zip(values, pairs, strict=True):
        if not name or not _is_positive(size):
            raise click.BadParameter(f"'{value}': give NAME=SIZE, such as height=640.")
    return tuple({name: int(size) for name, _, size in pairs}.items())


def _named_shape(name: str, sizes: str) -> tuple[int, ...]:
    parts = sizes.split(",") if sizes else []
    if not name or not all(map(_is_positive, parts)):
        raise click.BadParameter(f"'{name}:{sizes}': give NAME:SIZES with the batch size, such as x:1,3,224,224.")
    return tuple(map(int, parts))


def _image_shape(value: str) -> tuple[int, int, int]:
    """`3,224,224` or `1x3x224x224` -> (3, 224, 224)."""
    sizes = value.replace("x", ",").split(",")
    if len(sizes) == 4 and sizes[0] == "1":
        sizes = sizes[1:]
    if len(sizes) != 3 or not all(map(_is_positive, sizes)):
        raise click.BadParameter(
            f"'{value}': give channels,height,width, such as 3,224,224, or NAME:SIZES, such as x:1,3,224,224."
        )
    channels, height, width = map(int, sizes)
    return channels, height, width


def plot_file(context: click.Context, option: click.Parameter, value: Path | None) -> Path | None:
    """A .png or .svg file, in a folder that exists."""
    if value and value.suffix not in PICTURES:
        raise click.BadParameter(f"'{value}': give a file that ends with {' or '.join(PICTURES)}.")
    _check_folder(value)
    return value


def output_file(context: click.Context, option: click.Parameter, value: Path | None) -> None:
    """The file for JSON, in a folder that exists: it is kept in the context."""
    _check_folder(value)
    context.meta[OUTPUT] = value


def _check_folder(file: Path | None) -> None:
    if file and not file.parent.is_dir():
        raise click.BadParameter(f"'{file}': there is no folder '{file.parent}'.")


def json_wanted(context: click.Context, option: click.Parameter, value: bool) -> bool:
    """Whether JSON is printed or written to a file."""
    return value or context.meta.get(OUTPUT) is not None


def threads(context: click.Context, option: click.Parameter, value: int | None) -> int:
    """The thread count; all cores by default, and never more."""
    cores = cpu.cores()
    if value is not None and not 1 <= value <= cores:
        raise click.BadParameter(f"{value}: this process may use {cores} cores; give 1 to {cores}.")
    return value or cores


def numbers(context: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    """`1,2,4` -> (1, 2, 4)."""
    parts = [part.strip() for part in value.split(",")]
    if not all(map(_is_positive, parts)):
        raise click.BadParameter(f"'{value}': give numbers from 1 on, such as 1 or 1,2,4.")
    return tuple(dict.fromkeys(map(int, parts)))


def thread_counts(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...]:
    """`1,2` -> (1, 2); all cores by default, and never more."""
    counts = numbers(context, option, value) if value else (None,)
    return tuple(threads(context, option, count) for count in counts)


def tracker(context: click.Context, option: click.Parameter, value: str | None) -> tuple[str, int] | None:
    """`127.0.0.1:9190` -> ("127.0.0.1", 9190)."""
    if value is None:
        return None
    host, _, port = value.rpartition(":")
    if not host or not _is_positive(port):
        raise click.BadParameter(f"'{value}': give HOST:PORT, such as 127.0.0.1:9190 or [::1]:9190.")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _is_positive(text: str) -> bool:
    """Whether the text is a whole number above zero; `str.isdigit` alone allows `²`, which `int` rejects."""
    return text.isascii() and text.isdigit() and int(text) > 0


def recipe(context: click.Context, option: click.Parameter, value: str) -> str:
    """The recipe without spaces, if it can be parsed."""
    parse(value)
    return "+".join(part.strip() for part in value.split("+"))


def listed(
    allowed: tuple[str, ...], all_names: tuple[str, ...] = (), *, kind: str = "backend", modules: bool = False
) -> Callable:
    """A callback for a comma-separated list of `allowed` names of one `kind`; `all` stands for `all_names`.

    With `modules`, dotted names of modules are allowed too.
    """

    def parse(context: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...]:
        if value is None:
            return ()
        names = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        if all_names and "all" in names:
            return all_names
        for name in names:
            if name not in allowed and not (modules and "." in name):
                raise click.BadParameter(str(unknown(kind, name, allowed)))
        if not names:
            raise click.BadParameter(f"give at least one of {', '.join(allowed)}.")
        return names

    return parse
