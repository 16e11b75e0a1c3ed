"""Step 9: results become tables, plots, sentences, Markdown and HTML. Never imports torch or tvm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..analysis.results import Results


def write(results: Results, folder: Path) -> list[Path]:
    """Write `report.md`, its plots, and `report.html` into `folder`. Returns the files, the two reports first."""
    from ..host.files import replace_with
    from . import html_page, markdown_page
    from .content import content
    from .plots import all_plots

    drawn = all_plots.draw_all(results, folder / "plots")
    page = content(results)
    reports = {"report.md": markdown_page.markdown(page, drawn, folder), "report.html": html_page.html(page)}
    for name, text in reports.items():
        with replace_with(folder / name) as beside:
            beside.write_text(text)
    return [*(folder / name for name in reports), *drawn]
