"""Write the measurements that README.md shows: verdict and chart of `make bench`, and a table of the zoo.

Writes docs/results/sample-report.html too, the report of that race.

python benchmarks/front_page.py [RESULTS]

RESULTS is the results.json of `make bench` in a fresh clone. It becomes docs/results/bench.json.
"""

from __future__ import annotations

import io
from pathlib import Path

import click
import zoo_page
from rich.console import Console

from tvm_bench.analysis import results
from tvm_bench.analysis.results import Results
from tvm_bench.report import formatting, html_page, summary_text, table
from tvm_bench.report.content import content
from tvm_bench.report.plots import all_plots, style

ROOT = Path(__file__).parents[1]
README, RACE, ZOO = ROOT / "README.md", ROOT / "docs" / "results" / "bench.json", ROOT / "docs" / "results" / "zoo.json"
CHART = ROOT / "docs" / "images" / "latency.png"
SAMPLE = ROOT / "docs" / "results" / "sample-report.html"
SHOWN = ("resnet18", "resnet50", "mobilenet_v2", "efficientnet_b0", "regnet_y_400mf", "vgg11", "swin_t")
HEADER = (
    "network",
    *(f"{name} {what}" for name in ("FP32", "INT8") for what in ("Relay ms", "ONNX Runtime ms", "ratio")),
)


@click.command(help=__doc__)
@click.argument("race", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(race: Path | None) -> None:
    if race:
        RACE.write_bytes(race.read_bytes())
    stored = results.load(RACE)
    figure = all_plots.draw("latency", stored, style.WIDE)
    assert figure, "the race has no latencies"
    style.write(figure, CHART)
    SAMPLE.write_text(html_page.html(content(stored)))
    README.write_text(filled(README.read_text()))


def filled(page: str) -> str:
    """The page with the measurements between its markers, `<!-- NAME -->` and `<!-- end of NAME -->`."""
    for name, text in {"verdict": verdict(results.load(RACE)), "zoo": zoo(zoo_page.load(ZOO))}.items():
        start, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        before, _, rest = page.partition(start)
        page = before + start + text + end + rest.partition(end)[2]
    return page


def verdict(race: Results) -> str:
    """What `make bench` prints at its end, but for the paths of its files."""
    console = Console(file=io.StringIO(), width=120, color_system=None)
    summary_text.show(summary_text.summarize(race), console)
    settings, machine = race.settings, race.machine
    return (
        f"```text\n{console.file.getvalue().rstrip()}\n```\n\n"
        f"*`make bench` on {settings['start'][:10]} at commit {settings['commit'][:8]}: {machine['cpu']}, "
        f"{settings['threads']} threads.*"
    )


def zoo(rows: dict[str, zoo_page.Row]) -> str:
    """A table of some networks, and the means over all."""
    shown = {name: rows[name] for name in SHOWN if name in rows}
    lines = [[name, *(cell for p in zoo_page.PRECISIONS for cell in _cells(row, p))] for name, row in shown.items()]
    totals = [line for precision in zoo_page.PRECISIONS for line in zoo_page.means(rows, precision)]
    return "\n".join([table.markdown([table.Table("Relay and ONNX Runtime", HEADER, lines)]), "", *totals])


def _cells(row: zoo_page.Row, precision: str) -> list[str]:
    ratio, peer = row.ratio(precision), row.peer(precision)
    if ratio is None or not peer or not peer.ms:
        return [formatting.NONE] * 3
    return [formatting.ms(ratio * peer.ms, 3), formatting.ms(peer.ms, 3), f"{ratio:.2f}"]


if __name__ == "__main__":
    main()
