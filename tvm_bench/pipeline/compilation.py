"""The commands `build`, `models` and `inspect --profile`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ..host import manifest
from ..host.progress import Progress
from ..jobs import launcher
from ..jobs.launcher import Job
from ..spec import backends, schedule_source
from ..spec.errors import UserError
from ..spec.variant import RunSpec
from . import steps


def build(
    run_spec: RunSpec, require_coverage: float | None, backend: str = "relay"
) -> list[tuple[Path, dict[str, float] | None]]:
    """Build the libraries of `run_spec` for `backend`, one of `backends.TVMS`; also tuned, if there are tuning records.

    Returns their folders, with the shares of the run time by schedule source (None: not tuned). Raises `UserError`
    if tuning records cover less than `require_coverage` (0 to 1) of a tuned library's run time, or if there are none.
    """
    pairs = backends.pairs((backend,), run_spec.precisions)
    variants = [variant for pair in pairs for variant in run_spec.variants(*pair)]
    with Progress("build", 1 + 2 * len(variants)) as progress:
        progress.step(f"opening {run_spec.model_spec.model}")
        bench = steps.open_workbench(run_spec, calibrate="int8" in run_spec.precisions)
        for precision, _ in pairs:
            candidates = run_spec.variants(precision, backend, tuned=True)
            tuned = [variant for variant in candidates if bench.tuned_by(variant)]
            variants += tuned
            if not tuned and require_coverage:
                raise UserError(
                    f"{precision} has no tuning records for {backend} in {run_spec.logs}. Make them with `tvm-bench "
                    f"tune --backend {backend}`."
                )
        built: list[tuple[Path, dict[str, float] | None]] = []
        for variant in variants:
            progress.step(f"building {variant.name}")
            folder = steps.build(bench, variant)
            tuning = manifest.read(folder)["tuning"]
            built.append((folder, tuning and tuning["coverage"]))
            _require(require_coverage, manifest.read(folder))
    return built


def _require(share: float | None, about: dict[str, Any]) -> None:
    if not share or not about["tuning"]:
        return
    if not about["tuning"]["coverage"]:
        raise UserError(f"the coverage of {about['name']} cannot be measured: this CPU cannot run {about['target']}.")
    covered = sum(part for kind, part in about["tuning"]["coverage"].items() if kind in schedule_source.SEARCHED)
    if covered < share:
        untuned = sorted(
            name for name, kernel in about["kernels"].items() if kernel["kind"] not in schedule_source.SEARCHED
        )
        raise UserError(
            f"tuning records cover {covered:.1%} of the run time of {about['name']}, but {share:.1%} is required. "
            f"Tune more (`tvm-bench tune`). Kernels without a record: {', '.join(untuned)}"
        )


def profile(artifact: Path) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """The kernels of a library from its manifest, and their milliseconds with the thread count it was built for."""
    about = manifest.verify(artifact)
    return about["kernels"], profiled([artifact], about["threads"])["libraries"][0]["kernels"]


def profiled(artifacts: list[Path], threads: int, *, limits: bool = False) -> dict[str, Any]:
    """What the verb `profile` returns for libraries whose files were checked.

    Raises `UserError` for libraries that cannot be in one process.
    """
    environments = {manifest.read(artifact).get("environment") for artifact in artifacts}
    if len(environments) > 1:
        raise UserError(
            "Relay and Relax cannot be in one process, so that these libraries cannot be timed in turns. Race them: "
            "tvm-bench bench --backends relay,relax."
        )
    (environment,) = environments
    request: dict[str, Any] = {"artifacts": [str(artifact) for artifact in artifacts]}
    if not environment:
        return _measured("profile", request | {"limits": limits}, threads)
    measured = _measured("profile_relax", request | {"threads": threads}, threads, environment)
    return measured | ({"peaks": _measured("peaks", {"threads": threads}, threads)} if limits else {})


def _measured(verb: str, request: dict[str, Any], threads: int, environment: str | None = None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        job = Job(verb, request, Path(folder), verb, threads=threads, reuse=False, venv=environment)
        return launcher.run(job)["result"]


def model_names(root: Path) -> list[tuple[str, str]]:
    """All model names that `--model` knows, with a note on their weights."""
    receipt = launcher.run(Job("models", {}, root / "jobs", "models"))
    return [(name, note) for name, note in receipt["result"]["names"]]
