"""Operations per second of a race: counted, divided by what the CPU gave, and slow rounds named."""

from dataclasses import replace

import pytest

from tests.runs import a_row, a_run, constant
from tvm_bench.analysis import peaks
from tvm_bench.analysis.quality_warnings import quality_warnings
from tvm_bench.report import peaks as table

PEAKS = {"threads": 2, "fp32": 200.0, "int8": 800.0}


def run(**more):
    rows = (
        a_row("fp32-eager", constant(20.0)),
        a_row("int8-relay", constant(5.0), operations=2e9),
        a_row("bf16-openvino", constant(10.0)),
    )
    return replace(a_run(*(replace(row, threads=1) for row in rows)), **more)


def test_a_speed_is_a_share_of_the_peak_in_the_precision_and_on_the_threads_of_the_row():
    (found,) = table.tables(run(peaks=PEAKS))
    assert found.lines == [
        ["fp32-eager", "100", "100", "100.0 %"],
        ["int8-relay", "400", "400", "100.0 %"],
        ["bf16-openvino", "200", "–", "–"],
    ]
    assert [line[2:] for line in table.tables(run())[0].lines] == [["–", "–"]] * 3, "as of older files"


def test_a_cpu_with_amx_has_no_peak_for_those_who_may_use_it():
    found = run(peaks=PEAKS, machine={"features": ["amx-int8"]})
    assert [peaks.peak(row, found) for row in found.variants] == [100, 400, None]
    other = replace(found.variants[1], backend="onnxruntime")
    assert peaks.peak(other, found) is None and peaks.peak(other, run(peaks=PEAKS)) == 400


def test_a_slow_instruction_for_bf16_is_named():
    row = replace(run().variants[2], name="bf16-relay", backend="relay")
    (found,) = [
        line for line in quality_warnings(replace(a_run(row), peaks={**PEAKS, "bf16": 150.0})) if "BF16" in line
    ]
    assert "(150 and 200 billion operations per second)" in found
    assert not [
        line for line in quality_warnings(replace(a_run(row), peaks={**PEAKS, "bf16": 400.0})) if "BF16" in line
    ]


def test_operations_are_those_of_the_same_model_and_batch_size():
    eager, library, _ = run().variants
    for other in (replace(library, batch=2), replace(library, name="resnet18+prune/int8-relay")):
        assert peaks.speed(eager, a_run(eager, other)) is None
    assert table.tables(a_run(eager)) == []


def test_slow_rounds_are_named():
    rates = (200.0, 197.0, 170.0, 203.0, 199.0)
    (warning,) = [line for line in quality_warnings(run(matmul_rates=rates)) if "slow" in line]
    assert warning == "The CPU was slow before round 3 (85% of its usual speed)."
    steady = [line for line in quality_warnings(run(matmul_rates=rates[:2])) if "slow" in line]
    assert steady == [] == list(peaks.slowed_rounds(run()))
    assert dict(peaks.slowed_rounds(run(matmul_rates=rates))) == {3: pytest.approx(170 / 199)}
