"""Write docs/results/report.md from benchmarks/report.md.j2 and the races beside it: python benchmarks/report.py"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tvm_bench.analysis.accuracy import Pair, drop, pair
from tvm_bench.analysis.quality_warnings import quality_warnings
from tvm_bench.analysis.results import Row, load
from tvm_bench.analysis.statistics import DECISION, Estimate, mean_latency, ratio
from tvm_bench.analysis.verdict import judge
from tvm_bench.report import environment, formatting, summary_text, table, tables
from tvm_bench.report.plots import all_plots, style

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
FOUR = ("fp32-eager", "int8-eager", "fp32-relay", "int8-relay")
INT8 = ("int8-eager", "int8-torchscript", "int8-onnxruntime", "int8-openvino", "int8-relay", "int8-relay-tuned")
FP32 = ("fp32-eager", "fp32-torchscript", "fp32-inductor", "fp32-onnxruntime", "fp32-openvino", "fp32-relay-tuned")
FOUR_HEADER = ("variant", "latency ms [95 %]", "speed-up", "peak MB", "file MB", "Top-1 [95 %]", "points lost [95 %]")
ALL_HEADER = ("variant", "latency ms [95 %]", "speed-up vs fp32-eager [95 %]")
PACKAGES = ("torch", "onnxruntime", "openvino", "nncf", "xtc-tvm-python-bindings")


class Race:
    """A race as the template sees it: rows by variant name without the model, and numbers as text."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.results = load(path)
        self.settings, self.machine = self.results.settings, self.results.machine
        self.command = environment.command(self.results)
        self.rows = {row.name.rpartition("/")[2]: row for row in self.results.variants if row.rounds}
        self.headline = summary_text.headline(judge(self.results))
        self.warnings = quality_warnings(self.results)
        self.flagged = [name for name, row in self.rows.items() if row.flagged]

    def __getitem__(self, name: str) -> Row:
        return self.rows[name]

    @property
    def packages(self) -> str:
        versions = self.machine.get("packages", {})
        return ", ".join(f"{name} {versions[name]}" for name in PACKAGES if name in versions)

    def ratio(self, slow: str, fast: str, confidence: float = 0.95) -> Estimate:
        """How many times as long `slow` takes as `fast`."""
        return ratio(self[slow].rounds, self[fast].rounds, confidence)

    def times(self, slow: str, fast: str) -> str:
        return formatting.times(self.ratio(slow, fast))

    def latency(self, name: str) -> float:
        return mean_latency(self[name].rounds).value

    def ms(self, name: str) -> str:
        return formatting.ms_interval(mean_latency(self[name].rounds))

    def mb(self, name: str) -> str:
        return formatting.mb(self[name].size_mb)

    def shipped(self, name: str) -> float:
        """MB of the artifact and its runtime."""
        return (self[name].size_mb or 0) + (self[name].runtime_mb or 0)

    def middle(self, name: str, field: str) -> float:
        """The median over the rounds."""
        return float(np.median(getattr(self[name], field)))

    def load_ms(self, name: str) -> float:
        return self.middle(name, "load_ms")

    def peak_mb(self, name: str) -> float:
        return self.middle(name, "peak_rss_mb")

    def only(self, names: Iterable[str]) -> list[str]:
        """The timed variants of `names`."""
        return [name for name in names if name in self.rows]

    def of_product(self) -> float:
        """The speed-up of quantization and compilation together, divided by the product of both single speed-ups."""
        alone = self.ratio("fp32-eager", "int8-eager").value * self.ratio("fp32-eager", "fp32-relay").value
        return self.ratio("fp32-eager", "int8-relay").value / alone

    def fastest_peer(self, names: Iterable[str]) -> str:
        return min((name for name in self.only(names) if "relay" not in name), key=self.latency)

    def beside(self, names: Iterable[str], mine: str) -> str:
        """The fastest other runtime of `names`, and whether `mine` is faster, in a sentence."""
        peer = self.fastest_peer(names)
        direction = self.ratio(mine, peer, DECISION).direction
        verdict = {1: "it is slower", -1: "it is faster", 0: "the two cannot be told apart"}[direction]
        return (
            f"`{peer}` at {self.ms(peer)} ms; `{mine}` takes {self.ms(mine)} ms, {self.times(mine, peer)} of its time: "
            f"{verdict}."
        )

    def told_apart(self, names: Iterable[str]) -> str:
        """`3 of 15 pairs`: how many pairs of these variants the race tells apart."""
        pairs = list(combinations(self.only(names), 2))
        return f"{sum(self.ratio(*both, DECISION).direction != 0 for both in pairs)} of {len(pairs)} pairs"

    def level(self) -> str:
        """The fastest variant, and those that cannot be told from it."""
        verdict = judge(self.results)
        tied = [row for row in (verdict.first, *verdict.level) if row]
        return ", ".join(f"`{row.name.rpartition('/')[2]}`" for row in tied)

    def least(self, names: Iterable[str], value: Callable[[str], float]) -> str:
        return min(self.only(names), key=value)

    def pair(self, name: str) -> Pair:
        """The comparison of FP32 eager with the variant on the same images."""
        both = pair(self["fp32-eager"], self[name])
        assert both, f"{self.name} has no hits of {name}"
        return both

    def widest_drop(self, names: Iterable[str]) -> float:
        """The largest half width of the interval of a drop in Top-1, percentage points."""
        drops = [drop(self[name], self["fp32-eager"]) for name in self.only(names)]
        return max((lost.high - lost.low) / 2 for lost in drops if lost)

    def four(self) -> str:
        """The table of FP32 and INT8, eager and compiled."""
        return table.markdown([table.Table(f"{self.name}, eager and compiled", FOUR_HEADER, [*map(self._line, FOUR)])])

    def _line(self, name: str) -> list[str]:
        row, base = self[name], self["fp32-eager"]
        lost = None if row is base else drop(row, base)
        return [
            name,
            self.ms(name),
            self._speed_up(name),
            formatting.mb(self.peak_mb(name)),
            self.mb(name),
            tables.top1(row),
            formatting.interval(lost, 2) if lost else formatting.NONE,
        ]

    def _speed_up(self, name: str) -> str:
        return "1 (reference)" if name == "fp32-eager" else self.times("fp32-eager", name)

    def table(self) -> str:
        """The table of all variants, fastest first."""
        lines = [[name, self.ms(name), self._speed_up(name)] for name in sorted(self.rows, key=self.latency)]
        return table.markdown([table.Table(f"{self.name}, all variants", ALL_HEADER, lines)])

    def accuracy(self) -> str:
        """The accuracy of each INT8 variant against FP32 on the same images, one line each."""
        lines = []
        for name in self.only(INT8):
            both = self.pair(name)
            lines.append(
                f"- `{name}`: Top-1 {tables.top1(self[name])}; images that only FP32 gets right: {both.only_first}; "
                f"that only INT8 does: {both.only_second}; mid-p {both.p:.2g}."
            )
        return "\n".join(lines)

    def plot(self, kind: str, names: Iterable[str]) -> str:
        """Draw a plot of report.html for these variants, and link it."""
        rows = tuple(self[name] for name in self.only(names))
        figure = all_plots.draw(kind, replace(self.results, variants=rows), style.WIDE)
        assert figure, f"{self.name} has no data for the plot {kind}"
        path = DOCS / "images" / f"report-{kind}-{len(rows)}.png"
        FigureCanvasAgg(figure).print_png(path)
        return f"![{kind}](../images/{path.name})"


def render() -> str:
    """The report as Markdown; its plots are drawn into docs/images/."""
    paths = [DOCS / "results" / f"{name}.json" for name in ("resnet18", "resnet50")]
    races = [Race(path) for path in paths if path.exists()]
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template.filters |= {"percent": "{:.0%}".format, "mb": formatting.mb}
    values: dict[str, Any] = {"races": races, "small": races[0], "large": races[1] if len(races) > 1 else None}
    values |= {"four": FOUR, "int8": INT8, "fp32": FP32, "int8_and_four": dict.fromkeys((*FOUR, *INT8))}
    values["below_product"] = all(race.of_product() < 1 for race in races)
    text = template.from_string((HERE / "report.md.j2").read_text()).render(**values, decision=DECISION)
    return text.rstrip() + "\n"


if __name__ == "__main__":
    (DOCS / "results" / "report.md").write_text(render())
