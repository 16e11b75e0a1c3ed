"""Options that all functions of the API share, and their conversion to a run spec."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from ..host import cpu
from ..spec.backends import FRONTENDS
from ..spec.errors import UserError, unknown
from ..spec.recipe import Settings
from ..spec.variant import PRECISIONS, RunSpec
from . import exported
from .run_spec import run_spec

if TYPE_CHECKING:
    from torch import nn

Names = str | Sequence[str]


class Options(TypedDict, total=False):
    """Options of the model, its data, and the build. Each has the meaning and the default of the command line's.

    `input_shape` is (channels, height, width) of an image, or a shape with the batch size for each input by name.
    """

    weights: str
    data: str | None
    inputs: str | None
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None
    dims: Mapping[str, int]
    normalize: str | None
    recipe: str
    frontend: Names
    task: str | None
    calibration_images: int | None
    target: str | None
    batch_size: int | Sequence[int]
    threads: int | Sequence[int] | None
    artifacts: str | Path
    logs: str | Path


def spec_of(
    model: str | Path | nn.Module,
    precision: Names | None,
    options: Options,
    settings: Settings | None = None,
    default_precisions: tuple[str, ...] = ("fp32", "int8"),
) -> RunSpec:
    """The run spec of a model: a name, a path to an ONNX file, `package.module:callable`, or a module.

    A module is exported to an ONNX file first. Raises `UserError` for an unknown name of an option or of its value.
    """
    given: dict[str, Any] = dict(options)
    if wrong := [name for name in given if name not in Options.__annotations__]:
        raise unknown("option", wrong[0], Options.__annotations__)
    root = Path(given.pop("artifacts", "artifacts"))
    shapes = _shapes(given.pop("input_shape", None))
    if not isinstance(model, str | Path):
        model = exported.onnx_file_of(model, shapes, root)
    threads, batches = given.pop("threads", None), given.pop("batch_size", 1)
    return run_spec(
        model_option=str(model),
        weights=given.pop("weights", "default"),
        input_shape=shapes,
        dims=tuple(given.pop("dims", {}).items()),
        inputs=given.pop("inputs", None),
        data=given.pop("data", None),
        normalize=given.pop("normalize", None),
        recipe=given.pop("recipe", ""),
        precision=_known(precision, PRECISIONS, "precision"),
        frontends=_known(given.pop("frontend", None), FRONTENDS, "front end"),
        threads=_numbers(cpu.cores() if threads is None else threads),
        batches=_numbers(batches),
        artifacts=root,
        logs=Path(given.pop("logs", "tuning_logs")),
        settings=settings,
        default_precisions=default_precisions,
        calibration=given.pop("calibration_images", None),
        **given,
    )


def split(value: Names | None) -> tuple[str, ...]:
    """`"fp32,int8"` and `["fp32", "int8"]` as ("fp32", "int8")."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else tuple(value or ())


def _known(value: Names | None, allowed: Collection[str], kind: str) -> tuple[str, ...]:
    for name in split(value):
        if name not in allowed:
            raise unknown(kind, name, allowed)
    return split(value)


def _numbers(value: int | Sequence[int]) -> tuple[int, ...]:
    numbers = (value,) if isinstance(value, int) else tuple(value)
    if not numbers or min(numbers) < 1:
        raise UserError(f"{value}: give a number from 1 on, or several.")
    return numbers


def _shapes(value: Any) -> tuple[tuple[int, ...] | None, tuple[tuple[str, tuple[int, ...]], ...]]:
    if isinstance(value, Mapping):
        return None, tuple((name, tuple(shape)) for name, shape in value.items())
    return (tuple(value) if value else None), ()
