"""Names of variants, split into the model and the rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .results import Results


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Short names by name, without the model if all have the same: `resnet18/int8-relay` becomes `int8-relay`."""
    names = list(names)
    models = {name.rpartition("/")[0] for name in names}
    return {name: name.rpartition("/")[2] if len(models) == 1 else name for name in names}


def shortened(results: Results) -> Results:
    """The results with short names."""
    names = short_names(row.name for row in results.variants)
    return replace(results, variants=tuple(replace(row, name=names[row.name]) for row in results.variants))


def model_name(names: Iterable[str]) -> str:
    """The models of the names, each once: `resnet18`."""
    return ", ".join(dict.fromkeys(name.rpartition("/")[0] for name in names if "/" in name)) or "model"
