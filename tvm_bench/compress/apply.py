"""The verb `compress`: one technique of a recipe, from a network in FP32 to a file of FP32 weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from .. import data as datasets
from .. import recipe
from ..data.preprocess import InputSpec
from ..errors import UserError
from ..export import module_file
from ..models import outputs, resolve
from ..models.start import begin
from ..models.weights import state_hash, trained_as
from ..recipe import Distill, Prune, ShareWeights
from ..training import loop
from ..training.options import Options
from ..training.pictures import split
from . import stored
from .distillation import distillation_loss
from .structured import prune_structured
from .unstructured import prune_two_of_four, prune_unstructured, zeros_kept
from .weight_sharing import share_weights

# Learning rates where none is given: what was trained is changed little, what is new has all to learn.
RATES = {"distill": 0.02, "distill-scratch": 0.1, "prune": 0.01, "qat": 0.001}


def compress(
    technique: str,
    parent: str,
    out: str,
    subject: dict,
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
    module = _open(Path(parent), subject["model"], inputs, classes)

    def tune(rate: str, rounds: int = 1, loss: loop.Loss = loop.cross_entropy, about: str = "") -> Callable:
        options = {**settings, "epochs": settings["epochs"] / rounds}
        folder = path.parent / "training"
        known = {"names": tuple(names), "rate": rate, "loss": loss, "about": about}
        return trainer(subject["data"], inputs, classes, options, folder, **known)

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
            result = begin(subject["model"], "random", _names(classes), inputs.shape[1], settings["seed"]).module
        teacher = _teacher(settings, inputs, classes)
        loss = distillation_loss(teacher, temperature=settings["temperature"], alpha=settings["alpha"])
        about = f"{state_hash(teacher)} {settings['temperature']} {settings['alpha']}"
        tune("distill-scratch" if asked.scratch else "distill", loss=loss, about=about)(result)
    stored.save(result, path, recipe=subject["recipe"])
    return {"outputs": [out]}


def trainer(
    data: str | None,
    spec: InputSpec,
    classes: int,
    settings: dict[str, Any],
    folder: Path,
    *,
    names: tuple[str, ...],
    rate: str,
    loss: loop.Loss = loop.cross_entropy,
    about: str = "",
    amp: bool = True,
) -> Callable[[nn.Module], None]:
    """A function that trains a module in place, zeros kept; a second call is a second round, in a folder of its own.

    `rate` is a key of `RATES`. With 0 epochs it does nothing. Raises `UserError` where there are no labels, or not
    those of the network.
    """
    if not settings["epochs"]:
        return lambda module: None
    if not data:
        raise UserError(
            "this recipe trains: give --data fashion-mnist or imagefolder:PATH, or --epochs 0 to only prune."
        )
    pictures = datasets.load(data, "train")
    if pictures.labels is None or len(pictures.classes) != classes:
        raise UserError(
            f"the network has {classes} classes, and {data} has {len(pictures.classes)}: it cannot be trained on them. "
            "Give the --data that the network is for, or --epochs 0 to only prune."
        )
    if names and names != pictures.classes:
        raise UserError(
            f"the network knows {', '.join(names[:4])}, …, and {data} has {', '.join(pictures.classes[:4])}, …: "
            "trained on them it would forget. Give the --data that the network is for, or --weights trained on these."
        )
    options = Options(
        settings["epochs"], settings["batch_size"], lr=settings["lr"] or RATES[rate], seed=settings["seed"]
    )
    train, validation = split(pictures, spec, seed=options.seed)
    rounds = iter(range(1, 1000))

    def run(module: nn.Module) -> None:
        loop.fit(
            module,
            train,
            validation,
            options,
            loss=loss,
            after_step=zeros_kept(module),
            folder=folder / f"round-{next(rounds)}",
            about=about,
            amp=amp,
        )

    return run


def _open(path: Path, model: str, spec: InputSpec, classes: int) -> nn.Module:
    if path.suffix == ".safetensors":
        return stored.load(path, model, shape=spec.shape, classes=classes)
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
