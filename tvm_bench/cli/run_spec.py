"""What the commands' options come to: an order, its limits."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from ..spec.constraints import Constraints
from ..spec.embedded import weights as embedded_weights
from ..spec.recipe import Settings, parse
from ..spec.variant import ModelSpec, RunSpec

SETTINGS = ("epochs", "batch_size", "lr", "seed", "teacher", "teacher_weights", "temperature", "alpha")
PLAIN = {"precision": (), "frontends": (), "target": None, "batches": (1,)}


def limits(given: dict[str, Any]) -> Constraints:
    """Take the limits out of `given`."""
    return Constraints(**{field.name: given.pop(field.name) for field in fields(Constraints)})


def model_spec(given: dict[str, Any]) -> ModelSpec:
    """Take the options that name the model out of `given`."""
    model, weights, data = given.pop("model"), given.pop("weights"), given.pop("data")
    if data is None and weights == "default" and embedded_weights(model).exists():
        data = "fashion-mnist"
    return ModelSpec(model, weights, given.pop("input_shape"), data, given.pop("recipe"))


def run_spec(
    given: dict[str, Any], settings: Settings | None = None, precisions: tuple[str, ...] = ("fp32", "int8")
) -> RunSpec:
    """Take the common options out of `given`, and leave the command's own; `precisions` where none was asked for."""
    spec = model_spec(given)
    threads = given.pop("threads")
    return RunSpec(
        model_spec=spec,
        precisions=_precisions(spec, given.pop("precision"), precisions),
        settings=settings,
        frontends=given.pop("frontends"),
        target=given.pop("target"),
        batches=given.pop("batches"),
        threads=threads if isinstance(threads, tuple) else (threads,),
        root=given.pop("artifacts"),
        logs=given.pop("logs", Path("tuning_logs")),
    )


def _precisions(spec: ModelSpec, asked: tuple[str, ...], usual: tuple[str, ...]) -> tuple[str, ...]:
    """What was asked for; where nothing was, FP32 and what the recipe ends in, or what is usual."""
    quantization = parse(spec.recipe).quantization
    return asked or (("fp32", quantization.precision) if quantization else usual)


def compression(given: dict[str, Any]) -> RunSpec:
    """The order of `compress`: the common options, and how the techniques are to be carried out."""
    layers = tuple(part.strip() for part in (given.pop("layers") or "").split(",") if part.strip())
    settings = Settings(layers=layers, **{name: given.pop(name) for name in SETTINGS})
    return run_spec({**given, **PLAIN}, settings, ("fp32",))
