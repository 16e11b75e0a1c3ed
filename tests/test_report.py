"""The report says what the numbers say, and no more."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from tests.runs import FAILED, a_row, a_run, constant, realistic, scored, times
from tvm_bench import report
from tvm_bench.analysis import statistics
from tvm_bench.analysis.results import Results, Row, save
from tvm_bench.report import formatting, summary_text, table, tables
from tvm_bench.report.content import content
from tvm_bench.report.markdown_page import markdown
from tvm_bench.spec.variant import ModelSpec


def shown(run: Results, width: int = 120) -> str:
    text = io.StringIO()
    tables.show(run, Console(file=text, width=width))
    return text.getvalue()


def test_the_tables_hold_the_numbers_at_120_columns():
    run = a_run(
        a_row("fp32-eager", constant(20.0), load_ms=[150.0], top1=0.698, top5=0.89, images=1000),
        a_row("int8-relay", constant(8.0), time_evaluator_ms=[[7.5]], peak_rss_mb=[301.0], rss_after_import_mb=[236.0]),
        FAILED,
    )
    text = shown(run)
    for cell in ("20.00 [20.00, 20.00]", "2.50× [2.50, 2.50]", "7.500", "150", "301 (236)", "69.8 % [66.9, 72.6]"):
        assert cell in text and cell in table.markdown(tables.every(run))
    assert max(map(len, text.splitlines())) <= 120
    assert "Traceback" not in text
    assert summary_text.summarize(run).sections[-1].lines == ["fp32-relax failed: no LLVM | target [bold]"]
    assert "| fp32-relax | failed: no LLVM \\| target [bold] |" in table.markdown(tables.every(run))


def test_long_rows_stay_whole_at_120_columns():
    run = realistic()
    long = replace(run.variants[3], name="resnet18/int8-relay-pytorch-tuned", latency_ms={"rounds": times(123.4)})
    text = shown(replace(run, variants=(*run.variants, long)))
    cells = tables.speed_cells(long, replace(run, variants=(*run.variants, long)))
    assert any(all(cell in line for cell in cells) for line in text.splitlines())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formatting.ms(0.01234), "0.0123"),
        (formatting.ms(1234.5), "1234"),
        (formatting.percent(0.99998), "99.9 %"),
        (formatting.points(-0.00424), "−0.42"),
        (formatting.points(-0.0), "+0.00"),
        (formatting.times(statistics.Estimate(2.0, float("nan"), float("nan"))), "2.00× [–]"),
        (formatting.times(statistics.Estimate(1.004, 1.001, 1.0062)), "1.004× [1.001, 1.006]"),
    ],
)
def test_numbers_as_text(text, expected):
    assert text == expected


def test_the_headline_names_the_winner_its_lead_and_its_cost():
    rows = [a_row("fp32-eager", constant(20.0), top1=0.7, images=1000), a_row("int8-relay", constant(8.0))]
    rows[1] = replace(rows[1], top1=0.68, images=1000)
    text = markdown(content(a_run(*rows)), [], None)
    assert "**int8-relay is the fastest: fp32-eager takes 2.50× [2.50, 2.50] its time.**" in text
    assert "- Top-1 of int8-relay: 68.0 % [65.0, 70.8], −2.00 percentage points from fp32-eager." in text
    assert "- int8-relay: 8.000 ms, 68.0 % Top-1" in text


def batches() -> list[Row]:
    """The realistic rows at two more batch sizes."""
    rows = realistic().variants
    return [
        replace(row, name=f"{row.name}-b{size}", batch=size, latency_ms={"rounds": times(9 * size, seed=size)})
        for row in rows
        for size in (2, 4)
    ]


NAMES = ["latency", "ladder", "pareto", "batch", "memory", "size", "accuracy", "start", "rounds"]


def test_the_report_is_written_with_pictures(tmp_path):
    run = replace(realistic(), variants=(*realistic().variants, FAILED, *batches()))
    reports, paths = report.write(run, tmp_path)[:2], report.write(run, tmp_path)[2:]
    text = reports[0].read_text()
    assert [path.name for path in reports] == ["report.md", "report.html"]
    assert [path.stem for path in paths] == NAMES
    for part in ("(plots/latency.png)", "tvm-bench bench resnet18 --threads 4", "failed: no LLVM", "NumPy", "Xeon"):
        assert part in text
    from matplotlib.image import imread

    for path in paths:
        pixels = imread(path)[..., :3]
        assert pixels.shape[1] > 1200 and 0.01 < np.mean(np.any(pixels < 0.99, axis=-1)) < 0.8


def test_pictures_without_data_are_left_out(tmp_path):
    report.write(realistic(), tmp_path)
    paths = report.write(a_run(FAILED, a_row("fp32-eager", constant(10.0, 1))), tmp_path)
    assert [path.name for path in paths] == ["report.md", "report.html", "latency.png"]
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["latency.png"]
    assert [path.name for path in report.write(a_run(FAILED), tmp_path)] == ["report.md", "report.html"]


def test_reporting_needs_neither_torch_nor_tvm():
    modules = "tvm_bench.report.html_page, tvm_bench.report.comparison"
    code = f"import sys, {modules}; print({{'torch', 'tvm'}} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
    code = "import sys, tvm_bench.report, tvm_bench.analysis.results; print({'numpy', 'matplotlib'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_pairs_on_the_same_images_are_a_table():
    eager, other = a_row("fp32-eager", constant(20.0)), a_row("int8-relay", constant(8.0))
    run = a_run(scored(eager, range(700)), scored(other, range(4, 700)))
    assert "| int8-relay | 0.40 [−0.08, 0.88] | 4 | 0 | 1,000 | 0.062 |" in table.markdown(tables.every(run))
    assert "accuracy on the same images" in shown(run)


def test_the_report_of_a_model_by_its_options(cli, tmp_path):
    weights = tmp_path / "runs" / "best.pt"
    folder = tmp_path / ModelSpec("resnet18", str(weights)).slug
    folder.mkdir()
    save(realistic(), folder / "results.json")
    done = cli("report", "--model", "resnet18", "--weights", weights, "--artifacts", tmp_path)
    assert done.returncode == 0 and (folder / "report.md").exists(), done.stderr
    done = cli("report", "--model", "resnet18", "--artifacts", tmp_path)
    assert done.returncode == 2 and f"no results at {tmp_path / 'resnet18'}." in done.stderr
