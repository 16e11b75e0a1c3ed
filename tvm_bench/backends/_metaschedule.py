"""What the tuners by MetaSchedule of both generations of TVM share.

`ms` is the module `meta_schedule` of the generation that runs.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ._measured import Measured

WORKLOADS, RECORDS = "database_workload.json", "database_tuning_record.json"
FAILURES = "failures.jsonl"  # kinds of failures, which MetaSchedule's records lack
FAILED_S = 1e9  # a longer time marks a failed trial: MetaSchedule records 1e10 seconds for it
EVALUATOR = {"number": 3, "repeat": 1, "min_repeat_ms": 60}
# Unmeasured schedules per measured one, and their maxima, which are MetaSchedule's defaults for large steps.
POPULATION, MAX_POPULATION, MAX_UNMEASURED = 8, 512, 50


def sizes(trials: int) -> dict[str, int]:
    """The sizes of an evolutionary search that measures `trials` schedules."""
    return {
        "population_size": min(MAX_POPULATION, POPULATION * trials),
        "init_min_unmeasured": min(MAX_UNMEASURED, trials),
    }


def import_without(package: str, left_out: Iterable[str]) -> None:
    """Import a `package` of intrinsics before MetaSchedule does, without some of its modules.

    TVM parses the source of each, and reads the source of all calling functions for it: that takes 10 to 100 s.
    """
    if package in sys.modules:
        return
    empty = {f"{package}.{name}": ModuleType(name) for name in left_out}
    sys.modules.update(empty)
    importlib.import_module(package)
    for name in empty:
        del sys.modules[name]


def learned(ms: ModuleType, context: Any, earlier: Sequence[Any], threads: int) -> Any:
    """A cost model that has learned from the `earlier` records of its task.

    It is trained again in each step: MetaSchedule stores models as pickles, and loading a pickle can run any code.
    """
    model = ms.cost_model.XGBModel(num_tuning_cores=threads)
    results = [ms.runner.RunnerResult(record.run_secs, None) for record in earlier]
    model.update(context, [record.as_measure_candidate() for record in earlier], results)
    return model


def write_failures(folder: Path, key: str, errors: Iterable[tuple[Any, Any]]) -> None:
    """Append why schedules of the task `key` failed: for each its messages of the build and of the run, or None."""
    with (folder / FAILURES).open("a") as file:
        for built, ran in errors:
            if message := str(built or ran or ""):
                kind = ("build" if built else "run") + " time-out" * ("timeout" in message.lower())
                file.write(json.dumps({"key": key, "kind": kind, "message": message[-500:]}) + "\n")


def measured(folder: Path, trials: Iterable[tuple[str, Any]]) -> dict[str, Measured]:
    """The trials, and the failures in `folder`, by the key of their task. A trial is a key and seconds of runs."""
    found: dict[str, Measured] = defaultdict(Measured)
    for key, runs in trials:
        seconds = min((float(s) for s in runs or ()), default=FAILED_S)
        found[key].add(seconds * 1e3 if seconds < FAILED_S else None)
    if (folder / FAILURES).exists():
        for line in map(json.loads, (folder / FAILURES).read_text().splitlines()):
            found[line["key"]].failed[line["kind"]] += 1
    return found
