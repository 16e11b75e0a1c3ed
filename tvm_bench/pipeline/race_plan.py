"""What a race would do: `bench --dry-run`."""

from __future__ import annotations

from ..jobs import planning
from ..spec.errors import UserError
from ..spec.planned import Planned
from ..spec.variant import RELAY, RunSpec
from . import race
from .race_entrants import Entrant, entrants
from .race_rounds import Rules

VERBS = {"build": ("compress", "prepare", "build"), "answers": ("evaluate",), "layers": ("diff",)}


def plan(run_spec: RunSpec, backends: tuple[str, ...], rules: Rules) -> list[Planned]:
    """The variants of a race, and which of their steps would run. Raises `UserError` for bad input.

    The model is described, which takes seconds; nothing is built or measured.
    """
    bench = race.opened(run_spec, backends)
    with planning.planning() as noted:
        return [_planned(entrant, rules, noted) for entrant in entrants(bench, backends)]


def _planned(entrant: Entrant, rules: Rules, noted: planning.Plan) -> Planned:
    variant = entrant.variant
    if entrant.row.error:
        return Planned(variant.name, {}, entrant.row.error)
    before, complete = set(noted.seconds), True
    noted.begin()
    try:
        race.evaluated(race.built(entrant), rules)
    except (planning.Unknown, FileNotFoundError):
        complete = False  # a job never ran, or its files were deleted
    except UserError as error:
        return Planned(variant.name, {}, str(error))
    new = {key: seconds for key, seconds in noted.seconds.items() if key not in before}
    seconds: dict[str, float | None] = {}
    for step, verbs in VERBS.items():
        if step == "layers" and not (variant.precision == "int8" and variant.backend in RELAY):
            continue
        found = [time for (verb, _), time in new.items() if verb in verbs]
        seconds[step] = sum(found) if found or complete else None
    if entrant.timed:
        once = planning.earlier(entrant.bench.folder / "jobs" / f"measure-{variant.label}.receipt.json")
        seconds["rounds"] = rules.rounds * once["seconds"] if once else None
    return Planned(variant.name, seconds)
