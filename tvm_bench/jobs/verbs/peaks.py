"""The verb `peaks`: what this CPU gives now."""

from __future__ import annotations

from ...backends.relay import peaks, target


def run(threads: int) -> dict[str, float]:
    """`threads`, and the 10^9 operations and bytes per second that they can do, see `backends.relay.peaks`."""
    return {"threads": threads, **peaks.measured(target.resolve(None, threads), threads)}
