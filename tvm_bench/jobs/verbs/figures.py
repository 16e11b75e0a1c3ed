"""The verb `figures`: which pictures two forms of a network see otherwise, and what each of its layers sees in one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ... import data as datasets
from ...data.dataset import Dataset
from ...data.preprocess import InputSpec, fit, network_input
from ...export import module_file
from ...host.files import replace_with
from ...measure.layer_outputs import alike, outputs
from ...spec.errors import UserError

SHOWN = 24  # pictures of each kind
MAPS = 8  # channels of a layer


def run(
    modules: list[str], logits: list[str], spec: dict, data: str, picture: int | None, out: str
) -> dict[str, object]:
    """Write an `.npz` about the forms in the module files `modules` and their answers to the test pictures, `logits`.

    `classes`; `labels` (images,); `answers` (2, images), the likeliest class by each form; `changed` and `wrong`, the
    numbers of pictures that changed their class and of those that the second form gets wrong, the surest first, with
    `changed_pictures` and `wrong_pictures`, uint8 (shown, height, width, channels); `picture`, and for each
    of the last convolutions at a size `layer_0`, … its name and `before_0`, `after_0`, … (channels, height, width).
    """
    inputs, test = InputSpec.from_dict(spec), datasets.load(data, "test")
    scores = [np.load(path) for path in logits]
    answers = np.stack([each.argmax(1) for each in scores])
    labels = test.labels[: len(answers[0])]
    changed, wrong = np.flatnonzero(answers[0] != answers[1]), np.flatnonzero(answers[1] != labels)
    changed, wrong = (each[np.argsort(-_margin(scores[1][each]), kind="stable")] for each in (changed, wrong))
    chosen = picture if picture is not None else int(changed[0]) if len(changed) else 0
    if not 0 <= chosen < len(test):
        raise UserError(f"--picture {chosen}: {test.name} has the test pictures 0 to {len(test) - 1}.")
    found: dict[str, np.ndarray] = {
        "classes": np.array(test.classes),
        "labels": labels,
        "answers": answers,
        "changed": changed,
        "changed_pictures": _pictures(test, changed, inputs),
        "wrong": wrong,
        "wrong_pictures": _pictures(test, wrong, inputs),
        "picture": _pictures(test, np.array([chosen]), inputs)[0],
        "picture_number": np.array(chosen),
    }
    image = torch.from_numpy(network_input(test.image(chosen), inputs)[None])
    before, after = (module_file.load(Path(path)) for path in modules)
    old, new = _maps(alike(before, after), image), _maps(after, image)
    for i, name in enumerate(_last_of_each_size({name: each for name, each in old.items() if name in new})):
        found |= {f"layer_{i}": np.array(name), f"before_{i}": old[name][:MAPS], f"after_{i}": new[name][:MAPS]}
    with replace_with(Path(out)) as path:
        np.savez(path, **found)
    return {"outputs": [out]}


def _margin(logits: np.ndarray) -> np.ndarray:
    """How far the first class is ahead of the second."""
    ranked = np.sort(logits, axis=1)
    return ranked[:, -1] - ranked[:, -2]


def _pictures(test: Dataset, numbers: np.ndarray, spec: InputSpec) -> np.ndarray:
    shown = [np.atleast_3d(np.asarray(fit(test.image(int(i)), spec))) for i in numbers[:SHOWN]]
    return np.stack(shown) if shown else np.zeros((0, 1, 1, 1), np.uint8)


def _maps(module: torch.nn.Module, image: torch.Tensor) -> dict[str, np.ndarray]:
    """Outputs of each convolution, (channels, height, width)."""
    names = [name for name, each in module.named_modules() if name and "Conv" in type(each).__name__]
    kept = outputs(module, names, image)
    return {name: value[0].float().numpy() for name, value in kept.items() if value.ndim == 4}


def _last_of_each_size(maps: dict[str, np.ndarray]) -> list[str]:
    last = {value.shape[1:]: name for name, value in maps.items() if min(value.shape[1:]) > 1}
    return list(last.values())
