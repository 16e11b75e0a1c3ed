"""Splits results into rows that may be compared: a sweep is one race for each batch size and thread count."""

from __future__ import annotations

from dataclasses import replace

from .results import Results, Row


def batch_and_threads(row: Row, results: Results) -> tuple[int, int]:
    """The batch size and the thread count of a row."""
    threads = row.threads or results.settings.get("threads") or 0
    return row.batch, threads if isinstance(threads, int) else max(threads)


def races(results: Results) -> list[Results]:
    """The results, split by batch size and thread count: smallest batch first, then most threads. Never empty."""
    groups: dict[tuple[int, int], list[Row]] = {}
    for row in results.variants:
        groups.setdefault(batch_and_threads(row, results), []).append(row)
    ordered = sorted(groups, key=lambda key: (key[0], -key[1]))
    return [replace(results, variants=tuple(groups[key])) for key in ordered] or [results]


def reference(row: Row, results: Results) -> Row | None:
    """The reference of the row, at the same batch size and thread count; None if it is missing or failed."""
    same = [other for other in results.variants if batch_and_threads(other, results) == batch_and_threads(row, results)]
    return replace(results, variants=tuple(same)).reference
