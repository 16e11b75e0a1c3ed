"""The command `sensitivity`: what INT8 costs and gains in each layer, and the fastest mix of INT8, BF16 and FP32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from ..analysis import mix_problem
from ..analysis.explanation.layer_changes import Profile
from ..analysis.explanation.roofline import Machine
from ..analysis.mix_problem import Problem
from ..analysis.mixed_precision import Choice, Limit, Mix, Sensitivity
from ..host import cpu, machine, manifest
from ..host.files import replace_with
from ..report import sensitivity as report
from ..report.plots import mixes as mixes_plot
from ..spec import recipe as recipes
from ..spec.cures import CURES
from ..spec.errors import UserError
from ..spec.mixed_precision import Node, Quantized
from ..spec.variant import RunSpec, Variant
from . import compilation, steps
from .mixes import Mixes, scored
from .workbench import Workbench, with_recipe

IMAGES = 32  # calibration samples on which the costs are measured
TRIED_IMAGES = {"drop": 2000, "sqnr": 64}  # samples on which mixes are tried: a share of hits needs more than a ratio
VERIFIED_IMAGES = {"drop": 10_000, "sqnr": 512}
STEPS = 8  # mixes that are tried first
REFINED = 4  # more mixes, between the last that loses too much and the first that does not
SQNR, DROP = 35.0, 0.3  # the default limits, in dB and in points


def sensitivity(
    run_spec: RunSpec,
    *,
    images: int = IMAGES,
    min_sqnr: float | None = None,
    max_drop: float | None = None,
    cures: bool = False,
) -> tuple[Sensitivity, Path]:
    """Measure the costs on `images` calibration samples, and search the fastest mix that loses at most this much.

    Without a limit, the drop may be 0.3 points if there are labels; else 35 dB must remain. With `cures`, all layers
    are quantized in other ways too. Returns what was found, and the page on it. Raises `UserError` for a recipe whose
    quantization is not that of ONNX Runtime, and for a drop without labels.
    """
    bench = steps.open_workbench(run_spec, calibrate=True, answers=True)
    _check(bench)
    limit = _limit(bench, min_sqnr, max_drop)
    source, _ = steps.prepare(bench, "onnx", "fp32", 1)
    mixes = Mixes.of(bench, source, _folder(bench))
    costs = mixes.costs(images)
    libraries = {
        precision: steps.build(bench, Variant(bench.model_spec, precision, "relay", "onnx", threads=_threads(bench)))
        for precision in _precisions(bench)
    }
    nodes = tuple(Node(**fields) for fields in costs["nodes"])
    problem = _problem(bench, nodes, list(map(Quantized.from_dict, costs["quantizers"])), libraries)
    problem = replace(problem, bf16=mixes.bf16_noise(nodes, mix_problem.faster_in_bf16(problem, nodes), images))
    tried = _Tried(mixes, problem, limit)
    tried.add([frozenset(), *map(problem.fastest, mix_problem.targets(problem, STEPS))])
    for _ in range(REFINED):
        tried.add([problem.fastest(noise) for noise in tried.between()])
    best = tried.best()
    found = Sensitivity(
        model=bench.model_spec.slug,
        nodes=nodes,
        problem=problem,
        mixes=tuple(sorted(tried.mixes, key=lambda mix: mix.ms)),
        limit=limit,
        score=tried.score,
        images=costs["images"],
        tried_images=tried.images,
        choice=_chosen(mixes, best, limit, libraries) if best else None,
        cures=tuple(mixes.cured(cure, TRIED_IMAGES[limit.measure]) for cure in CURES) if cures else (),
    )
    return found, _page(found, _folder(bench))


def _page(found: Sensitivity, folder: Path) -> Path:
    picture, page = folder / "mixes.png", folder / "sensitivity.md"
    mixes_plot.draw(found, picture)
    with replace_with(page) as temporary:
        temporary.write_text(report.page(found, picture.name))
    return page


class _Tried:
    """The mixes of a model that were run on calibration samples."""

    def __init__(self, model: Mixes, problem: Problem, limit: Limit):
        self.model, self.problem, self.limit = model, problem, limit
        self.mixes: list[Mix] = []
        self.score: float | None = None
        self.images = 0

    def add(self, mixes: Iterable[frozenset[str]]) -> None:
        """Run those of the mixes that are new."""
        known = {frozenset(mix.outcome.excluded) for mix in self.mixes}
        new = [mix for mix in dict.fromkeys(mixes) if mix not in known]
        if not new:
            return
        label, images = f"{len(self.mixes)}", TRIED_IMAGES[self.limit.measure]
        outcomes, self.score, self.images = self.model.run(new, "calibration", label, images)
        self.mixes += [
            Mix(self.problem.noise(mix), self.problem.ms(mix), outcome)
            for mix, outcome in zip(new, outcomes, strict=True)
        ]

    def best(self) -> Mix | None:
        """The fastest mix that keeps to the limit, as all quieter ones do: a score varies with the samples."""
        quiet = takewhile(self._allowed, sorted(self.mixes, key=lambda mix: mix.noise))
        return min(quiet, key=lambda mix: mix.ms, default=None)

    def between(self) -> list[float]:
        """The noise halfway in dB between the best mix and the quietest that is faster; empty without either."""
        best = self.best()
        faster = [mix.noise for mix in self.mixes if best and mix.ms < best.ms and mix.noise > best.noise]
        return [(best.noise * min(faster)) ** 0.5] if best and faster and best.noise else []

    def _allowed(self, mix: Mix) -> bool:
        return self.limit.allows(mix.outcome, self.score)


def _check(bench: Workbench) -> None:
    quantization = bench.recipe.quantization
    if quantization and (quantization.aware or quantization.needs_onnx or quantization.precision != "int8"):
        raise UserError(
            f"--recipe {bench.model_spec.recipe}: sensitivity quantizes by ONNX Runtime, after training, and finds out "
            "which layers to leave out. Give --recipe int8, with -per-tensor, -histogram or -entropy if you like."
        )


def _limit(bench: Workbench, min_sqnr: float | None, max_drop: float | None) -> Limit:
    if min_sqnr is not None and max_drop is not None:
        raise UserError("--min-sqnr and --max-drop are two limits for the same choice. Give one of them.")
    if max_drop is not None and not scored(bench):
        raise UserError("--max-drop needs labelled samples of the model's own classes. Give --data, or --min-sqnr 35.")
    if min_sqnr is None and (max_drop is not None or scored(bench)):
        return Limit(drop=DROP if max_drop is None else max_drop)
    return Limit(sqnr=SQNR if min_sqnr is None else min_sqnr)


def _problem(
    bench: Workbench, nodes: Sequence[Node], quantizers: Sequence[Quantized], libraries: Mapping[str, Path]
) -> Problem:
    folders = list(libraries.values())
    request = {"artifacts": list(map(str, folders)), "limits": True}
    options: dict[str, Any] = {"inputs": tuple(folder / manifest.LIBRARY for folder in folders), "exclusive": True}
    # Kept: with other times, an interrupted run would try other mixes.
    measured = bench.job("profile", request, "precisions", **options)["result"]
    profiles = {
        precision: Profile(manifest.verify(folder)["kernels"], library["kernels"], library["model_ms"])
        for (precision, folder), library in zip(libraries.items(), measured["libraries"], strict=True)
    }
    limits = Machine(measured["peaks"], machine.cache_bytes(), _threads(bench))
    return mix_problem.problem(nodes, quantizers, profiles, limits)


def _precisions(bench: Workbench) -> tuple[str, ...]:
    """Those of a mix: BF16 too if this CPU has instructions for it, and nothing else was asked for."""
    bf16 = bench.run_spec.target is None and "avx512bf16" in cpu.host_features()
    return ("fp32", "int8", "bf16") if bf16 else ("fp32", "int8")


def _chosen(mixes: Mixes, mix: Mix, limit: Limit, libraries: Mapping[str, Path]) -> Choice:
    """Build the mix, run it beside the others, and verify it on test samples."""
    bench, excluded = mixes.bench, mix.outcome.excluded
    path = _folder(bench) / f"mix-{limit.text}.txt"
    with replace_with(path) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in excluded))
    mixed = with_recipe(bench, recipes.without(bench.model_spec.recipe, excluded)) if excluded else bench
    variant = Variant(mixed.model_spec, "int8", "relay", None if excluded else "onnx", threads=_threads(bench))
    library = steps.build(mixed, variant)
    compared = [libraries["fp32"], libraries["int8"], library]
    measured = compilation.profiled(compared, _threads(bench))["libraries"]
    fp32, int8, ms = (entry["model_ms"] for entry in measured)
    verified, score, images = mixes.run([(), excluded], "test", "chosen", VERIFIED_IMAGES[limit.measure])
    return Choice(
        mix=mix,
        verified=(verified[0], verified[-1]),
        score=score,
        images=images,
        unseen=not bench.model_spec.samples,
        ms=(fp32, int8, ms),
        recipe=path,
        recipe_text=recipes.without(bench.model_spec.recipe, [f"@{path}"]),
        source=steps.source(mixed, variant)[0],
        library=library,
    )


def _threads(bench: Workbench) -> int:
    return bench.run_spec.most_threads


def _folder(bench: Workbench) -> Path:
    return bench.folder / "sensitivity"
