"""The report says what the numbers say, and no more."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import binomtest

from tvm_bench import report, results
from tvm_bench.errors import UserError
from tvm_bench.report import statistics, table, units, verdict
from tvm_bench.report.markdown import markdown
from tvm_bench.results import Results, Row

# name: median ms, kernels ms, load ms, first call ms, peak MB, after imports MB, size MB, top-1, agreement
REALISTIC = {
    "fp32-eager": (31.6, None, 190.0, 41.0, 612, 395, 46.8, 0.6976, 1.0),
    "int8-eager": (15.2, None, 240.0, 22.0, 571, 395, 11.9, 0.6951, 0.956),
    "fp32-relay": (24.9, 24.6, 88.0, 25.4, 402, 236, 47.1, 0.6976, 1.0),
    "int8-relay": (9.87, 9.71, 61.0, 10.9, 301, 236, 12.2, 0.6942, 0.951),
    "fp32-onnxruntime": (22.7, None, 71.0, 27.0, 287, 112, 46.8, 0.6976, 0.99998),
    "int8-onnxruntime": (9.91, None, 55.0, 12.0, 188, 112, 11.8, 0.6929, 0.947),
}


def times(median: float, rounds: int = 10, samples: int = 60, seed: int = 0) -> list[list[float]]:
    """Rounds that wander by 1 % with a right tail, as steady calls do."""
    rng = np.random.default_rng(seed)
    levels = median * (1 + 0.01 * rng.standard_normal(rounds))
    return [(level * (1 + rng.gamma(1.2, 0.008, samples))).tolist() for level in levels]


def a_row(form: str, rounds: list[list[float]], **more: object) -> Row:
    precision, backend = form.split("-")
    return Row(f"resnet18/{form}", precision, backend, latency_ms={"rounds": rounds}, **more)


def a_run(*rows: Row, **machine: object) -> Results:
    machine = {"cpu": "Xeon", "cores": 4, "load_average": [0.3, 0.2, 0.1], **machine}
    return Results(machine, {"threads": 4, "command": "tvm-bench bench resnet18 --threads 4"}, rows)


def realistic() -> Results:
    rows = []
    for seed, (form, numbers) in enumerate(REALISTIC.items()):
        median, kernels, load, first, peak, imports, size, top1, agreement = numbers
        row = a_row(form, times(median, seed=seed), load_ms=[load] * 10, first_call_ms=[first] * 10)
        row = replace(row, time_evaluator_ms=times(kernels, seed=99) if kernels else None, size_mb=size, top1=top1)
        row = replace(row, top5=top1 + 0.19, images=50_000, argmax_agreement=agreement, cpu_per_wall=[3.9] * 10)
        rows.append(replace(row, peak_rss_mb=[float(peak)] * 10, rss_after_import_mb=[float(imports)] * 10))
    return a_run(*rows)


def constant(value: float, rounds: int = 6, samples: int = 50) -> list[list[float]]:
    return [[value] * samples for _ in range(rounds)]


FAILED = Row("resnet18/fp32-relax", "fp32", "relax", status="failed", error="no LLVM | target [bold]\nTraceback")


def shown(run: Results, width: int = 120) -> str:
    text = io.StringIO()
    table.show(run, Console(file=text, width=width))
    return text.getvalue()


def test_results_survive_the_disk(tmp_path):
    run = replace(realistic(), variants=(*realistic().variants, FAILED))
    results.save(run, tmp_path / "results.json")
    assert results.load(tmp_path / "results.json") == run
    assert json.loads((tmp_path / "results.json").read_text())["schema"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[:-40], "not JSON"),
        (lambda text: "[]", "schema None"),
        (lambda text: text.replace('"schema": 1', '"schema": 7'), "schema 7"),
        (lambda text: text.replace('"machine"', '"engine"'), "'machine'"),
        (lambda text: text.replace('"precision"', '"precission"'), "precission"),
        (lambda text: text.replace("20.0", "NaN", 1), "no positive number"),
        (lambda text: text.replace('"ok"', '"fine"'), "'fine'"),
    ],
)
def test_a_damaged_file_names_itself_and_the_cure(tmp_path, change, words):
    path = tmp_path / "results.json"
    results.save(a_run(a_row("fp32-eager", constant(20.0))), path)
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError) as caught:
        results.load(path)
    assert words in str(caught.value) and str(path) in str(caught.value) and "tvm-bench bench" in str(caught.value)


def test_unlike_numbers_of_rounds_are_refused(tmp_path):
    run = a_run(a_row("fp32-eager", constant(20.0, 6)), a_row("fp32-relay", constant(10.0, 5)))
    results.save(run, tmp_path / "results.json")
    with pytest.raises(UserError, match=r"unlike numbers of rounds \(5, 6\)"):
        results.load(tmp_path / "results.json")


def test_a_missing_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="tvm-bench bench"):
        results.load(tmp_path / "results.json")


def test_a_median_is_that_of_the_rounds_and_its_interval_spans_them():
    estimate = statistics.median([[9.0, 10.0, 11.0], [10.0, 11.0, 99.0], [12.0], [13.0, 13.0], [14.0]])
    assert (estimate.value, estimate.low, estimate.high) == (12.0, 10.0, 14.0)
    assert not statistics.median([[1.0, 1.0]]).excludes(5.0), "one round says nothing about its interval"


def test_about_95_of_100_intervals_cover_the_truth():
    rng = np.random.default_rng(1)
    runs = [statistics.median(rng.normal(50, 2, (12, 1)).tolist()) for _ in range(150)]
    assert 0.88 <= np.mean([run.low <= 50 <= run.high for run in runs]) <= 1.0


def test_rounds_are_paired():
    drift = np.linspace(1, 2, 10)
    slow, fast = [[30 * d] for d in drift], [[20 * d] for d in drift]
    estimate = statistics.ratio(slow, fast)
    assert estimate.low == pytest.approx(1.5) and estimate.high == pytest.approx(1.5)
    with pytest.raises(ValueError, match="pair"):
        statistics.ratio(slow, fast[:-1])


def test_percentiles_take_every_sample():
    assert statistics.percentiles([list(range(1, 51)), list(range(51, 102))]) == {50: 51, 90: 91, 95: 96, 99: 100}


@pytest.mark.parametrize(("right", "count"), [(0, 10), (10, 10), (349, 500), (34_880, 50_000)])
def test_wilson_is_that_of_scipy(right, count):
    expected = binomtest(right, count).proportion_ci(method="wilson")
    estimate = statistics.wilson(right / count, count)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_clear_winner_is_named():
    first = verdict.fastest(a_run(a_row("fp32-eager", times(30)), a_row("int8-relay", times(10, seed=3))))
    assert first.names == ("resnet18/int8-relay",) and not first.tie
    assert first.ratio.value == pytest.approx(3, rel=0.03) and first.ratio.low > 2.9


def test_a_tie_is_called_a_tie():
    run = a_run(*[a_row(form, times(10, seed=seed)) for seed, form in enumerate(("int8-relay", "int8-onnxruntime"))])
    assert set(verdict.fastest(run).names) == {"resnet18/int8-relay", "resnet18/int8-onnxruntime"}
    assert verdict.finding(run).startswith("Tie")


def test_null_failed_and_untimed_variants_do_not_compete():
    untimed = Row("resnet18/int8-eager", "int8", "eager", top1=0.5, images=10)
    run = a_run(a_row("fp32-null", constant(0.01)), FAILED, untimed, a_row("fp32-relay", constant(9.0)))
    assert verdict.fastest(run).names == ("resnet18/fp32-relay",)
    assert verdict.fastest(a_run(FAILED, untimed)) is None


def test_a_quiet_run_has_no_doubts():
    assert verdict.doubts(realistic()) == []


@pytest.mark.parametrize(
    ("row", "machine", "words"),
    [
        (a_row("fp32-eager", constant(10.0, 5) + constant(12.0, 1)), {}, "apart: resnet18/fp32-eager (20%)"),
        (a_row("fp32-eager", constant(10.0)), {"busy_share": 0.55}, "55% of its cores"),
        (a_row("fp32-eager", constant(10.0, 4)), {}, "Only 4 rounds"),
        (a_row("fp32-eager", constant(10.0, 6, 10)), {}, "Fewer than 200 samples"),
        (a_row("fp32-eager", constant(10.0), cpu_per_wall=[3.9, 4.5]), {}, "resnet18/fp32-eager (4.50)"),
    ],
)
def test_each_doubt_is_spoken(row, machine, words):
    (doubt,) = [doubt for doubt in verdict.doubts(a_run(row, **machine)) if words in doubt]
    assert doubt in markdown(a_run(row, **machine), [], None)


def test_the_tables_hold_the_numbers_at_120_columns():
    run = a_run(
        a_row("fp32-eager", constant(20.0), load_ms=[150.0], top1=0.698, top5=0.89, images=1000),
        a_row("int8-relay", constant(8.0), time_evaluator_ms=[[7.5]], peak_rss_mb=[301.0], rss_after_import_mb=[236.0]),
        FAILED,
    )
    text = shown(run)
    for cell in ("20.00 [20.00, 20.00]", "2.50× [2.50, 2.50]", "7.500", "150", "301 (236)", "69.8 % [66.9, 72.6]"):
        assert cell in text and cell in table.markdown(run)
    assert max(map(len, text.splitlines())) <= 120
    assert "resnet18/fp32-relax failed: no LLVM | target [bold]\n" in text and "Traceback" not in text
    assert "| fp32-relax | failed: no LLVM \\| target [bold] |" in table.markdown(run)


def test_long_rows_stay_whole_at_120_columns():
    run = realistic()
    long = replace(run.variants[3], name="resnet18/int8-relay-pytorch-tuned", latency_ms={"rounds": times(123.4)})
    text = shown(replace(run, variants=(*run.variants, long)))
    cells = table.speed_cells(long, replace(run, variants=(*run.variants, long)))
    assert any(all(cell in line for cell in cells) for line in text.splitlines())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.ms(0.01234), "0.0123"),
        (units.ms(1234.5), "1234"),
        (units.percent(0.99998), "99.9 %"),
        (units.points(-0.00424), "−0.42"),
        (units.points(-0.0), "+0.00"),
        (units.times(statistics.Estimate(2.0, float("nan"), float("nan"))), "2.00× [–]"),
        (units.times(statistics.Estimate(1.004, 1.001, 1.0062)), "1.004× [1.001, 1.006]"),
    ],
)
def test_numbers_as_text(text, expected):
    assert text == expected


def test_the_headline_names_the_winner_its_lead_and_its_cost():
    rows = [a_row("fp32-eager", constant(20.0), top1=0.7, images=1000), a_row("int8-relay", constant(8.0))]
    rows[1] = replace(rows[1], top1=0.68, images=1000)
    text = markdown(a_run(*rows), [], None)
    assert "**resnet18/int8-relay is the fastest: resnet18/fp32-eager takes 2.50× [2.50, 2.50] its time.**" in text
    assert "Top-1 of resnet18/int8-relay: 68.0 % [65.0, 70.8], −2.00 percentage points from FP32 eager." in text
    assert "- resnet18/int8-relay: 2.50× [2.50, 2.50] as fast as resnet18/fp32-eager, 8.000 ms" in text


def test_the_report_is_written_with_pictures(tmp_path):
    run = replace(realistic(), variants=(*realistic().variants, FAILED))
    paths = report.write(run, tmp_path)
    text = paths[0].read_text()
    assert [path.name for path in paths] == ["report.md", "latency.png", "memory.png", "size.png", "accuracy.png"]
    for part in ("(plots/latency.png)", "tvm-bench bench resnet18 --threads 4", "failed: no LLVM", "NumPy", "Xeon"):
        assert part in text
    from matplotlib.image import imread

    for path in paths[1:]:
        pixels = imread(path)[..., :3]
        assert pixels.shape[1] > 1200 and 0.01 < np.mean(np.any(pixels < 0.99, axis=-1)) < 0.8


def test_pictures_without_data_are_left_out(tmp_path):
    report.write(realistic(), tmp_path)
    paths = report.write(a_run(FAILED, a_row("fp32-eager", constant(10.0, 1))), tmp_path)
    assert [path.name for path in paths] == ["report.md", "latency.png"]
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["latency.png"]
    assert [path.name for path in report.write(a_run(FAILED), tmp_path)] == ["report.md"]


def test_reporting_needs_neither_torch_nor_tvm():
    code = "import sys, tvm_bench.report.plots, tvm_bench.report.markdown; print({'torch', 'tvm'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
    code = "import sys, tvm_bench.report, tvm_bench.results; print({'numpy', 'matplotlib'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_one_round_names_neither_a_winner_nor_a_tie():
    run = a_run(a_row("fp32-eager", constant(260.0, 1)), a_row("fp32-relay", constant(1.0, 1)))
    assert "nobody is named" in verdict.finding(run)
