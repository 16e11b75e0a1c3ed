"""Who wins, who ties, who may not win, and what would change it."""

import io
from dataclasses import replace

import markupsafe
import pytest
from rich.console import Console

from tests.runs import FAILED, a_row, a_run, constant, realistic, scored, times
from tvm_bench.analysis import pareto
from tvm_bench.analysis.constraint_checks import requested
from tvm_bench.analysis.names import shortened
from tvm_bench.analysis.quality_warnings import quality_warnings
from tvm_bench.analysis.results import Row
from tvm_bench.analysis.statistics import mean_latency
from tvm_bench.analysis.verdict import Outcome, judge, verdicts
from tvm_bench.report import summary_text, verdict_notes
from tvm_bench.report.content import content
from tvm_bench.report.html_page import html
from tvm_bench.report.markdown_page import markdown
from tvm_bench.report.summary_text import Kind, summarize
from tvm_bench.spec.constraints import Constraints


def under(run, **constraints):
    return replace(run, settings={**run.settings, "limits": Constraints(**constraints).given()})


def headline(run):
    return summary_text.headline(judge(run))


def notes(run):
    return verdict_notes.notes(judge(run))


def lines(run, kind):
    """The lines of a section of the summary; none where it is left out."""
    return [line for section in summarize(run).sections if section.kind is kind for line in section.lines]


def deployable():
    """Fastest first: each variant pays for its speed with memory and accuracy."""
    return a_run(
        scored(a_row("fp32-eager", times(20, seed=1), peak_rss_mb=[399.0, 401.0], size_mb=45.0), range(700)),
        scored(a_row("int8-relay", times(8, seed=2), peak_rss_mb=[239.5, 240.5], size_mb=12.0), range(680)),
        scored(a_row("int8-onnxruntime", times(10, seed=3), peak_rss_mb=[119.0, 120.0], size_mb=11.0), range(695)),
        scored(a_row("fp32-relay", times(14, seed=4), peak_rss_mb=[340.0, 341.0], size_mb=73.0), range(700)),
    )


def test_a_clear_winner_is_named():
    found = judge(a_run(a_row("fp32-eager", times(30)), a_row("int8-relay", times(10, seed=3))))
    assert found.winner.name == "resnet18/int8-relay"
    assert found.ratios["resnet18/fp32-eager"].value == pytest.approx(3, rel=0.03)
    assert found.ratios["resnet18/fp32-eager"].low > 2.9


def test_a_tie_is_called_a_tie_and_says_how_many_rounds_would_end_it():
    run = a_run(*[a_row(form, times(10, seed=seed)) for seed, form in enumerate(("int8-relay", "int8-onnxruntime"))])
    assert judge(run).winner is None and len(judge(run).level) == 1
    assert headline(run) == "Tie for the fastest: resnet18/int8-relay and resnet18/int8-onnxruntime"
    assert "which no number of rounds makes a win" in notes(run)[0]
    apart = a_run(a_row("int8-relay", [[10.0], [10.4], [9.8]]), a_row("int8-eager", [[10.6], [10.5], [10.4]]))
    assert "rounds would show it" in " ".join(notes(apart))


def test_a_difference_that_nobody_deploys_for_is_a_tie():
    run = a_run(a_row("int8-relay", constant(10.0)), a_row("int8-eager", constant(10.09)))
    assert judge(run).winner is None
    assert judge(a_run(run.variants[0], a_row("int8-eager", constant(10.11)))).winner is run.variants[0]


def test_null_failed_flagged_and_untimed_variants_do_not_compete():
    untimed = Row("resnet18/int8-eager", "int8", "eager", top1=0.5, images=10)
    cheat = a_row("int8-onnxruntime", constant(1.0), flagged="took 1.9 of 1 threads")
    run = a_run(a_row("fp32-null", constant(0.01)), FAILED, untimed, cheat, a_row("fp32-relay", constant(9.0)))
    assert judge(run).winner.name == "resnet18/fp32-relay"
    assert "int8-onnxruntime cannot win: took 1.9 of 1 threads." in lines(run, Kind.FLAGGED)
    assert pareto.front(run) == [run.variants[-1]]
    assert judge(a_run(FAILED, untimed, cheat)).first is None
    assert headline(a_run(FAILED, cheat)) == "No eligible variant was timed"


def test_one_round_names_neither_a_winner_nor_a_tie():
    run = a_run(a_row("fp32-eager", constant(260.0, 1)), a_row("fp32-relay", constant(1.0, 1)))
    assert headline(run) == "At least two rounds are needed to rank variants"


