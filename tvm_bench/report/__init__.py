"""Step 9: results -> statistics, verdict, tables, plots and Markdown. Never imports torch or tvm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..results import Results


def write(results: Results, folder: Path) -> list[Path]:
    """Write `report.md` and the pictures it shows into `folder`; the report's path comes first."""
    from ..files import replace_with
    from . import markdown, plots

    pictures = plots.draw_all(results, folder / "plots")
    report = folder / "report.md"
    with replace_with(report) as beside:
        beside.write_text(markdown.markdown(results, pictures, folder))
    return [report, *pictures]
