"""Who wins, who ties, who may not win, and what would change it."""

from dataclasses import replace

import pytest

from tests.runs import FAILED, a_row, a_run, constant, realistic, scored, times
from tvm_bench.analysis import pareto
from tvm_bench.analysis.quality_warnings import doubts
from tvm_bench.analysis.results import Row
from tvm_bench.analysis.verdict import judge
from tvm_bench.report import summary_text
from tvm_bench.report.markdown_page import markdown
from tvm_bench.spec.constraints import Constraints


def under(run, **limits):
    return replace(run, settings={**run.settings, "limits": Constraints(**limits).given()})


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
    assert summary_text.headline(run) == "Tie for the fastest: resnet18/int8-relay and resnet18/int8-onnxruntime"
    assert "which no number of rounds makes a win" in summary_text.notes(run)[0]
    apart = a_run(a_row("int8-relay", [[10.0], [10.4], [9.8]]), a_row("int8-eager", [[10.6], [10.5], [10.4]]))
    assert "rounds would tell them apart" in " ".join(summary_text.notes(apart))


def test_a_difference_that_nobody_deploys_for_is_a_tie():
    run = a_run(a_row("int8-relay", constant(10.0)), a_row("int8-eager", constant(10.09)))
    assert judge(run).winner is None
    assert judge(a_run(run.variants[0], a_row("int8-eager", constant(10.11)))).winner is run.variants[0]


def test_null_failed_flagged_and_untimed_variants_do_not_compete():
    untimed = Row("resnet18/int8-eager", "int8", "eager", top1=0.5, images=10)
    cheat = a_row("int8-onnxruntime", constant(1.0), flagged="took 1.9 of 1 threads")
    run = a_run(a_row("fp32-null", constant(0.01)), FAILED, untimed, cheat, a_row("fp32-relay", constant(9.0)))
    assert judge(run).winner.name == "resnet18/fp32-relay"
    assert "resnet18/int8-onnxruntime cannot win: took 1.9 of 1 threads." in summary_text.flagged(run)
    assert pareto.front(run) == [run.variants[-1]]
    assert judge(a_run(FAILED, untimed, cheat)).first is None
    assert summary_text.headline(a_run(FAILED, cheat)) == "Nothing was timed that may win"


def test_one_round_names_neither_a_winner_nor_a_tie():
    run = a_run(a_row("fp32-eager", constant(260.0, 1)), a_row("fp32-relay", constant(1.0, 1)))
    assert "nobody is named" in summary_text.headline(run)


@pytest.mark.parametrize(
    ("limits", "winner"),
    [
        ({}, "int8-relay"),
        ({"max_rss": 300}, "int8-relay"),
        ({"max_drop": 1.0}, "int8-onnxruntime"),
        ({"max_drop": 2.0}, "int8-relay"),
        ({"max_drop": 0.5, "max_rss": 200}, "int8-onnxruntime"),
        ({"max_drop": 0.2}, "fp32-relay"),
        ({"p95": 15, "max_drop": 0}, "fp32-relay"),
    ],
)
def test_the_fastest_that_keeps_to_the_limits_wins(limits, winner):
    run = under(deployable(), **limits)
    assert judge(run).winner.name == f"resnet18/{winner}"
    assert summary_text.headline(run).startswith(
        f"Deploy resnet18/{winner}" if limits else f"resnet18/{winner} is the fastest"
    )


def test_the_verdict_says_what_would_change_it():
    run = under(deployable(), max_drop=0.5, max_rss=200)
    assert (
        summary_text.headline(run)
        == "Deploy resnet18/int8-onnxruntime: nothing else keeps to --max-drop 0.5 --max-rss 200"
    )
    text = "\n".join(summary_text.notes(run))
    assert "keeps to limits as tight as --max-drop 0.5 --max-rss 120." in text
    assert "With 1.50 points of drop more (--max-drop 2) and 41 MB more (--max-rss 241): resnet18/int8-relay, " in text
    assert "fp32-relay" not in text, "it is slower: no limit that it breaks matters"
    loose = "\n".join(summary_text.notes(under(deployable(), max_drop=5)))
    assert "Looser limits change nothing" in loose
    # What is raised as the note says is the answer then.
    assert judge(under(deployable(), max_drop=2, max_rss=241)).winner.name == "resnet18/int8-relay"


def test_limits_that_nothing_keeps_to_name_the_nearest():
    run = under(deployable(), max_rss=100)
    assert summary_text.headline(run) == "No variant keeps to --max-rss 100"
    assert [line.split(":")[0] for line in summary_text.notes(run)] == [
        "With 141 MB more (--max-rss 241)",
        "With 20 MB more (--max-rss 120)",
    ]


def test_a_limit_within_an_interval_leaves_the_race_open():
    p95 = 8.25  # between the tails of the rounds of int8-relay
    run = under(deployable(), p95=p95)
    assert judge(run).winner is None and [row.backend for row in judge(run).unclear] == ["relay"]
    assert summary_text.headline(run).startswith("Open")
    assert "may or may not keep to the limits: p95 8." in " ".join(summary_text.notes(run))


def test_accuracy_that_was_not_scored_keeps_to_no_limit():
    run = under(a_run(a_row("fp32-eager", constant(9.0)), a_row("fp32-relay", constant(5.0))), max_drop=1)
    assert summary_text.headline(run) == "No variant keeps to --max-drop 1"
    assert "resnet18/fp32-relay is out: Top-1 drop is unknown (--max-drop 1)." in summary_text.notes(run)


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


def test_only_rows_on_the_same_terms_compete():
    one = deployable()
    four = [
        replace(row, name=f"{row.name}-b4", batch=4, latency_ms={"rounds": times(2, seed=9)}) for row in one.variants
    ]
    both = a_run(*four, *one.variants)
    assert summary_text.headline(summary_text.races(both)[0]) == summary_text.headline(one)
    (line,) = summary_text.sweeps(both)
    assert line.startswith("Batch 4, 4 threads: Tie for the fastest: resnet18/")


def test_a_quiet_run_has_no_doubts():
    assert doubts(realistic()) == []


@pytest.mark.parametrize(
    ("row", "machine", "text"),
    [
        (a_row("fp32-eager", constant(10.0, 5) + constant(12.0, 1)), {}, "apart: resnet18/fp32-eager (20%)"),
        (a_row("fp32-eager", constant(10.0)), {"busy_share": 0.55}, "55% of its cores"),
        (a_row("fp32-eager", constant(10.0, 4)), {}, "Only 4 rounds"),
        (a_row("fp32-eager", constant(10.0, 6, 10)), {}, "Fewer than 200 samples"),
        (a_row("fp32-eager", constant(10.0), watch=[{"disturbance": "x took 9 %"}]), {}, "fp32-eager (1: x took 9 %)"),
        (a_row("fp32-eager", constant(10.0), disturbed=2), {}, "repeated: resnet18/fp32-eager (2)"),
    ],
)
def test_each_doubt_is_spoken(row, machine, text):
    (doubt,) = [doubt for doubt in doubts(a_run(row, **machine)) if text in doubt]
    assert doubt in markdown(a_run(row, **machine), [], None)
