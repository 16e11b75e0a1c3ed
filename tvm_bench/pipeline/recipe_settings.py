"""Checks that a recipe fits the model and the precisions, and finds the settings of its techniques."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..host.files import write_json
from ..spec import recipe as recipes
from ..spec.errors import UserError
from .workbench import Workbench

NAME = "recipe.json"  # the settings of a technique, beside the file that it wrote


def check(bench: Workbench) -> None:
    """Raise `UserError` for a recipe that does not fit the model or the requested precisions."""
    recipe, settings = bench.recipe, bench.run_spec.settings
    trains = recipe.quantization and recipe.quantization.aware
    if settings:
        settings.check(recipe.techniques)
    pt2e = recipe.quantization and recipe.quantization.pt2e
    if bench.model_spec.is_onnx and (recipe.steps or trains or pt2e):
        raise UserError(
            f"'{bench.model_spec.model}' is an ONNX file: recipe '{bench.model_spec.recipe}' needs the PyTorch "
            "model. Give a recipe of int8 and its options only."
        )
    allowed = ("fp32", recipe.quantization.precision) if recipe.quantization else bench.run_spec.precisions
    if wrong := [precision for precision in bench.run_spec.precisions if precision not in allowed]:
        raise UserError(
            f"recipe '{bench.model_spec.recipe}' makes {' and '.join(allowed)}, not {wrong[0]}. Leave --precision out, "
            "or the last part of the recipe."
        )


def settings(bench: Workbench, technique: recipes.Technique, path: Path) -> dict[str, Any]:
    """The settings of `technique`: those of this run, else those that an earlier `compress` wrote to `path`, else the
    defaults. They are written before the step runs, so that an interrupted one resumes with them."""
    if bench.run_spec.settings:
        settings = bench.run_spec.settings.of(technique)
        write_json(path, {"recipe": bench.model_spec.recipe, "settings": settings})
        return settings
    if not path.exists():
        return recipes.Settings().of(technique)
    try:
        return json.loads(path.read_text())["settings"]
    except (ValueError, KeyError) as error:
        raise UserError(f"'{path}' is damaged ({error}). Delete it and run tvm-bench compress again.") from error
