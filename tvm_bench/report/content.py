"""The content of a report, computed once for Markdown and HTML."""

from __future__ import annotations

from dataclasses import dataclass

from ..analysis.names import model_name
from ..analysis.results import Results
from . import tables
from .summary_text import Summary, summarize
from .table import Table


@dataclass(frozen=True)
class Content:
    """Results, and the summary and tables derived from them."""

    results: Results
    model: str
    summary: Summary
    tables: list[Table]


def content(results: Results) -> Content:
    """The content of the report on these results."""
    return Content(results, model_name(row.name for row in results.variants), summarize(results), tables.every(results))
