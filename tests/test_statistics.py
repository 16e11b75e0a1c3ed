"""Every statistic against a value that somebody else computed, by hand, or by simulation."""

import math
from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from tests.runs import a_row, a_run, constant, scored
from tvm_bench.analysis import accuracy, statistics, verdict


def logarithms(values):
    return [[math.exp(value)] for value in values]


def test_a_latency_is_the_mean_of_the_rounds_medians_with_students_interval():
    estimate = statistics.mean_latency([[1.0, 2.0, 99.0], [4.0], [8.0, 8.0]])
    half = 4.302653 * math.log(2) / math.sqrt(3)  # the logarithms are log 2 apart; Student's t from a table
    assert estimate.value == pytest.approx(4.0)
    assert (estimate.low, estimate.high) == pytest.approx((4 * math.exp(-half), 4 * math.exp(half)))
    assert math.isnan(statistics.mean_latency([[1.0, 1.0]]).low), "one round says nothing about its interval"


def test_about_95_of_100_intervals_cover_the_truth():
    rng = np.random.default_rng(1)
    runs = [statistics.mean_latency(rng.normal(50, 2, (5, 1)).tolist()) for _ in range(2000)]
    assert 0.94 <= np.mean([run.low <= 50 <= run.high for run in runs]) <= 0.965


def test_a_ratio_is_the_quotient_of_the_latencies():
    rng = np.random.default_rng(2)
    rounds, other = (rng.gamma(3, 5, (5, 9)).tolist() for _ in range(2))
    quotient = statistics.mean_latency(rounds).value / statistics.mean_latency(other).value
    assert statistics.ratio(rounds, other).value == pytest.approx(quotient)


def test_a_ratio_has_students_interval_of_the_logarithms():
    found = statistics.ratio(logarithms([0.1, 0.2, 0.3]), constant(1.0, 3))
    half = 4.302653 * 0.1 / math.sqrt(3)  # Student's t for 95 % and 2 degrees of freedom, from a table
    assert (found.value, found.low, found.high) == pytest.approx([math.exp(0.2 + d) for d in (0, -half, half)])
    assert math.isnan(statistics.ratio([[2.0]], [[1.0]]).low)


def test_rounds_are_paired():
    drift = np.linspace(1, 2, 10)
    slow, fast = [[30 * d] for d in drift], [[20 * d] for d in drift]
    estimate = statistics.ratio(slow, fast)
    assert estimate.low == pytest.approx(1.5) and estimate.high == pytest.approx(1.5)
    with pytest.raises(ValueError, match="pair"):
        statistics.ratio(slow, fast[:-1])


def test_a_change_between_runs_has_welchs_interval():
    new, old = [2.1, 2.3, 2.2, 2.4], [2.0, 2.05, 1.95, 2.1, 2.0]
    found = statistics.change(logarithms(new), logarithms(old))
    variances = [np.var(each, ddof=1) / len(each) for each in (new, old)]
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 3 + variances[1] ** 2 / 4)
    half = stats.t.ppf(0.995, freedom) * math.sqrt(sum(variances))
    middle = np.mean(new) - np.mean(old)
    assert (found.low, found.high) == pytest.approx((math.exp(middle - half), math.exp(middle + half)))
    assert astuple(statistics.change(constant(3.0), constant(2.0))) == pytest.approx((1.5, 1.5, 1.5))


def test_percentiles_take_every_sample():
    assert statistics.percentiles([list(range(1, 51)), list(range(51, 102))]) == {50: 51, 90: 91, 95: 96, 99: 100}
    tail = statistics.tail([list(range(1, 101))] * 5)
    assert tail.value == tail.low == tail.high == pytest.approx(95.05, abs=0.2)
    assert statistics.tail([[1.0] * 20, [1.0] * 20, [9.0] * 20]).high == 9


def noisy(rng, level, rounds=5, tails=False):
    """Medians of rounds that differ by 2 % from each other, some of them by far more."""
    noise = 0.02 * (rng.standard_t(3, rounds) if tails else rng.standard_normal(rounds))
    return level * np.exp(noise)


def race(rng, levels, **how):
    drift = np.exp(0.05 * rng.standard_normal(5))
    forms = ("int8-relay", "int8-onnxruntime", "int8-eager", "fp32-relay")
    rounds = [(noisy(rng, level, **how) * drift)[:, None].tolist() for level in levels]
    return a_run(*(a_row(form, each) for form, each in zip(forms, rounds, strict=False)))


