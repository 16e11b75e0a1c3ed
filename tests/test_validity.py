"""The validity limits of a race, and the counters that they apply to."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tests import cores
from tvm_bench.analysis.results import Row
from tvm_bench.analysis.validity import ValidityLimits, disturbance, judged, most_repeats, overuse, wrong_answers
from tvm_bench.data import synthetic
from tvm_bench.host import cpu, deployment_size, interference
from tvm_bench.measure import metrics, timed_inputs
from tvm_bench.spec.tensors import image_input

TERMS = ValidityLimits()


def work(seconds):
    """Use so much CPU time of this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(1000))


def quiet(**more):
    return {"seconds": 1.0, "others_share": 0.02, "steal_share": 0.0, **more}


def test_what_disturbs_a_round():
    assert disturbance(quiet(), 2, TERMS) is None
    assert disturbance(quiet(others_share=None, steal_share=None), 2, TERMS) is None
    assert disturbance(quiet(others_share=0.2), 2, TERMS) == "other programs took 20% of the CPU time of 2 threads"
    assert "hypervisor" in disturbance(quiet(steal_share=0.04), 2, TERMS)
    assert disturbance(quiet(others_share=0.2, seconds=0.05), 2, TERMS) is None, "one tick in a short round"
    assert most_repeats(35, TERMS) == 18


def test_who_takes_more_than_its_share():
    fair = {"cpu_per_wall": 2.0, "working_threads": 2, "watch": quiet()}
    assert overuse(fair, 2, TERMS) is None
    assert "2.00 CPU seconds per second on a budget of 1 thread" in overuse(fair, 1, TERMS)
    assert "computed with 3 threads" in overuse({**fair, "working_threads": 3}, 2, TERMS)


def test_threads_that_work_are_counted_and_those_that_sleep_are_not():
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait), threading.Thread(target=lambda: work(0.2))]
    before = interference.read()
    for thread in threads:
        thread.start()
    work(0.2)
    alive = interference.read()
    threads[1].join()
    ended = interference.read()
    stop.set()
    assert interference.working_threads(before, alive) == interference.working_threads(before, ended) == 2
    work(0.05)
    assert interference.working_threads(ended, interference.read()) == 1


def test_other_programs_are_seen():
    hog = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.2)
        before = interference.read()
        work(0.3)
        found = interference.between(before, interference.read(), threads=1)
    finally:
        hog.kill()
    assert found["others_share"] > 0.2 and disturbance(found, 1, TERMS)
    assert found["cpus"] == sorted(os.sched_getaffinity(0)) and found["involuntary_switches"] >= 0


def test_the_mask_holds_as_many_cpus_as_threads():
    allowed = sorted(os.sched_getaffinity(0))
    assert cpu.mask(len(allowed)) is None
    if len(allowed) > 1:
        assert cores.first_cpus(1) == allowed[:1] and len(cpu.mask(1)) == 1


def test_inputs_of_the_timed_calls_are_unlike():
    specs = [image_input((3, 8, 8), batch=2)]
    windows = timed_inputs.windows(specs, synthetic.arrays(specs, timed_inputs.needed(specs)))
    inputs = [arrays for (arrays,) in windows]
    assert len(inputs) == timed_inputs.INPUTS and all(
        each.shape == (2, 3, 8, 8) and each.flags.c_contiguous for each in inputs
    )
    assert not any(np.array_equal(inputs[0], other) for other in inputs[1:])


def test_wrong_calls_are_counted():
    expected = np.random.default_rng(1).standard_normal((timed_inputs.INPUTS, 20)).astype(np.float32)
    answers = np.concatenate([expected, expected]) * 1.0001
    assert timed_inputs.wrong_calls([answers], [expected]) == 0
    stale = answers.copy()
    stale[4:] = stale[3]
    assert timed_inputs.wrong_calls([stale], [expected]) == 3, "call 7 has the input of call 3 again"
    answers[5, 0] = np.nan
    assert timed_inputs.wrong_calls([answers], [expected]) == 1


def row(precision, **more):
    return Row("m/x", precision, "x", **more)


