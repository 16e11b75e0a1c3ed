"""`bench`, and what it returns."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from .. import report as reports
from ..analysis import compare, quality_warnings, results, verdict
from ..analysis.compare import Change
from ..analysis.results import Results, Row
from ..analysis.verdict import Verdict
from ..pipeline import race
from ..report import content, html_page, summary_text
from ..report.plots import all_plots, style
from ..spec import backends as runtimes
from ..spec.constraints import Constraints
from ..spec.errors import UserError, unknown
from .options import Names, Options, spec_of, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn


class Race:
    """The results of a race. A notebook shows its report."""

    def __init__(self, results: Results):
        self.results = results

    @classmethod
    def load(cls, path: str | Path) -> Race:
        """Read a `results.json`. Raises `UserError` for a file that is missing or damaged."""
        return cls(results.load(Path(path)))

    def save(self, path: str | Path) -> None:
        """Write the results as JSON."""
        results.save(self.results, Path(path))

    @property
    def rows(self) -> tuple[Row, ...]:
        """The variants, with all samples."""
        return self.results.variants

    @property
    def doubts(self) -> list[str]:
        """What disturbed the race, in sentences; empty for a quiet one."""
        return quality_warnings.quality_warnings(self.results)

    def verdict(
        self, *, max_drop: float | None = None, max_rss: float | None = None, max_p95: float | None = None
    ) -> Verdict:
        """Which variant to deploy: the fastest that loses at most `max_drop` points of Top-1, and keeps to `max_rss` MB
        and a 95th percentile of `max_p95` ms. `winner` is None for a tie."""
        return verdict.judge(self._under(max_drop, max_rss, max_p95))

    def headline(self, **limits: float | None) -> str:
        """The verdict as a sentence."""
        return f"{summary_text.headline(self.verdict(**limits))}."

    def compare(self, old: Race, *, tolerance: float = 0.05) -> list[Change]:
        """What became faster or slower since `old`. Raises `UserError` for races on unlike machines."""
        return compare.compare(old.results, self.results, tolerance)

    def plot(self, kind: str = "latency") -> Figure:
        """A plot of the report. Raises `UserError` for an unknown kind, and for one without data."""
        if kind not in all_plots.PLOTS:
            raise unknown("plot", kind, all_plots.PLOTS)
        figure = all_plots.draw(kind, self.results, style.WIDE)
        if figure is None:
            raise UserError(f"this race has no data for the plot '{kind}'.")
        return figure

    def report(self, folder: str | Path) -> list[Path]:
        """Write report.html, report.md and the plots into `folder`. Returns the files."""
        return reports.write(self.results, Path(folder))

    def to_frame(self) -> Any:
        """A pandas DataFrame with a row for each variant. Raises `UserError` if pandas is not installed."""
        try:
            import pandas
        except ImportError as error:
            raise UserError("to_frame needs pandas. Install it: pip install pandas") from error
        return pandas.DataFrame([asdict(row) for row in self.rows]).set_index("name")

    def __repr__(self) -> str:
        return f"<Race of {len(self.rows)} variants: {self.headline()}>"

    def _repr_html_(self) -> str:
        return html_page.html(content.content(self.results))

    def _under(self, *limits: float | None) -> Results:
        given = Constraints(*limits).given()
        return replace(self.results, settings={**self.results.settings, "limits": given}) if given else self.results


def bench(
    model: str | Path | nn.Module = "resnet18",
    *,
    backends: Names = (),
    precision: Names = ("fp32", "int8"),
    rounds: int = 5,
    samples: int = 40,
    images: int | None = None,
    **options: Unpack[Options],
) -> Race:
    """Build every variant, check its answers, and race them in interleaved rounds, each in a fresh process.

    `backends` are names, or modules of your own (see docs/how-to/race-peers.md); by default eager PyTorch, Relay and
    ONNX Runtime, without eager PyTorch for an ONNX file and for a module. `images` are those that answers are checked
    on (None: all). The other options are those of `Options`. Raises `UserError` for bad input.
    """
    spec = spec_of(model, precision, options)
    chosen = split(backends)
    for name in chosen:
        runtimes.named(name)
    chosen = chosen or (runtimes.DEFAULT_OF_ONNX if spec.model_spec.is_onnx else runtimes.DEFAULT)
    rules = race.Rules(rounds=rounds, samples=samples, images=images)
    given = {"backends": chosen, "precision": spec.precisions, "rounds": rounds, "samples": samples, "images": images}
    parts = [repr(spec.model_spec.model), *(f"{name}={value!r}" for name, value in {**given, **options}.items())]
    found, _ = race.run(spec, chosen, rules, f"tvm_bench.bench({', '.join(parts)})", Constraints())
    return Race(found)
