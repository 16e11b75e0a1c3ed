"""The entrants of a race: the variants of the run spec, tuned ones included, and the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..analysis.results import Row
from ..jobs.launcher import JobError
from ..spec import backends as runtimes
from ..spec import recipe as recipes
from ..spec.errors import Unavailable, UserError
from ..spec.variant import Variant
from . import measurement, workbench
from .workbench import Workbench


@dataclass(frozen=True)
class Entrant:
    """A variant, its row so far, and its artifact `built`: the file or folder that the backend loads."""

    bench: Workbench
    variant: Variant
    row: Row
    built: Path | None = None
    timed: bool = True  # False for a reference that was not requested: it is scored, not timed

    @property
    def artifact(self) -> Path:
        """The artifact of an entrant that was built."""
        assert self.built, f"{self.variant.name} is not built"
        return self.built

    @property
    def races(self) -> bool:
        """Whether rounds of it are measured."""
        return self.timed and self.row.ok


def entrants(bench: Workbench, backends: tuple[str, ...]) -> list[Entrant]:
    """The variants of the run spec, tuned ones if there are tuning records, and the reference.

    A mix of INT8 and FP32 also races against all INT8, and a compressed model against the model before compression, by
    the same backends in FP32.

    The reference is FP32 eager (for an ONNX file, FP32 by ONNX Runtime); for a compressed model, of the model before
    compression. If all tuning records are for other CPUs, thread counts or batch sizes, a skipped row says so.
    """
    run_spec = bench.run_spec
    pairs = runtimes.pairs(backends, run_spec.precisions)
    variants = _variants(bench, pairs)
    competitors = [entrant(bench, variant) for variant in variants] + _tuned_elsewhere(bench, pairs)
    if (recipe := recipes.whole(bench.model_spec.recipe)) is not None:
        integers = workbench.with_recipe(bench, recipe)
        mixes = [variant for variant in variants if variant.precision == "int8"]
        competitors = [entrant(integers, _with_all_layers(mix, integers)) for mix in mixes] + competitors
    reference = measurement.reference_kind(bench)
    if bench.recipe.steps:
        plain = workbench.with_recipe(bench, "")
        kinds = [reference, *(pair for pair in pairs if pair[0] == "fp32" and pair != reference)]
        return [entrant(plain, variant) for variant in _variants(plain, kinds)] + competitors
    if reference not in pairs:
        return [entrant(bench, variant, timed=False) for variant in run_spec.variants(*reference)] + competitors
    return competitors


def _variants(bench: Workbench, pairs: list[tuple[str, str]]) -> list[Variant]:
    """The variants of these precisions and backends, and those of TVM that have tuning records."""
    variants = [variant for pair in pairs for variant in bench.run_spec.variants(*pair)]
    for precision, backend in pairs:
        if backend in workbench.TUNERS:
            tuned = bench.run_spec.variants(precision, backend, tuned=True)
            variants += [variant for variant in tuned if bench.tuned_by(variant)]
    return variants


def entrant(bench: Workbench, variant: Variant, *, timed: bool = True) -> Entrant:
    """A new entrant: nothing is built or measured."""
    return Entrant(bench, variant, _empty_row(variant), timed=timed)


def _with_all_layers(variant: Variant, bench: Workbench) -> Variant:
    """The variant of a mix, for the model of `bench` without the mix. The mix has chosen the front end."""
    return replace(variant, model_spec=bench.model_spec, frontend=variant.resolved_frontend)


def attempt(entrant: Entrant, step: Callable[[Entrant], Entrant]) -> Entrant:
    """The entrant after `step`. If the step fails, the row has the reason, and further steps are skipped."""
    if not entrant.row.ok:
        return entrant
    try:
        return step(entrant)
    except (UserError, JobError) as error:
        # A failed variant loses its earlier measurements, so that none is shown.
        status = "skipped" if isinstance(error, Unavailable) else "failed"
        failed = replace(_empty_row(entrant.variant), status=status, error=str(error))
        return replace(entrant, row=replace(failed, disturbed=entrant.row.disturbed, identity=entrant.row.identity))


def _tuned_elsewhere(bench: Workbench, pairs: list[tuple[str, str]]) -> list[Entrant]:
    """A skipped row for each variant whose tuning records are all for other CPUs, thread counts or batch sizes."""
    skipped = []
    for precision, backend in (pair for pair in pairs if pair[1] in workbench.TUNERS):
        variant, *more = bench.run_spec.variants(precision, backend, tuned=True)
        if not any(map(bench.tuned_by, (variant, *more))) and (others := bench.tuned_elsewhere(variant)):
            here, there = bench.records(variant, "metaschedule").parent.name, ", ".join(others)
            command = "tvm-bench tune" + f" --backend {backend}" * (backend != "relay")
            reason = f"its tuning records are for {there}, and this is {here}. Make them: {command}"
            skipped.append(Entrant(bench, variant, replace(_empty_row(variant), status="skipped", error=reason)))
    return skipped


def _empty_row(variant: Variant) -> Row:
    return Row(
        name=variant.name,
        precision=variant.precision,
        backend=variant.backend,
        frontend=variant.resolved_frontend,
        tuned=variant.tuned,
        batch=variant.batch,
        threads=variant.threads,
    )