@pytest.mark.parametrize(
    ("precision", "error", "flagged"),
    [("fp32", 1e-5, False), ("fp32", 1e-2, True), ("int8", 0.03, False), ("int8", 0.3, False)],
)
def test_honest_differences_pass_and_one_image_of_another_does_not(precision, error, flagged):
    random = np.random.default_rng(0)
    reference = random.standard_normal((200, 10)).astype(np.float32)
    logits = reference * (1 + error * random.standard_normal((200, 10)).astype(np.float32))
    found = metrics.distances(logits, reference)
    assert bool(wrong_answers(row(precision, distances={"reference": found}), TERMS)) == flagged
    logits[[57, 157]] = reference[[58, 158]]
    assert (found := metrics.distances(logits, reference))["worst"] > 1
    swapped = wrong_answers(row(precision, distances={"reference": found}), TERMS)
    assert bool(swapped) == (error < 0.3), "where all images lie far off, one cannot be told from the others"


def test_a_library_that_disagrees_with_its_source_is_flagged():
    near = {"images": 2000, "median": 0.01, "worst": 0.1, "spread": 1.0}
    distances = {"reference": near, "source": near}
    assert wrong_answers(row("int8", distances=distances, source_argmax_agreement=0.97), TERMS) is None
    assert "96.0%" in wrong_answers(row("int8", distances=distances, source_argmax_agreement=0.96), TERMS)
    few = {"reference": near, "source": {**near, "images": 50}}
    assert wrong_answers(row("int8", distances=few, source_argmax_agreement=0.96), TERMS) is None, "48 of 50 say little"
    apart = {"reference": near, "source": {**near, "median": 0.05}}
    assert wrong_answers(row("int8", distances=apart, source_argmax_agreement=0.92), TERMS) is None, "classes are close"


def test_a_library_whose_layers_were_compared_needs_no_share_of_equal_classes():
    """Rounding decides the classes of a deep network with random weights: 70 % may be as near as its source comes."""
    distance = {"images": 200, "median": 0.12, "worst": 0.3, "spread": 1.0}
    compared = {"source_argmax_agreement": 0.7, "layers": {"count": 50, "wrong": 0, "first": None}}
    distances = {"reference": distance, "source": distance, "itself": {**distance, "median": 0.1}}
    assert wrong_answers(row("int8", distances=distances, **compared), TERMS) is None
    apart = {**distances, "itself": {**distance, "median": 0.05}}
    assert "to itself is 0.05" in wrong_answers(row("int8", distances=apart, **compared), TERMS)
    compared["layers"] = {"count": 50, "wrong": 2, "first": "features.3"}
    assert "2 of 50 layers" in wrong_answers(row("int8", distances=distances, **compared), TERMS)


def varied(count=200, classes=10, seed=0):
    return np.random.default_rng(seed).standard_normal((count, classes)).astype(np.float32)


def compared(precision, answers, scores):
    """The verdict on `answers` where the scores are of the reference, or of the source of INT8."""
    against = "reference" if precision == "fp32" else "source"
    return wrong_answers(row(precision, distances={against: metrics.distances(answers, scores)}), TERMS)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("common", [0.0, 10.0])
def test_a_constant_answer_is_wrong_however_long_the_scores_are(precision, common):
    """What all images have in common makes scores long; it must not make a distance small."""
    scores = varied() + common
    assert compared(precision, scores * (1 + 1e-7), scores) is None
    for constant in (scores.mean(axis=0), np.median(scores, axis=0), scores[0]):
        assert "limit 0." in compared(precision, np.tile(constant, (200, 1)), scores)


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (np.ones((50, 10)), "vary by only 0 "),
        (np.zeros((50, 10)), "vary by only 0 "),
        (1 + 1e-7 * varied(50), "vary by only"),
        (varied(1), "vary by only 0 "),
        (np.full((50, 10), np.nan), "vary by only nan "),
    ],
    ids=["equal", "zero", "within rounding", "one image", "nan"],
)
def test_scores_that_do_not_vary_cannot_be_compared_with(scores, says):
    for precision in ("fp32", "int8"):
        reason = compared(precision, scores.copy(), scores)
        assert reason.startswith("answers cannot be checked") and says in reason


