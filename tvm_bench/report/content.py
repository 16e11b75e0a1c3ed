"""The content of a report, computed once for Markdown and HTML."""

from __future__ import annotations

from dataclasses import dataclass

from ..analysis.names import model_name, short_names
from ..analysis.results import Results
from . import tables
from .summary_text import Summary, summarize
from .table import Table

EXPLAINED = "What limits INT8"  # the title of the explanations; `tvm-bench explain` has all of them


@dataclass(frozen=True)
class Content:
    """Results, and the summary and tables derived from them."""

    results: Results
    model: str
    summary: Summary
    tables: list[Table]

    @property
    def explanations(self) -> list[str]:
        """What limits each INT8 variant that was explained, in a sentence."""
        names = short_names(row.name for row in self.results.variants)
        return [f"{names[row.name]}: {row.explanation}" for row in self.results.variants if row.explanation]


def content(results: Results) -> Content:
    """The content of the report on these results."""
    return Content(results, model_name(row.name for row in results.variants), summarize(results), tables.every(results))
