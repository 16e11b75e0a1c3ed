"""Which build of a model is used: a candidate replaces the default schedules only if it is faster beyond the noise."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tvm
from tvm import relay

from tvm_bench.backends import _ratios
from tvm_bench.backends._ratios import Ratio
from tvm_bench.backends.relay import compiler, kernels, profile, selection, target, timing
from tvm_bench.backends.relay.kernels import KernelInfo
from tvm_bench.backends.relay.records import templates
from tvm_bench.spec.schedule_source import DEFAULT, KEPT, TUNED

NOISE = np.random.default_rng(0)


def test_noise_is_no_gain():
    same = 10 + NOISE.normal(0, 0.3, (2, timing.TURNS))
    assert not _ratios.ratio(*same).is_faster


def test_a_paired_gain_is_seen_through_drift_and_outliers():
    drift = np.linspace(10, 14, timing.TURNS)
    faster = drift * (0.97 + NOISE.normal(0, 0.005, timing.TURNS))
    faster[3] *= 5
    ratio = _ratios.ratio(faster, drift)
    assert ratio.is_faster and ratio.low < 0.97 < ratio.high


def test_too_few_pairs_decide_nothing():
    assert not _ratios.ratio(np.ones(4), np.full(4, 2.0)).is_faster


def test_the_winner_is_faster_beyond_the_noise():
    tie, faster, fastest = Ratio(0.9, 0.95, 1.01), Ratio(0.96, 0.97, 0.98), Ratio(0.93, 0.96, 0.99)
    assert _ratios.select({"templates": tie}) == "default"
    assert _ratios.select({"templates": tie, "metaschedule": faster}) == "metaschedule"
    assert _ratios.select({"templates": faster, "metaschedule": fastest}) == "metaschedule"
    assert _ratios.select({}) == "default"


@pytest.fixture(scope="module")
def convolution(tmp_path_factory):
    """A model of one convolution, its target, its build by default schedules, and a record of another schedule."""
    weight = relay.const(np.ones((32, 32, 3, 3), np.float32))
    output = relay.nn.conv2d(relay.var("data", shape=(1, 32, 14, 14)), weight, channels=32, kernel_size=(3, 3))
    module, cpu_target = relay.transform.InferType()(tvm.IRModule.from_expr(output)), target.resolve(None, 1)
    default = compiler.compiled(module, cpu_target, compiler.Schedules())
    (kernel,) = (kernel for kernel in default.kernels.values() if kernel.convolution)
    folder = tmp_path_factory.mktemp("templates")
    record = {"convolution": kernel.convolution, "schedule": kernel.candidates[1], "default": kernel.candidates[0]}
    (folder / templates.NAME).write_text(json.dumps({**record, "ms": 1.0, "default_ms": 2.0}) + "\n")
    yield module, cpu_target, default, {"templates": folder}


@pytest.mark.parametrize(
    ("templates_ms", "chosen", "tie", "kind"),
    [(10.0, "default", True, KEPT), (9.0, "templates", False, TUNED), (11.0, "default", False, KEPT)],
)
def test_a_tie_keeps_the_default_and_says_so(convolution, monkeypatch, templates_ms, chosen, tie, kind):
    module, cpu_target, default, records = convolution
    noise = NOISE.normal(0, 0.05, (2, timing.TURNS))
    times = {"default": 10.0 + noise[0], "templates": templates_ms + noise[1]}
    monkeypatch.setattr(timing, "whole_models", lambda libraries: {name: times[name] for name in libraries})
    reference = selection.Reference(default.library, default.kernels)
    build, measured = selection.best(module, cpu_target, records, reference)
    (kernel,) = (kernel for kernel in build.kernels.values() if kernel.convolution)
    assert (measured["chosen"], measured["tie"], kernel.kind) == (chosen, tie, kind)
    assert kernel.schedule == kernel.candidates[1 if chosen == "templates" else 0]
    assert measured["ratios"]["templates"]["median"] == pytest.approx(templates_ms / 10, rel=0.02)
    assert sum(measured["coverage"].values()) == pytest.approx(1)


def test_a_build_of_the_same_code_wins_nothing(convolution, monkeypatch, tmp_path):
    module, cpu_target, default, records = convolution
    record = json.loads((records["templates"] / templates.NAME).read_text())
    (tmp_path / templates.NAME).write_text(json.dumps({**record, "ms": 3.0}) + "\n")  # slower than the default
    monkeypatch.setattr(timing, "whole_models", lambda libraries: dict.fromkeys(libraries, np.ones(timing.TURNS)))
    monkeypatch.setattr(selection, "ratio", lambda *times: Ratio(0.9, 0.91, 0.92))
    reference = selection.Reference(default.library, default.kernels)
    build, measured = selection.best(module, cpu_target, {"templates": tmp_path}, reference)
    assert measured["chosen"] == "default"
    assert {kernel.kind for kernel in build.kernels.values() if kernel.convolution} == {KEPT}


def searched(convolution):
    return KernelInfo(TUNED, f"metaschedule: {convolution}", 1, convolution, "metaschedule", ("tvm",), 1.0)


def test_kernels_are_compared_by_what_they_compute(monkeypatch):
    """Two builds may name a kernel differently, and one may have kernels that the other has not."""
    ours = {"same": KernelInfo(), "other_name": KernelInfo(convolution="b"), "twice": KernelInfo(convolution="c")}
    ours["twice_more"] = KernelInfo(convolution="c")
    theirs = {"same": searched("a"), "new_name": searched("b"), "unclear": searched("c"), "alone": searched("d")}
    names = [kernels.counterpart(name, theirs, ours) for name in theirs]
    assert names == ["same", "other_name", None, None]
    runs = [
        {"same": np.full(15, 2.0), "new_name": np.full(15, 3.0), "unclear": np.ones(15), "alone": np.ones(15)},
        {"same": np.full(15, 4.0), "other_name": np.full(15, 3.0), "twice": np.ones(15), "twice_more": np.ones(15)},
    ]
    monkeypatch.setattr(profile, "kernel_runs", lambda *libraries: runs)
    build = compiler.Compiled(None, None, SimpleNamespace(module=None), theirs)
    kept = selection.keep_faster_defaults(build, selection.Reference(None, ours))
    assert kept.kernels == {"new_name"}, "a tie keeps the default"
    assert kept.in_place_ms == {"metaschedule: a": (4.0, 2.0), "metaschedule: b": (3.0, 3.0)}


def test_a_default_beside_a_record_counts_as_kept():
    kernel = KernelInfo(convolution="a")
    labelled = selection.label_sources({"x": kernel, "y": KernelInfo()}, [{"z": searched("a")}])
    assert {name: info.kind for name, info in labelled.items()} == {"x": KEPT, "y": DEFAULT}
    assert kernel.kind == DEFAULT


def test_the_manifest_has_only_fields_that_apply():
    infos = {"pool": KernelInfo(calls=2), "conv": searched("a")}
    entries = kernels.to_json(infos)
    assert entries["pool"] == {"kind": DEFAULT, "record": None, "calls": 2}
    assert kernels.from_json(json.loads(json.dumps(entries))) == infos
