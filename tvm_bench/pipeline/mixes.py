"""Mixes of INT8, BF16 and FP32: the files that all mixes of a model are made from, and the jobs that run them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..host import packages
from ..jobs.launcher import JobError
from ..spec import recipe as recipes
from ..spec.cures import CORRECTIONS, Cured
from ..spec.errors import UserError
from ..spec.mixed_precision import BF16, Node, Outcome
from ..spec.task import CLASSIFICATION, SEGMENTATION
from .workbench import Workbench


@dataclass(frozen=True)
class Mixes:
    """A model, its `folded` ONNX file, and the `ranges` of the activations there."""

    bench: Workbench
    folded: Path
    ranges: Path

    @classmethod
    def of(cls, bench: Workbench, source: Path, folder: Path) -> Mixes:
        """The files of the FP32 file `source`, in `folder`."""
        request = {
            "source": str(source),
            "feed": bench.feed(1),
            "images": _calibration(bench),
            "observer": _quantization(bench)["observer"],
            "folder": str(folder),
        }
        options: dict[str, Any] = {"inputs": (source,), "depends": bench.about["data_version"]}
        folded, ranges = map(Path, bench.job("ranges", request, "int8", **options)["outputs"])
        return cls(bench, folded, ranges)

    def costs(self, images: int) -> dict[str, Any]:
        """What each quantizer costs on `images` calibration samples: the result of the verb `sensitivity`."""
        return self._job("sensitivity", "int8", images, **self._by_ranges)

    def bf16_noise(self, nodes: Sequence[Node], convolutions: Sequence[str], images: int) -> dict[str, float]:
        """For each of the `convolutions`, the noise at the output if it is BF16 and all other `nodes` are FP32."""
        if not convolutions:
            return {}
        names = {node.name for node in nodes}
        alone = [names - {name} | {f"{BF16}{name}"} for name in convolutions]
        outcomes, _, _ = self.run(alone, "calibration", "bf16", images)
        return {name: outcome.cost.noise for name, outcome in zip(convolutions, outcomes, strict=True)}

    def run(
        self, mixes: Sequence[Iterable[str]], split: str, label: str, images: int
    ) -> tuple[list[Outcome], float | None, int]:
        """The outcomes of mixes on samples of `split`, the score of FP32, and the number of samples, at most `images`.

        A mix is given by its nodes that are not INT8.
        """
        request = {"split": split, "labelled": scored(self.bench), "mixes": [sorted(mix) for mix in mixes]}
        result = self._job("mixes", f"{split}-{label}", images, **self._by_ranges, **request)
        return list(map(Outcome.from_dict, result["mixes"])), result["score"], result["images"]

    def cured(self, cure: str, images: int) -> Cured:
        """What is lost if all layers are quantized by `cure`, one of `CURES`, on calibration samples."""
        request = {"cure": cure, "labelled": scored(self.bench), "calibration": _calibration(self.bench)}
        try:
            if cure in CORRECTIONS:
                packages.need(["nncf"])
            label = re.sub(r"\W+", "-", cure.lower())
            return Cured(cure, Outcome.from_dict(self._job("cure", label, images, **request)))
        except (UserError, JobError) as error:
            return Cured(cure, None, str(error))

    @property
    def _by_ranges(self) -> dict[str, Any]:
        return {**_quantization(self.bench), "ranges": str(self.ranges)}

    def _job(self, verb: str, label: str, images: int, **request: Any) -> dict[str, Any]:
        bench = self.bench
        request |= {
            "folded": str(self.folded),
            "feed": bench.feed(1),
            "task": bench.about["task"],
            "outputs": bench.about["model_outputs"],
            "images": images,
            "threads": bench.run_spec.most_threads,
        }
        options: dict[str, Any] = {"inputs": (self.folded, self.ranges), "depends": bench.about["data_version"]}
        return bench.job(verb, request, label, show=True, **options)["result"]


def scored(bench: Workbench) -> bool:
    """Whether the outputs can be scored; those of a detector are boxes to decode first."""
    return bench.about["labelled"] and bench.about["task"] in (CLASSIFICATION, SEGMENTATION)


def _calibration(bench: Workbench) -> int | None:
    """The number of calibration samples; None: all."""
    return (bench.about["calibration"] or {}).get("images")


def _quantization(bench: Workbench) -> dict[str, Any]:
    return (bench.recipe.quantization or recipes.Quantize("int8")).by_onnxruntime
