"""`plot`: the pictures that the command line draws with `--plot`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..analysis.explanation.explained import Explanation
from ..analysis.explanation.layer_changes import Comparison
from ..analysis.tuning import Tuned
from ..report.plots import fusion, layers, roofline, tuning
from ..spec.errors import UserError
from .inspection import Inspection

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(found: Explanation | Comparison | Inspection | Sequence[Tuned], *names: str) -> Figure:
    """Draw what `explain`, `compare`, `inspect` or `tune` returned.

    These are a roofline, the layers of two libraries side by side, the fused groups, and the times that the search
    found, step by step. `names` are those of the libraries in the picture: two for `compare`, at most one for others.
    Raises `UserError` for a library that was not run, and for other values.
    """
    match found:
        case Inspection():
            return fusion.draw(found.groups, *(names or [found.artifact.name]))
        case Comparison():
            return layers.draw(found, *(names or ["old", "new"]))
        case Explanation():
            if figure := roofline.draw(found, *(names or ["library"])):
                return figure
            raise UserError("no kernel with known operations was run, so there is nothing to draw.")
        case [Tuned(), *_]:
            return tuning.draw(found)
    raise UserError(f"cannot draw {type(found).__name__}. Give what explain, compare, inspect or tune returned.")
