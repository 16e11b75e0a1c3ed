"""Converts the common options of the commands and of the API to a run spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..spec.embedded import weights as embedded_weights
from ..spec.errors import UserError
from ..spec.recipe import Settings, expanded, parse
from ..spec.variant import ModelSpec, RunSpec

DEFAULT_MODEL = "resnet18"


def model_name(argument: str | None, option: str | None) -> str:
    """The model, given as an argument or as `--model`. Raises `UserError` for both."""
    if argument and option and argument != option:
        raise UserError(f"two models are given: '{argument}', and '{option}' with --model. Give one.")
    return argument or option or DEFAULT_MODEL


def model_spec(
    *,
    model_option: str | None,
    model: str | None = None,
    weights: str,
    input_shape: tuple[Any, Any],
    dims: tuple[tuple[str, int], ...],
    inputs: str | None,
    data: str | None,
    normalize: str | None,
    recipe: str,
) -> ModelSpec:
    """The model spec of these options. Embedded weights imply their data."""
    name = model_name(model, model_option)
    if data and inputs:
        raise UserError("--data and --inputs both name the model's inputs. Give one of them.")
    if data is None and not inputs and weights == "default" and embedded_weights(name).exists():
        data = "fashion-mnist"
    image, shapes = input_shape
    return ModelSpec(name, weights, image, data, expanded(recipe), shapes, dims, inputs, normalize)


def run_spec(
    *,
    recipe: str,
    threads: int | tuple[int, ...],
    artifacts: Path,
    precision: tuple[str, ...] = (),
    frontends: tuple[str, ...] = (),
    target: str | None = None,
    batches: tuple[int, ...] = (1,),
    logs: Path = Path("tuning_logs"),
    settings: Settings | None = None,
    task: str | None = None,
    calibration: int | None = None,
    default_precisions: tuple[str, ...] = ("fp32", "int8"),
    **subject: Any,
) -> RunSpec:
    """The run spec of these options, with those of `model_spec`. A recipe implies its precision."""
    if not precision:
        quantization = parse(recipe).quantization
        precision = ("fp32", quantization.precision) if quantization else default_precisions
    return RunSpec(
        model_spec=model_spec(recipe=recipe, **subject),
        precisions=precision,
        frontends=frontends,
        target=target,
        batches=batches,
        threads=threads if isinstance(threads, tuple) else (threads,),
        root=artifacts,
        logs=logs,
        settings=settings,
        task=task,
        calibration=calibration,
    )
