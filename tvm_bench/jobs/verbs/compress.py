"""The verb `compress`: one technique of a recipe, from a network in FP32 to a file of FP32 weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from ...compress import codebook_file
from ...compress.distillation import distillation_loss
from ...compress.retraining import retrainer
from ...compress.structured import prune_structured
from ...compress.unstructured import prune_two_of_four, prune_unstructured
from ...compress.weight_sharing import share_weights
from ...data.preprocess import InputSpec
from ...export import module_file
from ...models import outputs, resolve
from ...models.weights import state_hash, trained_as
from ...spec import recipe
from ...spec.errors import UserError
from ...spec.recipe import Distill, Prune, ShareWeights
from ...training import loop
from ...training.initial_model import begin


def run(
    technique: str,
    parent: str,
    out: str,
    model_spec: dict,
    spec: dict,
    classes: int,
    names: list[str],
    settings: dict,
) -> dict:
    """Write the weights that `technique` makes of the network in `parent` to `out`; see compress/stored.py.

    `parent` is a file of weights, or the module file of the model itself. `names` are those of the network's
    `classes`, empty where they are not known.
    """
    path, asked = Path(out), recipe.technique(technique)
    inputs = InputSpec.from_dict(spec)
    recipe.Settings(**settings).check([asked])
    module = _open(Path(parent), model_spec["model"], inputs, classes)

    def tune(rate: str, rounds: int = 1, loss: loop.Loss = loop.cross_entropy, about: str = "") -> Callable:
        options = {**settings, "epochs": settings["epochs"] / rounds}
        folder = path.parent / "training"
        known = {"names": tuple(names), "rate": rate, "loss": loss, "about": about}
        return retrainer(model_spec["data"], inputs, classes, options, folder, **known)

    if isinstance(asked, Prune):
        options = {"rounds": asked.rounds, "layers": tuple(settings["layers"])}
        options["tune"] = tune("prune", asked.rounds)
        if asked.pattern == "structured":
            result = prune_structured(module, inputs.shape, share=asked.share, **options)
        elif asked.pattern == "unstructured":
            result = prune_unstructured(module, share=asked.share, **options)
        else:
            result = prune_two_of_four(module, **options)
    elif isinstance(asked, ShareWeights):
        result = share_weights(module, clusters=asked.clusters)
    else:
        assert isinstance(asked, Distill)
        result = module
        if asked.scratch:
            result = begin(model_spec["model"], "random", _names(classes), inputs.shape[1], settings["seed"]).module
        teacher = _teacher(settings, inputs, classes)
        loss = distillation_loss(teacher, temperature=settings["temperature"], alpha=settings["alpha"])
        about = f"{state_hash(teacher)} {settings['temperature']} {settings['alpha']}"
        tune("distill-scratch" if asked.scratch else "distill", loss=loss, about=about)(result)
    codebook_file.save(result, path, recipe=model_spec["recipe"])
    return {"outputs": [out]}


def _open(path: Path, model: str, spec: InputSpec, classes: int) -> nn.Module:
    if path.suffix == ".safetensors":
        return codebook_file.load(path, model, shape=spec.shape, classes=classes)
    return module_file.load(path)


def _teacher(settings: dict[str, Any], spec: InputSpec, classes: int) -> nn.Module:
    """Raises `UserError` for a teacher that knows other classes."""
    found = resolve(settings["teacher"], settings["teacher_weights"], input_shape=spec.shape, classes=_names(classes))
    count = outputs(found.module, spec.shape)
    known = trained_as(Path(settings["teacher_weights"]))
    if known and InputSpec.from_dict(known["spec"]).scaling != spec.scaling:
        raise UserError(
            f"the teacher {settings['teacher']} was trained on inputs scaled otherwise than the student's: "
            f"{known['spec']}. Both see the same pictures: train one of them again."
        )
    if count != classes:
        raise UserError(
            f"the teacher {settings['teacher']} has {count} classes and the student {classes}: give --teacher-weights "
            "of the same classes."
        )
    return found.module


def _names(classes: int) -> tuple[str, ...]:
    return tuple(map(str, range(classes)))