@pytest.mark.parametrize(
    ("constraints", "winner"),
    [
        ({}, "int8-relay"),
        ({"max_rss": 300}, "int8-relay"),
        ({"max_drop": 1.0}, "int8-onnxruntime"),
        ({"max_drop": 2.0}, "int8-relay"),
        ({"max_drop": 0.5, "max_rss": 200}, "int8-onnxruntime"),
        ({"max_drop": 0.2}, "fp32-relay"),
        ({"max_p95": 15, "max_drop": 0}, "fp32-relay"),
    ],
)
def test_the_fastest_that_meets_the_constraints_wins(constraints, winner):
    run = under(deployable(), **constraints)
    assert judge(run).winner.name == f"resnet18/{winner}"
    assert headline(run).startswith(f"Deploy resnet18/{winner}" if constraints else f"resnet18/{winner} is the fastest")


def test_the_verdict_says_what_would_change_it():
    run = under(deployable(), max_drop=0.5, max_rss=200)
    assert headline(run) == "Deploy resnet18/int8-onnxruntime: no other variant meets --max-drop 0.5 --max-rss 200"
    text = "\n".join(notes(run))
    assert "also meets --max-drop 0.5 --max-rss 120." in text
    assert "With 1.50 points of drop more (--max-drop 2) and 41 MB more (--max-rss 241): resnet18/int8-relay, " in text
    assert "fp32-relay" not in text, "it is slower: no constraint that it breaks matters"
    loose = "\n".join(notes(under(deployable(), max_drop=5)))
    assert "Looser constraints change nothing" in loose
    # What is raised as the note says is the answer then.
    assert judge(under(deployable(), max_drop=2, max_rss=241)).winner.name == "resnet18/int8-relay"


def test_constraints_that_nothing_meets_name_the_nearest():
    run = under(deployable(), max_rss=100)
    assert headline(run) == "No variant meets --max-rss 100"
    assert [line.split(":")[0] for line in notes(run)] == [
        "With 141 MB more (--max-rss 241)",
        "With 20 MB more (--max-rss 120)",
    ]


def test_a_limit_of_an_older_file_is_read():
    results = deployable()
    old = replace(results, settings={**results.settings, "limits": {"p95": 15.0}})
    assert requested(old) == Constraints(max_p95=15.0)


def test_a_constraint_within_an_interval_leaves_the_race_open():
    p95 = 8.25  # between the tails of the rounds of int8-relay
    run = under(deployable(), max_p95=p95)
    assert judge(run).winner is None and [row.backend for row in judge(run).unclear] == ["relay"]
    assert headline(run).startswith("Open")
    assert "may or may not meet the constraints: p95 8." in " ".join(notes(run))


def test_accuracy_that_was_not_scored_meets_no_constraint():
    run = under(a_run(a_row("fp32-eager", constant(9.0)), a_row("fp32-relay", constant(5.0))), max_drop=1)
    assert headline(run) == "No variant meets --max-drop 1"
    assert "resnet18/fp32-relay is out: Top-1 drop is unknown (--max-drop 1)." in notes(run)


def test_the_pareto_front_keeps_what_nothing_dominates():
    eager, relay, onnx, fp32 = deployable().variants
    assert [row.name.split("/")[1] for row in pareto.front(deployable())] == ["int8-relay", "int8-onnxruntime"]
    run = a_run(eager, relay, scored(onnx, range(660)), fp32)  # less accurate beyond doubt: it dominates FP32 no more
    assert [row.name.split("/")[1] for row in pareto.front(run)] == [
        "fp32-eager", "int8-relay", "int8-onnxruntime", "fp32-relay",
    ]  # fmt: skip
    waste = scored(a_row("fp32-onnxruntime", times(16), peak_rss_mb=[350.0], size_mb=80.0), range(690))
    assert waste not in pareto.front(a_run(*run.variants, waste))
    assert (
        summary_text.front(run)[0].startswith("resnet18/int8-relay: 8.0")
        and "(best in latency)" in summary_text.front(run)[0]
    )
    assert "(best in memory and size)" in summary_text.front(run)[1]


def test_no_variant_falls_from_the_front_to_one_that_falls_itself():
    """`fast` is level with `middle`, and that with `small`: each is a little smaller. `fast` is faster than `small`."""
    fast = a_row("int8-relay", [[10.0], [10.0], [10.0], [10.0], [10.0]], size_mb=14.0)
    middle = a_row("int8-eager", [[10.2], [10.9], [10.4], [12.0], [10.2]], size_mb=13.0)
    small = a_row("int8-onnxruntime", [[11.0], [11.1], [11.0], [11.1], [11.0]], size_mb=12.0)
    assert pareto.dominates(middle, fast) and pareto.dominates(small, middle) and not pareto.dominates(small, fast)
    assert pareto.front(a_run(fast, middle, small)) == [fast, small]


