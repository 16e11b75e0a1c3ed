"""What `list` and `verify` print about built libraries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..spec.built import Built, Verified
from . import formatting

if TYPE_CHECKING:
    from rich.table import Table


def table(libraries: Sequence[Built]) -> Table:
    """A line for each library."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    result = Table(box=box.SIMPLE_HEAD)
    result.add_column("library", overflow="fold")
    result.add_column("built", no_wrap=True)
    result.add_column("CPU")
    for name in ("threads", "MB", "ms when built"):
        result.add_column(name, justify="right", no_wrap=True)
    for built in libraries:
        about = built.about or {}
        milliseconds = about.get("latency_ms_when_built")
        result.add_row(
            Text(str(built.folder)),
            f"{built.time:%Y-%m-%d %H:%M}",
            about["target"].partition("-mcpu=")[2].partition(" ")[0] if about else "damaged: build it again",
            str(about.get("threads", "")),
            formatting.mb(built.size_mb),
            formatting.ms(milliseconds) if milliseconds else "",
        )
    return result


def sentences(verified: Verified) -> Iterator[str]:
    """Lines about files, outputs and speed."""
    yield "Its files are those of the build, and this CPU can run it."
    for name, difference in verified.differences.items():
        same = "is the same to the bit" if not difference else f"differs by at most {difference:.1e} of its range"
        yield f"The output {name} {same}."
    now, before = verified.latency_ms, verified.latency_ms_when_built
    yield (
        f"By TVM's clock it takes {formatting.ms(now)} ms now. When it was built it took {formatting.ms(before)} ms "
        f"({now / before:.2f} times as long now)."
    )
