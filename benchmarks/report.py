"""Write docs/report.md from benchmarks/report.md.j2 and the races in docs/results/: python benchmarks/report.py"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tvm_bench.analysis.accuracy import drop, pair
from tvm_bench.analysis.results import Row, load
from tvm_bench.analysis.statistics import DECISION, Estimate, median, ratio
from tvm_bench.report import environment as facts
from tvm_bench.report import formatting, summary_text, table, tables
from tvm_bench.report.plots import all_plots, style

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
FORMS = ("fp32-eager", "int8-eager", "fp32-relay", "int8-relay")
INT8 = ("int8-eager", "int8-torchscript", "int8-onnxruntime", "int8-openvino", "int8-relay", "int8-relay-tuned")
FP32 = ("fp32-eager", "fp32-torchscript", "fp32-inductor", "fp32-onnxruntime", "fp32-openvino", "fp32-relay-tuned")
FORMS_HEADER = ("form", "median ms [95 %]", "speed-up", "peak MB", "file MB", "Top-1 [95 %]", "points lost [95 %]")
PACKAGES = ("torch", "onnxruntime", "openvino", "nncf", "xtc-tvm-python-bindings")


class Race:
    """A race whose variants go by the names of their forms, as the template speaks of it."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.results = load(path)
        self.settings, self.machine = self.results.settings, self.results.machine
        self.command = facts.command(self.results)
        self.rows = {row.name.rpartition("/")[2]: row for row in self.results.variants if row.rounds}

    def __getitem__(self, form: str) -> Row:
        return self.rows[form]

    @property
    def packages(self) -> str:
        versions = self.machine.get("packages", {})
        return ", ".join(f"{name} {versions[name]}" for name in PACKAGES if name in versions)

    def ratio(self, slow: str, fast: str, confidence: float = 0.95) -> Estimate:
        """How many times as long `slow` takes as `fast`."""
        return ratio(self[slow].rounds, self[fast].rounds, confidence)

    def times(self, slow: str, fast: str) -> str:
        return formatting.times(self.ratio(slow, fast))

    def ms(self, form: str) -> str:
        return f"{formatting.ms_interval(median(self[form].rounds))} ms"

    def mb(self, form: str) -> str:
        return formatting.mb(self[form].size_mb)

    def shipped(self, form: str) -> str:
        return formatting.mb((self[form].size_mb or 0) + (self[form].runtime_mb or 0))

    def middle(self, form: str, field: str) -> str:
        """The median over the rounds."""
        return f"{np.median(getattr(self[form], field)):,.0f}"

    def agreement(self, form: str) -> str:
        return formatting.percent(self[form].argmax_agreement)

    def headline(self) -> str:
        return summary_text.headline(self.results)

    def share_of_product(self) -> str:
        """What quantization and compilation are worth together, of what they are worth alone."""
        alone = self.ratio("fp32-eager", "int8-eager").value * self.ratio("fp32-eager", "fp32-relay").value
        return f"{self.ratio('fp32-eager', 'int8-relay').value / alone:.0%}"

    def beside(self, forms: tuple[str, ...], mine: str) -> str:
        """The fastest of the others, and whether `mine` is faster."""
        others = [form for form in forms if form in self.rows and "relay" not in form]
        best = min(others, key=lambda form: median(self[form].rounds).value)
        direction = self.ratio(mine, best, DECISION).direction
        verdict = {1: "it is slower", -1: "it is faster", 0: "the two cannot be told apart"}[direction]
        return (
            f"`{best}` at {self.ms(best)}; `{mine}` takes {self.ms(mine)}, {self.times(mine, best)} of its time: "
            f"{verdict}."
        )

    def forms(self) -> str:
        """The four forms side by side."""
        lines = [self._form(form) for form in FORMS]
        return table.markdown([table.Table(f"{self.name}, the four forms", FORMS_HEADER, lines)])

    def _form(self, form: str) -> list[str]:
        row, base = self[form], self["fp32-eager"]
        lost = None if row is base else drop(row, base)
        return [
            form,
            formatting.ms_interval(median(row.rounds)),
            formatting.NONE if row is base else self.times("fp32-eager", form),
            self.middle(form, "peak_rss_mb"),
            formatting.mb(row.size_mb),
            tables.top1(row),
            formatting.interval(lost, 2) if lost else formatting.NONE,
        ]

    def table(self) -> str:
        """Every variant, fastest first."""
        ordered = sorted(self.rows, key=lambda form: median(self[form].rounds).value)
        lines = [
            [form, formatting.ms_interval(median(self[form].rounds)), self.times("fp32-eager", form)]
            for form in ordered
        ]
        header = ("variant", "median ms [95 %]", "speed-up vs fp32-eager [95 %]")
        return table.markdown([table.Table(f"{self.name}, all variants", header, lines)])

    def accuracy(self) -> str:
        """What INT8 costs on the same images, a line each."""
        lines = []
        for form in INT8:
            if form in self.rows and (both := pair(self["fp32-eager"], self[form])):
                lines.append(
                    f"- `{form}`: Top-1 {tables.top1(self[form])}; {both.only_first} images that only FP32 gets "
                    f"right, {both.only_second} that only INT8 does; mid-p {both.p:.2g}."
                )
        return "\n".join(lines)

    def picture(self, name: str, forms: Iterable[str]) -> str:
        """Draw a picture of report.html for these variants, and link it."""
        rows = tuple(self[form] for form in forms if form in self.rows)
        figure = all_plots.draw(name, replace(self.results, variants=rows), style.WIDE)
        assert figure, f"{self.name} has no data for the picture {name}"
        path = DOCS / "images" / f"report-{name}-{len(rows)}.png"
        FigureCanvasAgg(figure).print_png(path)
        return f"![{name}](images/{path.name})"


def render() -> str:
    """The report as Markdown; its pictures are drawn into docs/images/."""
    paths = [DOCS / "results" / f"{name}.json" for name in ("resnet18", "resnet50")]
    races = [Race(path) for path in paths if path.exists()]
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    given: dict[str, Any] = {"races": races, "small": races[0], "large": races[1] if len(races) > 1 else None}
    given |= {"forms": FORMS, "int8": INT8, "fp32": FP32, "everything": dict.fromkeys((*FORMS, *INT8))}
    text = environment.from_string((HERE / "report.md.j2").read_text()).render(**given, decision=DECISION)
    return text.rstrip() + "\n"


if __name__ == "__main__":
    (DOCS / "report.md").write_text(render())
