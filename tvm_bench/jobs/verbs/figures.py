"""The verb `figures`: the images that two models classify differently, and the feature maps of one image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import data as datasets
from ...data.dataset import Dataset
from ...data.preprocess import InputSpec, fit, network_input
from ...exporters import module_file
from ...host.files import replace_with
from ...measure import layer_weights
from ...measure.layer_outputs import alike, outputs
from ...spec.errors import UserError

SHOWN = 24  # changed images, and as many wrong ones
MAPS = 8  # channels of a layer
BINS = 128  # of a histogram: half as many as INT8 has values


def run(
    modules: list[str], logits: list[str], spec: dict[str, Any], data: str, image: int | None, out: str
) -> dict[str, Any]:
    """Write an `.npz` about the two models in the files `modules`, from their scores of the test images in `logits`.

    Its arrays are `classes`; `labels` (images,); `answers` (2, images), the most likely class by each model; `changed`
    and `wrong`, the indices of images whose class changed and of those that the second model gets wrong, most confident
    first, with `changed_images` and `wrong_images`, uint8 (shown, height, width, channels); `image` and `image_index`;
    and for the last convolution at each size its name `layer_0`, …, maps `before_0`, `after_0`, … (channels, height,
    width), and histograms of the two models: `weights_0`, `outputs_0`, … (2, bins), counts of values between the edges
    `weights_edges_0`, `outputs_edges_0`, … (bins + 1,).
    """
    inputs, test = InputSpec.from_dict(spec), datasets.load(data, "test")
    scores = [np.load(path) for path in logits]
    answers = np.stack([rows.argmax(1) for rows in scores])
    labels = test.required_labels()[: len(answers[0])]
    changed = _most_confident_first(np.flatnonzero(answers[0] != answers[1]), scores[1])
    wrong = _most_confident_first(np.flatnonzero(answers[1] != labels), scores[1])
    index = image if image is not None else int(changed[0]) if len(changed) else 0
    if not 0 <= index < len(test):
        raise UserError(f"--image {index} is not in {test.name}. Give 0 to {len(test) - 1}.")
    arrays: dict[str, Any] = {
        "classes": np.array(test.classes),
        "labels": labels,
        "answers": answers,
        "changed": changed,
        "changed_images": _pixels(test, changed, inputs),
        "wrong": wrong,
        "wrong_images": _pixels(test, wrong, inputs),
        "image": _pixels(test, np.array([index]), inputs)[0],
        "image_index": np.array(index),
    }
    values = torch.from_numpy(network_input(test.image(index), inputs)[None])
    before, after = (module_file.load(Path(path)) for path in modules)
    before = alike(before, after)
    old, new = _maps(before, values), _maps(after, values)
    for i, name in enumerate(_last_of_each_size({name: maps for name, maps in old.items() if name in new})):
        arrays |= {f"layer_{i}": np.array(name), f"before_{i}": old[name][:MAPS], f"after_{i}": new[name][:MAPS]}
        weights = [layer_weights.weight(module.get_submodule(name)).numpy() for module in (before, after)]
        for kind, pair in (("weights", weights), ("outputs", [old[name], new[name]])):
            arrays[f"{kind}_{i}"], arrays[f"{kind}_edges_{i}"] = _histograms(pair)
    with replace_with(Path(out)) as path:
        np.savez(path, **arrays)
    return {"outputs": [out]}


def _most_confident_first(indices: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return indices[np.argsort(-_margin(logits[indices]), kind="stable")]


def _margin(logits: np.ndarray) -> np.ndarray:
    """The score of the first class minus that of the second."""
    ranked = np.sort(logits, axis=1)
    return ranked[:, -1] - ranked[:, -2]


def _pixels(test: Dataset, indices: np.ndarray, spec: InputSpec) -> np.ndarray:
    shown = [np.atleast_3d(np.asarray(fit(test.image(int(i)), spec))) for i in indices[:SHOWN]]
    return np.stack(shown) if shown else np.zeros((0, 1, 1, 1), np.uint8)


def _maps(module: torch.nn.Module, image: torch.Tensor) -> dict[str, np.ndarray]:
    """The outputs of each convolution, (channels, height, width)."""
    names = [name for name, layer in module.named_modules() if name and "Conv" in type(layer).__name__]
    values = outputs(module, names, image)
    return {name: value[0].float().numpy() for name, value in values.items() if value.ndim == 4}


def _histograms(pair: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The counts of both arrays in the same bins, and the edges of these."""
    edges = np.histogram_bin_edges(np.concatenate([values.ravel() for values in pair]), BINS)
    return np.stack([np.histogram(values, edges)[0] for values in pair]), edges


def _last_of_each_size(maps: dict[str, np.ndarray]) -> list[str]:
    last = {value.shape[1:]: name for name, value in maps.items() if min(value.shape[1:]) > 1}
    return list(last.values())