def test_only_rows_of_the_same_batch_size_and_thread_count_compete():
    one = deployable()
    four = [
        replace(row, name=f"{row.name}-b4", batch=4, latency_ms={"rounds": times(2, seed=9)}) for row in one.variants
    ]
    both = a_run(*four, *one.variants)
    assert summary_text.headline(verdicts(both)[0]) == headline(one)
    (line,) = lines(both, Kind.SWEEP)
    assert line.startswith("Batch size 4, 4 threads: Tie for the fastest: ")


def test_a_race_without_tuned_variants_says_how_to_tune():
    run = realistic()
    (line,) = [line for line in lines(run, Kind.NOTES) if "tune" in line]
    assert line.startswith("Relay is not tuned for this CPU: `tvm-bench tune MODEL --tuner templates`")
    tuned = replace(run.variants[2], name="resnet18/fp32-relay-tuned", tuned=True)
    skipped = replace(tuned, status="skipped", error="its tuning records are for another CPU", latency_ms=None)
    eager = a_run(*run.variants[:2])
    for other in (a_run(*run.variants, tuned), a_run(*run.variants, skipped), eager):
        assert not any("not tuned" in line for line in lines(other, Kind.NOTES))


def test_a_quiet_run_has_no_quality_warning():
    assert quality_warnings(realistic()) == []


@pytest.mark.parametrize(
    ("row", "machine", "text"),
    [
        (a_row("fp32-eager", constant(10.0, 5) + constant(12.0, 1)), {}, "apart: fp32-eager (20%)"),
        (a_row("fp32-eager", constant(10.0)), {"busy_share": 0.55}, "used 55% of the CPUs"),
        (a_row("fp32-eager", constant(10.0, 4)), {}, "Only 4 rounds"),
        (a_row("fp32-eager", constant(10.0, 6, 10)), {}, "Fewer than 200 samples"),
        (a_row("fp32-eager", constant(10.0), watch=[{"disturbance": "x took 9 %"}]), {}, "fp32-eager (1: x took 9 %)"),
        (a_row("fp32-eager", constant(10.0), disturbed=2), {}, "repeated: fp32-eager (2)"),
        (a_row("int8-relay", constant(10.0), layers_missing="conv."), {}, "not its layers: int8-relay (conv)"),
        (a_row("fp32-eager", constant(10.0, 5) + constant(14.0, 1)), {}, "round 6 of fp32-eager (1.40×"),
    ],
)
def test_each_quality_warning_reaches_every_page(row, machine, text):
    run = a_run(row, **machine)
    (warning,) = [line for line in quality_warnings(shortened(run)) if text in line]
    assert warning in markdown(content(run), [], None) and html_text(warning) in html(content(run))
    terminal = io.StringIO()
    summary_text.show(summarize(run), Console(file=terminal, width=400))
    said = terminal.getvalue()
    assert warning in said and said.index("Quality warnings:") > said.index("only eligible variant")


def html_text(line):
    return str(markupsafe.escape(line))


def test_a_partial_race_is_a_quality_warning():
    run = a_run(a_row("fp32-eager", constant(10.0, 2)))
    settings = {**run.settings, "rounds": 5, "finished_rounds": 2}
    assert not run.partial and not any("partial" in line for line in quality_warnings(run))
    assert quality_warnings(replace(run, settings=settings))[0].startswith("The race is partial: only 2 of 5 rounds")


def test_a_round_that_is_far_off_is_named_and_the_ratio_follows_from_the_latencies():
    slow, even = [[value] * 50 for value in (48.0, 49.0, 48.0, 50.0, 90.0)], constant(50.0, 5)
    run = a_run(a_row("fp32-relay", slow), a_row("fp32-openvino", even))
    (warning,) = [line for line in quality_warnings(run) if "Outlier" in line]
    assert "round 5 of resnet18/fp32-relay (1.86× the median of its other rounds)" in warning
    assert "openvino" not in warning
    found = judge(run)
    latency = {row.backend: mean_latency(row.rounds).value for row in run.variants}
    assert found.first.backend == "openvino" and found.outcome is Outcome.TIE
    assert found.ratios["resnet18/fp32-relay"].value == pytest.approx(latency["relay"] / latency["openvino"])
    assert latency["relay"] > latency["openvino"], "the ratio above 1 belongs to the larger number"
