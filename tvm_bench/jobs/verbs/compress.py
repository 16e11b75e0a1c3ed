"""The verb `compress`: applies one technique of a recipe to an FP32 model, and writes a file of FP32 weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ...compression import codebook_file
from ...compression.distillation import distillation_loss
from ...compression.retraining import Train, retrainer
from ...compression.structured import prune_structured
from ...compression.unstructured import prune_two_of_four, prune_unstructured
from ...compression.weight_sharing import share_weights
from ...data.preprocess import InputSpec
from ...exporters import module_file
from ...models import class_count, resolve
from ...models.weights import state_hash, trained_as
from ...spec import recipe
from ...spec.errors import UserError
from ...spec.recipe import Distill, Prune, Settings, ShareWeights
from ...training import loop
from ...training.initial_model import begin


@dataclass(frozen=True)
class _Step:
    """One step of a recipe: the model, its data, and the settings. `names` are empty if the classes have no names."""

    model: str
    data: str | None
    spec: InputSpec
    classes: int
    names: tuple[str, ...]
    settings: Settings
    folder: Path  # of the training

    def train(
        self, purpose: str, *, iterations: int = 1, loss: loop.Loss = loop.cross_entropy, about: str = ""
    ) -> Train:
        """A function that trains a module; the epochs are divided between its `iterations`."""
        settings = replace(self.settings, epochs=self.settings.epochs / iterations)
        return retrainer(
            self.data,
            self.spec,
            self.classes,
            settings,
            self.folder,
            names=self.names,
            purpose=purpose,
            loss=loss,
            about=about,
        )


def run(
    technique: str,
    parent: str,
    out: str,
    model_spec: dict[str, Any],
    spec: dict[str, Any],
    classes: int,
    names: list[str],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Apply `technique` to the model in `parent`, and write its weights to `out` (see compress/codebook_file.py).

    `parent` is a file of weights, or the module file of the original model. `names` are the names of the model's
    `classes`, empty if they are unknown.
    """
    step = _Step(
        model=model_spec["model"],
        data=model_spec["data"],
        spec=InputSpec.from_dict(spec),
        classes=classes,
        names=tuple(names),
        settings=Settings.from_dict(settings),
        folder=Path(out).parent / "training",
    )
    parsed = recipe.technique(technique)
    step.settings.check([parsed])
    result = _apply(parsed, _open(Path(parent), step), step)
    codebook_file.save(result, Path(out), recipe=model_spec["recipe"])
    return {"outputs": [out]}


def _open(path: Path, step: _Step) -> nn.Module:
    if path.suffix == ".safetensors":
        return codebook_file.load(path, step.model, shape=step.spec.shape, classes=step.classes)
    return module_file.load(path)


def _apply(technique: recipe.Technique, module: nn.Module, step: _Step) -> nn.Module:
    if isinstance(technique, Prune):
        return _pruned(technique, module, step)
    if isinstance(technique, ShareWeights):
        return share_weights(module, clusters=technique.clusters)
    if isinstance(technique, Distill):
        return _distilled(technique, module, step)
    raise UserError(f"{technique} does not make FP32 weights. Put it last in --recipe.")


def _pruned(technique: Prune, module: nn.Module, step: _Step) -> nn.Module:
    share, iterations, layers = technique.share, technique.iterations, step.settings.layers
    train = step.train("prune", iterations=iterations)
    if technique.pattern == "structured":
        return prune_structured(module, step.spec.shape, share=share, iterations=iterations, layers=layers, train=train)
    if technique.pattern == "unstructured":
        return prune_unstructured(module, share=share, iterations=iterations, layers=layers, train=train)
    return prune_two_of_four(module, iterations=iterations, layers=layers, train=train)


def _distilled(technique: Distill, module: nn.Module, step: _Step) -> nn.Module:
    settings = step.settings
    student = module
    if technique.scratch:
        student = begin(step.model, "random", _numbered(step.classes), step.spec.shape[1], settings.seed).module
    teacher = _teacher(step)
    loss = distillation_loss(teacher, temperature=settings.temperature, alpha=settings.alpha)
    about = f"{state_hash(teacher)} {settings.temperature} {settings.alpha}"
    step.train("distill-scratch" if technique.scratch else "distill", loss=loss, about=about)(student)
    return student


def _teacher(step: _Step) -> nn.Module:
    """The teacher. Raises `UserError` if it has other classes, or another preprocessing than the student."""
    name, weights = str(step.settings.teacher), step.settings.teacher_weights
    teacher = resolve(name, weights, input_shape=step.spec.shape, classes=_numbered(step.classes)).module
    count = class_count(teacher, step.spec.shape)
    trained: Mapping[str, Any] = trained_as(Path(weights))
    if trained and InputSpec.from_dict(trained["spec"]).scaling != step.spec.scaling:
        raise UserError(
            f"the teacher {name} was trained with another preprocessing than the student: {trained['spec']}. "
            "Both get the same images: train one of them again."
        )
    if count != step.classes:
        raise UserError(
            f"the teacher {name} has {count} classes and the student {step.classes}: give --teacher-weights "
            "of the same classes."
        )
    return teacher


def _numbered(classes: int) -> tuple[str, ...]:
    return tuple(map(str, range(classes)))
