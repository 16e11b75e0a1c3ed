"""A race on disk: `results.json` is saved after every round, and an interrupted race resumes from it."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..analysis.compare import MACHINE
from ..analysis.results import Results, Row, flat, load, save
from ..spec.errors import UserError
from .race_entrants import Entrant
from .race_rounds import PER_ROUND

RUNS = "runs"  # the folder of earlier races
MEASURED = ("latency_ms", "time_evaluator_ms", "disturbed", *PER_ROUND)
# Settings that do not influence measurements, and settings that are only known after the race.
NOT_COMPARED = ("command", "limits", "dirty", "start", "end", "resumed", "finished_rounds")


def begin(path: Path, entrants: list[Entrant], machine: dict[str, Any], settings: dict[str, Any]) -> Results:
    """The results to start from: those of an interrupted race at `path` if it was the same race, else empty ones.

    If there was an interrupted race, prints whether it is resumed.
    """
    rows = tuple(entrant.row for entrant in entrants)
    fresh = Results(machine, {**settings, "start": now(), "end": None, "finished_rounds": 0}, rows)
    if (saved := _partial(path)) is None:
        return _seeded(fresh)
    rounds = f"{saved.finished_rounds} of {saved.settings['rounds']} rounds"
    if reason := difference(saved, fresh, [entrant.timed for entrant in entrants]):
        _say(f"{path} has {rounds} of an interrupted race, but {reason}: the race starts from scratch")
        return _seeded(fresh)
    _say(f"{path} has {rounds} of this race, which was interrupted: it resumes with round {saved.finished_rounds + 1}")
    return _joined(saved, fresh)


def save_round(results: Results, entrants: list[Entrant], path: Path) -> Results:
    """The results with one more finished round of all entrants, saved. The first round moves earlier results aside."""
    if not results.finished_rounds:
        _keep_finished(path)
    settings = {**results.settings, "finished_rounds": results.finished_rounds + 1, "end": now()}
    results = replace(results, settings=settings, variants=tuple(entrant.row for entrant in entrants))
    save(results, path)
    return results


@contextmanager
def explained(path: Path, start: str) -> Iterator[None]:
    """If the user interrupts the race that began at `start`, or writing fails, print which rounds are saved."""
    try:
        yield
    except (KeyboardInterrupt, OSError):
        saved = _partial(path)
        if saved and saved.settings["start"] == start:
            rounds = f"{saved.finished_rounds} of {saved.settings['rounds']} rounds"
            _say(f"interrupted: {path} has {rounds}; the same command resumes the race")
        raise


def difference(saved: Results, fresh: Results, timed: list[bool]) -> str | None:
    """Why the race `fresh` cannot resume the race `saved`, as text; None if it can.

    `timed` has, for each row of `fresh`, whether it will be timed.
    """
    for part, old, new in (
        ("machine", _only(saved.machine, MACHINE), _only(fresh.machine, MACHINE)),
        ("settings", _compared(saved, fresh), _compared(fresh, fresh)),
    ):
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                return f"{part}.{key} was {old.get(key)} and is {new.get(key)}"
    if [row.name for row in saved.variants] != [row.name for row in fresh.variants]:
        return "its variants were different"
    for old_row, new_row, is_timed in zip(saved.variants, fresh.variants, timed, strict=True):
        if old_row.identity != new_row.identity:
            return f"{old_row.name} has changed since"
        if old_row.ok and bool(old_row.rounds) != is_timed:
            return f"{old_row.name} was {'timed' if old_row.rounds else 'not timed'}"
    return None


def now() -> str:
    """The time as ISO 8601, UTC: `2025-01-31T12:00:00+00:00`."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _keep_finished(path: Path) -> None:
    """Move the results of an earlier race that was finished to `runs`, so that this one does not replace them."""
    if path.exists() and not _partial(path):
        folder = path.parent / RUNS / _run_name(path)
        folder.mkdir(parents=True, exist_ok=True)
        path.replace(folder / path.name)


def _run_name(path: Path) -> str:
    """When the race at `path` began, and the commit; of unreadable results, when they were written."""
    try:
        settings = load(path).settings
        time, commit = settings["start"], settings.get("commit") or "unknown"
    except (UserError, KeyError):
        time, commit = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(), "unreadable"
    return f"{time[:19].replace(':', '-')}-{commit[:10]}"


def last_raced(root: Path) -> Path:
    """The folder of the model below `root` that was raced last. Raises `UserError` if none was."""
    found = sorted(root.glob("*/results.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(f"there is no race in '{root}'. Run `tvm-bench bench`, or give --artifacts.")
    return found[-1].parent


def last_runs(folder: Path) -> tuple[Path, Path]:
    """The results of the last two races of the model in `folder`, the older first.

    Raises `UserError` if there are less than two.
    """
    found = [*sorted((folder / RUNS).glob("*/results.json")), folder / "results.json"]
    if len(found) < 2 or not found[-1].exists():
        raise UserError(f"'{folder}' has no two races to compare. Run `tvm-bench bench` again, or name two results.")
    return found[-2], found[-1]


def _partial(path: Path) -> Results | None:
    """The results at `path` if their race is not finished; None if it is, or if there are no readable results."""
    try:
        saved = load(path)
    except UserError:
        return None
    return saved if saved.partial else None


def _joined(saved: Results, fresh: Results) -> Results:
    """The new results with the rounds of the saved ones."""
    earlier = {name: saved.settings[name] for name in ("seed", "start", "end", "finished_rounds")}
    resumed = [*saved.settings.get("resumed", []), fresh.settings["start"]]
    busy = [share for run in (saved, fresh) if (share := run.machine.get("busy_share")) is not None]
    return Results(
        {**fresh.machine, "busy_share": max(busy, default=None)},
        {**fresh.settings, **earlier, "resumed": resumed},
        tuple(map(_joined_row, saved.variants, fresh.variants)),
        saved.peaks,
        saved.matmul_rates,
    )


def _joined_row(saved: Row, fresh: Row) -> Row:
    if not fresh.ok:
        return fresh
    if not saved.ok:
        return saved
    measured = {name: getattr(saved, name) for name in MEASURED}
    return replace(fresh, flagged=fresh.flagged or saved.flagged, **measured)


def _seeded(results: Results) -> Results:
    """The results with a random seed, unless the settings have one."""
    seed = results.settings.get("seed")
    return replace(results, settings={**results.settings, "seed": secrets.randbelow(2**32) if seed is None else seed})


def _compared(results: Results, fresh: Results) -> dict[str, str]:
    """The settings that must be equal; the seed only if the new settings have one."""
    left_out = (*NOT_COMPARED, "seed") if fresh.settings.get("seed") is None else NOT_COMPARED
    return flat({key: value for key, value in results.settings.items() if key not in left_out})


def _only(values: dict[str, Any], keys: tuple[str, ...]) -> dict[str, str]:
    return flat({key: value for key, value in values.items() if key in keys})


def _say(line: str) -> None:
    print(line, file=sys.stderr)
