"""Rows that may be compared: a sweep is several races in one file, one for each batch size and thread count."""

from __future__ import annotations

from dataclasses import replace

from .results import Results, Row


def batch_and_threads(row: Row, results: Results) -> tuple[int, int]:
    """The row's batch size and number of threads."""
    threads = row.threads or results.settings.get("threads") or 0
    return row.batch, threads if isinstance(threads, int) else max(threads)


def races(results: Results) -> list[Results]:
    """The results by batch size and threads: the smallest batch first, then the most threads. Never empty."""
    found: dict[tuple[int, int], list[Row]] = {}
    for row in results.variants:
        found.setdefault(batch_and_threads(row, results), []).append(row)
    ordered = sorted(found, key=lambda each: (each[0], -each[1]))
    return [replace(results, variants=tuple(found[each])) for each in ordered] or [results]


def reference(row: Row, results: Results) -> Row | None:
    """What the row is compared with, at its own batch size and threads; None where it is missing or failed."""
    same = [other for other in results.variants if batch_and_threads(other, results) == batch_and_threads(row, results)]
    return replace(results, variants=tuple(same)).reference
