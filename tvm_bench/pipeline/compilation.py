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


def build(run_spec: RunSpec, require_coverage: float | None) -> list[tuple[Path, dict[str, float] | None]]:
    """Build the libraries that `run_spec` asks for, and the tuned ones where there are records.

    Returns their folders, each with the shares of its time by what its kernels came from (None: not tuned). Raises
    `UserError` when less than `require_coverage` of a tuned library's time (0 to 1), or no library at all, is tuned.
    """
    pairs = backends.pairs(("relay",), run_spec.precisions)
    variants = [variant for pair in pairs for variant in run_spec.variants(*pair)]
    with Progress("build", 1 + 2 * len(variants)) as progress:
        progress.step(f"opening {run_spec.model_spec.model}")
        bench = steps.open_workbench(run_spec, calibrate="int8" in run_spec.precisions)
        for precision, _ in pairs:
            tuned = [each for each in run_spec.variants(precision, "relay", tuned=True) if bench.tuned_by(each)]
            variants += tuned
            if not tuned and require_coverage:
                raise UserError(
                    f"{precision} has no tuning records in {run_spec.logs}. Make them with `tvm-bench tune`."
                )
        built: list[tuple[Path, dict[str, float] | None]] = []
        for variant in variants:
            progress.step(f"building {variant.name}")
            folder = steps.build(bench, variant)
            tuning = manifest.read(folder)["tuning"]
            built.append((folder, tuning and tuning["coverage"]))
            _require(require_coverage, manifest.read(folder))
    return built


def _require(share: float | None, found: dict[str, Any]) -> None:
    if not share or not found["tuning"]:
        return
    if not found["tuning"]["coverage"]:
        raise UserError(f"the coverage of {found['name']} cannot be measured: this CPU cannot run {found['target']}.")
    covered = sum(part for kind, part in found["tuning"]["coverage"].items() if kind in schedule_source.SEARCHED)
    if covered < share:
        untuned = sorted(
            name for name, kernel in found["kernels"].items() if kernel["kind"] not in schedule_source.SEARCHED
        )
        raise UserError(
            f"records cover {covered:.1%} of the time of {found['name']}, and {share:.1%} was required. "
            f"Tune more (`tvm-bench tune`). Without a record: {', '.join(untuned)}"
        )


def profile(artifact: Path) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """A library's kernels as its manifest has them, and the milliseconds of each on the threads it was built for."""
    found = manifest.verify(artifact)
    with tempfile.TemporaryDirectory() as folder:
        request = {"artifact": str(artifact)}
        job = Job("profile", request, Path(folder), "profile", threads=found["threads"], reuse=False)
        receipt = launcher.run(job)
    return found["kernels"], receipt["result"]["kernels"]


def model_names(root: Path) -> list[tuple[str, str]]:
    """Every name that `--model` knows, with a note of what it brings."""
    receipt = launcher.run(Job("models", {}, root / "jobs", "models"))
    return [(name, note) for name, note in receipt["result"]["names"]]
