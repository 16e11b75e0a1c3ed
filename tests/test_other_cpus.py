"""Default schedules for CPUs that this one is not: libraries are built and disassembled, and not run."""

import numpy as np
import pytest
from tvm import relay

from tests.test_explain import built, convolution
from tvm_bench.analysis.machine_code.instructions import Kind

# Bits of a vector, and the instructions of products of INT8.
CPUS = {
    "haswell": (256, {Kind.INT8_PAIRS, Kind.INT16_DOT}),
    "skylake-avx512": (512, {Kind.INT8_PAIRS, Kind.INT16_DOT}),
    "cascadelake": (512, {Kind.INT8_DOT}),
    "sapphirerapids": (512, {Kind.INT8_DOT}),
    "alderlake": (256, {Kind.INT8_DOT}),
    "znver5": (512, {Kind.INT8_DOT}),
}


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("size", [1, 3])
def test_the_instructions_are_those_of_the_cpu(cpu, dtype, size, tmp_path):
    call, _ = convolution(64, 64, kernel=size, dtype=dtype)
    about, codes = built(tmp_path, call, cpu)
    name, kernel = max(about["kernels"].items(), key=lambda item: item[1].get("operations") or 0)
    assert kernel["schedule"].startswith("winograd") == (size == 3)
    bits, products = CPUS[cpu]
    hot, vnni = codes[name].hot, Kind.INT8_DOT in products
    expected = {Kind.FMA} if dtype == "float32" else {Kind.INT16_DOT} if size == 3 else products
    assert set(hot.kinds) == expected and set(hot.widths) == {bits}
    assert hot.spills <= 4
    if dtype == "float32" or vnni:
        assert hot.accumulators >= 7 and hot.instructions < 2.3 * hot.products
    else:  # sums are instructions of their own
        assert hot.accumulators == 0 and hot.instructions < 3.3 * hot.products


def test_no_schedule_for_amx_is_used(tmp_path):
    """TVM has one for a vector and a matrix in INT8: it does not compile for 40 inputs."""
    data, weight = relay.var("data", shape=(1, 40), dtype="uint8"), relay.const(np.ones((48, 40), np.int8))
    about, codes = built(tmp_path, relay.nn.dense(data, weight, out_dtype="int32"), "sapphirerapids")
    assert codes and not any(feature.startswith("amx") for feature in about["cpu_features"])