@pytest.mark.parametrize("tails", [False, True])
@pytest.mark.parametrize("entrants", [2, 4])
def test_of_a_hundred_races_between_equals_hardly_one_has_a_winner(entrants, tails):
    rng = np.random.default_rng(entrants)
    wins = [verdict.judge(race(rng, [10.0] * entrants, tails=tails)).winner is not None for _ in range(500)]
    assert np.mean(wins) <= 0.02, "so that 20 A/A races have 19 ties with a probability above 0.94"


def test_two_races_do_not_contradict_each_other():
    rng = np.random.default_rng(7)
    for _ in range(200):
        winners = {found.name for _ in range(2) if (found := verdict.judge(race(rng, [10.0, 10.05, 10.1])).winner)}
        assert len(winners) <= 1


def test_a_real_lead_is_seen_in_five_rounds():
    rng = np.random.default_rng(3)
    wins = [verdict.judge(race(rng, [10.0, 12.0])).winner for _ in range(200)]
    assert np.mean([win is not None and win.backend == "relay" for win in wins]) > 0.9


def test_student_covers_95_of_100_with_five_rounds():
    rng = np.random.default_rng(11)
    found = [
        statistics.ratio(noisy(rng, 11.0)[:, None].tolist(), noisy(rng, 10.0)[:, None].tolist()) for _ in range(2000)
    ]
    assert 0.94 <= np.mean([each.low <= 1.1 <= each.high for each in found]) <= 0.965


def test_rounds_to_tell_have_the_power_that_they_promise():
    """An effect of one standard deviation at 99 % needs 16 rounds for 80 % power; 15 have 79.7 %."""
    spread = np.array([-1.0, -1.0, 0.0, 1.0, 1.0])  # of standard deviation 1
    slower = logarithms(math.log1p(statistics.RELEVANT) + 0.03 * (1 + spread))
    count = statistics.rounds_to_tell(slower, constant(1.0, 5))
    assert count == 16
    rng = np.random.default_rng(0)
    samples = rng.normal(1, 1, (20_000, count))
    t = samples.mean(1) / samples.std(1, ddof=1) * math.sqrt(count)
    assert 0.79 < np.mean(t > stats.t.ppf(0.995, count - 1)) < 0.84


def test_no_number_of_rounds_is_promised_where_none_helps():
    assert statistics.rounds_to_tell(logarithms([0.001, 0.004, -0.002]), constant(1.0, 3)) is None
    assert statistics.rounds_to_tell(logarithms([0.5, -0.4, 0.0]), constant(1.0, 3)) is None
    assert statistics.rounds_to_tell([[2.0]], [[1.0]]) is None
    assert statistics.rounds_to_tell(constant(2.0), constant(1.0)) == 2


@pytest.mark.parametrize(("right", "count"), [(0, 10), (10, 10), (349, 500), (34_880, 50_000)])
def test_wilson_is_that_of_scipy(right, count):
    expected = stats.binomtest(right, count).proportion_ci(method="wilson")
    estimate = accuracy.wilson(right / count, count)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_mcnemar_on_the_example_of_its_source():
    """Airway responses of 21 children, 1 and 7 discordant: Fagerland, Lydersen and Laake (2013), mid-p 0.039."""
    pair = accuracy.Pair(1, 7, 21)
    assert pair.p == pytest.approx(0.0390625) and not pair.differ
    assert pair.p == pytest.approx(stats.binomtest(1, 8).pvalue - stats.binom.pmf(1, 8, 0.5))
    # By hand: 2/23 - 8/23, and 1.96 times the root of (10/23 - (6/23)^2) / 23.
    assert (pair.difference.low, pair.difference.high) == pytest.approx((-0.5083, -0.0134), abs=2e-4)
    assert accuracy.Pair(0, 0, 100).p == 1 and accuracy.Pair(4, 4, 100).p == 1
    assert accuracy.Pair(0, 12, 100).differ


def test_pairs_are_counted_on_the_same_images():
    one, two = a_row("fp32-eager", constant(9.0)), a_row("int8-relay", constant(5.0))
    found = accuracy.pair(scored(one, range(10, 13), 21), scored(two, range(12, 17), 21))
    assert (found.only_first, found.only_second, found.images) == (2, 4, 21)
    lost = accuracy.drop(scored(two, range(0, 690)), scored(one, range(0, 700)))
    assert lost.value == pytest.approx(1.0) and 0 < lost.low < 1 < lost.high
    assert accuracy.pair(scored(one, [1], 21), scored(two, [1], 22)) is None
    assert accuracy.pair(one, scored(two, [1])) is None