def test_int8_needs_more_variation_than_fp32():
    scores = 1 + 0.01 * varied()
    assert compared("fp32", scores, scores) is None
    assert "cannot be checked" in compared("int8", scores, scores)
    assert compared("fp32", scores * np.float32(1 + 2e-6), scores) is None, "a rounding of long scores"


def test_an_agreement_that_says_nothing_is_not_shown():
    alike = np.tile(np.arange(10.0), (50, 1))
    assert metrics.agreement(alike, alike)["argmax_agreement"] is None, "one class for all"
    assert metrics.agreement(varied(), varied())["argmax_agreement"] == 1
    distances = {"reference": metrics.distances(alike, alike), "source": metrics.distances(varied(), varied())}
    shown = judged(row("int8", distances=distances, argmax_agreement=1.0, source_argmax_agreement=1.0), TERMS, {})
    assert (shown.argmax_agreement, shown.source_argmax_agreement, shown.flagged) == (None, 1.0, None)


def test_answers_that_nothing_was_compared_with_are_not_right():
    near = {"images": 50, "median": 0.0, "worst": 0.0, "spread": 1.0}
    failures = {"reference": "m/fp32-eager failed: out of memory."}
    assert wrong_answers(row("fp32", distances={"source": near}), TERMS, failures) == (
        "answers not checked: m/fp32-eager failed: out of memory"
    )
    assert wrong_answers(row("int8", distances={"source": near}), TERMS, failures) is None, "its source is there"
    failures = {"source": "m/int8-onnxruntime failed: crashed"}
    assert "int8-onnxruntime" in wrong_answers(row("int8", distances={"reference": near}), TERMS, failures)
    assert wrong_answers(row("fp32", distances={"reference": near}), TERMS, failures) is None
    assert "not checked" in wrong_answers(row("fp32"), TERMS)


def test_an_image_without_scores_is_not_infinitely_far():
    reference = np.random.default_rng(0).choice([-1, 1], (9, 10)) + np.linspace(0, 1e-4, 90).reshape(9, 10)
    reference[4] = np.median(reference, axis=0)
    answers = reference.copy()
    answers[4] += 1e-3
    assert 0 < metrics.distances(answers, reference)["worst"] < 2e-3


@pytest.mark.parametrize("levels", [range(-4, 5), range(-4, 5, 2), (-4, -3, -1, 0, 1, 2, 3, 4)])
def test_one_step_of_a_quantized_image_is_a_rounding_and_another_image_is_not(levels):
    """Whichever levels of the quantized scores happen to occur."""
    source = 5.0 * np.random.default_rng(0).choice(list(levels), (200, 10))
    source[7] = 5.0 * np.eye(10)[3]
    answers = source.copy()
    answers[7] = 0
    assert compared("int8", answers, source) is None
    answers[7] = source[8]
    assert "worst image" in compared("int8", answers, source)


def test_nan_is_wrong():
    found = {"images": 10, "median": 0.0, "worst": float("nan"), "spread": 1.0}
    assert wrong_answers(row("fp32", distances={"reference": found}), TERMS)
    assert wrong_answers(row("int8", distances={"reference": found}), TERMS)


def test_hits_name_the_images():
    logits = np.eye(10, dtype=np.float32)[[0, 1, 2, 3, 4, 5, 6, 7, 8, 0]]
    hits = metrics.scores(logits, np.arange(10))["hits"]
    assert np.unpackbits(np.frombuffer(bytes.fromhex(hits), np.uint8), count=10).tolist() == [1] * 9 + [0]


def test_what_must_be_shipped():
    assert deployment_size.runtime_mb("eager-channels-last") == deployment_size.runtime_mb("eager") > 100
    assert 1 < deployment_size.runtime_mb("relay-stock") < 50 < deployment_size.runtime_mb("eager")
    assert deployment_size.runtime_mb("null") is None
