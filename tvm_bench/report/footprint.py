"""The footprint of each variant: memory at each step, size of the deployment, and threads used."""

from __future__ import annotations

import numpy as np

from ..analysis.names import short_names
from ..analysis.results import Results, Row
from . import formatting
from .table import Table

HEADER = (
    *(
        "variant",
        "RSS after\nimports MB",
        "after\nload MB",
        "peak\nMB",
        "PSS\nMB",
        "in huge\npages MB",
        "TVM's plan: weights\n+ workspace MB",
    ),
    *("artifact\nMB", "with its\nruntime MB", "working\nthreads", "CPU s\nper s", "rounds\nrepeated"),
)


def tables(results: Results) -> list[Table]:
    """One row per timed variant: medians over the rounds; for threads and CPU seconds, the maximum."""
    names = short_names(row.name for row in results.variants)
    lines = [[names[row.name], *_cells(row)] for row in results.variants if row.rounds]
    return [Table("Memory, size and threads", HEADER, lines)] if lines else []


def _cells(row: Row) -> tuple[str, ...]:
    memory = (row.rss_after_import_mb, row.rss_after_load_mb, row.peak_rss_mb, row.pss_peak_mb, row.huge_pages_mb)
    plan, size, runtime = row.plan_mb, row.size_mb, row.runtime_mb
    return (
        *(formatting.mb(float(np.median(values)) if values else None) for values in memory),
        f"{formatting.mb(plan['weights'])} + {formatting.mb(plan['workspace'])}" if plan else formatting.NONE,
        formatting.mb(size),
        formatting.mb(size + runtime if size is not None and runtime is not None else None),
        str(max(row.working_threads)) if row.working_threads else formatting.NONE,
        f"{max(row.cpu_per_wall):.2f}" if row.cpu_per_wall else formatting.NONE,
        str(row.disturbed),
    )
