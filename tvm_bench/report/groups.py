"""A sweep over batch sizes or threads is several races in one file: only rows on the same terms compete."""

from __future__ import annotations

from dataclasses import replace

from ..results import Results, Row


def terms(row: Row, results: Results) -> tuple[int, int]:
    """The row's batch size and number of threads."""
    threads = row.threads or results.settings.get("threads") or 0
    return row.batch, threads if isinstance(threads, int) else max(threads)


def races(results: Results) -> list[Results]:
    """The results on each terms: the smallest batch first, and of one batch the most threads. Never empty."""
    found: dict[tuple[int, int], list[Row]] = {}
    for row in results.variants:
        found.setdefault(terms(row, results), []).append(row)
    ordered = sorted(found, key=lambda each: (each[0], -each[1]))
    return [replace(results, variants=tuple(found[each])) for each in ordered] or [results]


def reference(row: Row, results: Results) -> Row | None:
    """What the row is compared with, on its own terms; None where it is missing or failed."""
    same = [other for other in results.variants if terms(other, results) == terms(row, results)]
    return replace(results, variants=tuple(same)).reference
