"""The project's own default schedules: used where they should be, and right on sizes that do not divide evenly."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import tvm
from torch.nn import functional as F
from tvm import relay, topi
from tvm.contrib import graph_executor
from tvm.relay.op import strategy
from tvm.topi.x86 import conv2d_alter_op

from tvm_bench.backends.relay import kernels as kernel_infos
from tvm_bench.backends.relay import schedules, target
from tvm_bench.backends.relay.schedules import (
    conv_workload,
    int8_dot,
    override,
    register_tile,
    winograd,
    winograd_chunks,
    winograd_int8,
    winograd_kernel,
    winograd_tiles,
    winograd_weights,
)
from tvm_bench.host.cpu import host_features

# AVX-512 VNNI with AVX-512 VL has the 256-bit form of AVX-VNNI too.
WITHOUT_VNNI = {"avx512bw": "llvm -mcpu=skylake-avx512", "avx2": "llvm -mcpu=haswell"}
RUNS = [k for k in int8_dot.KINDS if (k.feature if k.feature != "avxvnni" else "avx512vnni") in host_features()]


@pytest.fixture
def on_small_images(monkeypatch):
    for name in ("LEAST_OUTPUTS", "LEAST_OUTPUTS_WITH_AVX512"):
        monkeypatch.setattr(winograd, name, 0)
    monkeypatch.setattr(winograd_int8, "pays", lambda convolution: True)


@pytest.fixture
def in_chunks(monkeypatch):
    """The products that Winograd computed in chunks."""
    scheduled, original = [], winograd_chunks.schedule

    def schedule(s, products, *others):
        scheduled.append(products)
        original(s, products, *others)

    monkeypatch.setattr(winograd_chunks, "schedule", schedule)
    return scheduled


def relay_library(output, by_convolution=schedules.DEFAULTS, cpu=None):
    with schedules.using(by_convolution), tvm.transform.PassContext(3):
        return relay.build(tvm.IRModule.from_expr(output), target=target.resolve(cpu, 2))


def run(output, data, by_convolution=schedules.DEFAULTS, cpu=None):
    """Build `output` with the project's schedules; returns what it answers, its kernels' names and their assembly."""
    library = relay_library(output, by_convolution, cpu)
    executor = graph_executor.GraphModule(library["default"](tvm.cpu()))
    executor.run(data=data)
    kernels = " ".join(map(str, library.function_metadata))
    return executor.get_output(0).numpy(), kernels, library.get_lib().get_source("asm")


def convolution(data, weight, out_dtype, **attributes):
    return relay.nn.conv2d(
        relay.var("data", shape=data.shape, dtype=str(data.dtype)),
        relay.const(weight),
        channels=len(weight),
        kernel_size=weight.shape[2:],
        out_dtype=out_dtype,
        **attributes,
    )


@pytest.mark.parametrize(
    ("shape", "outputs", "padding"),
    [
        ((1, 16, 8, 8), 16, (1, 1)),
        ((2, 32, 7, 9), 16, (1, 1)),
        ((1, 16, 11, 6), 48, (0, 0)),
        ((1, 16, 5, 5), 16, (2, 1)),
        ((1, 32, 20, 20), 16, (1, 1)),
        ((1, 32, 16, 9), 48, (1, 1)),
    ],
)
@pytest.mark.parametrize("weights", ["transformed", "by filters", "by rows", "in chunks"])
def test_winograd_is_right_with_what_is_fused_behind_it(
    on_small_images, in_chunks, shape, outputs, padding, weights, monkeypatch
):
    if weights != "transformed":
        monkeypatch.setattr(winograd_weights, "LARGE", 0)
        monkeypatch.setattr(winograd_kernel, "L2_BYTES", 0 if weights == "by rows" else winograd_kernel.L2_BYTES)
        monkeypatch.setattr(winograd_chunks, "TASKS_PER_CORE", 0 if weights == "in chunks" else 99)
    random = np.random.default_rng(0)
    data = random.standard_normal(shape).astype(np.float32)
    weight = (random.standard_normal((outputs, shape[1], 3, 3)) / np.sqrt(9 * shape[1])).astype(np.float32)
    bias = random.standard_normal(outputs).astype(np.float32)
    output = convolution(data, weight, "float32", padding=padding)
    cpu = "llvm -mcpu=haswell" if weights == "in chunks" else None
    result, kernels, _ = run(relay.nn.relu(relay.nn.bias_add(output, relay.const(bias))), data, cpu=cpu)
    exact = F.conv2d(*(torch.from_numpy(a).double() for a in (data, weight, bias)), padding=padding).relu().numpy()
    assert "winograd" in kernels and bool(in_chunks) == (weights == "in chunks")
    assert np.abs(result - exact).max() < 2e-5


def test_large_weights_of_winograd_are_stored_as_they_are(on_small_images):
    data, size = np.ones((1, 96, 8, 8), np.float32), 96 * 96 * 9 * 4
    library = relay_library(convolution(data, np.ones((96, 96, 3, 3), np.float32), "float32", padding=(1, 1)))
    (stored,) = [value.numpy() for value in library.get_params().values()]
    assert "winograd" in " ".join(map(str, library.function_metadata)) and stored.nbytes == size
    small = relay_library(convolution(data[:, :32], np.ones((32, 32, 3, 3), np.float32), "float32", padding=(1, 1)))
    assert [value.numpy().nbytes for value in small.get_params().values()] == [32 * 32 * 36 * 4]


@pytest.mark.parametrize("size", winograd.SIZES)
def test_winograd_in_chunks_keeps_its_sums_in_registers(in_chunks, size):
    data, weight = np.ones((1, 256, 14, 14), np.float32), np.ones((256, 256, 3, 3), np.float32)
    output = convolution(data, weight, "float32", padding=(1, 1))
    workload = conv_workload.of(output.attrs, *(relay.TensorType(array.shape) for array in (data, weight)))
    result, _, assembly = run(output, data, {str(workload): f"winograd{size}"}, "llvm -mcpu=haswell")
    assert in_chunks
    np.testing.assert_allclose((result.min(), result.max()), (4 * 256, 9 * 256), rtol=1e-5)
    loop = max(re.split(r"\n\.LBB", assembly), key=lambda block: block.count("vfmadd231ps"))
    loop, _ = loop.rsplit("vfmadd231ps", 1)
    assert loop.count("vbroadcastss") * 2 == loop.count("vfmadd231ps") + 1 >= 64 and "(%rsp)" not in loop


@pytest.mark.parametrize(
    ("inputs", "outputs", "attributes"),
    [
        (16, 16, {"strides": (2, 2)}),
        (16, 16, {"dilation": (2, 2)}),
        (16, 20, {}),
        (16, 16, {"groups": 2}),
    ],
)
def test_winograd_is_left_alone_where_it_does_not_fit(on_small_images, inputs, outputs, attributes):
    data = np.ones((1, inputs, 8, 8), np.float32)
    weight = np.ones((outputs, inputs // attributes.get("groups", 1), 3, 3), np.float32)
    output = convolution(data, weight, "float32", padding=(1, 1), **attributes)
    result, kernels, _ = run(output, data)
    expected = F.conv2d(
        torch.from_numpy(data),
        torch.from_numpy(weight),
        padding=1,
        stride=attributes.get("strides", 1),
        dilation=attributes.get("dilation", 1),
        groups=attributes.get("groups", 1),
    )
    assert "winograd" not in kernels
    np.testing.assert_allclose(result, expected.numpy(), rtol=1e-5)


@pytest.mark.parametrize("cores", [1, 64, 0], ids=["together", "step by step", "in chunks"])
@pytest.mark.parametrize("kind", RUNS, ids=lambda kind: kind.feature)
@pytest.mark.parametrize(
    ("shape", "outputs", "padding"),
    [
        ((1, 64, 24, 28), 32, (1, 1)),
        ((2, 16, 13, 30), 48, (2, 0)),
    ],
)
def test_winograd_in_int8_is_exact(on_small_images, in_chunks, shape, outputs, padding, kind, cores, monkeypatch):
    cpu = None
    if cores:
        monkeypatch.setattr(winograd_kernel, "TASKS_PER_CORE", cores)
    elif cpu := WITHOUT_VNNI.get(kind.feature if kind.lanes < 16 else ""):
        monkeypatch.setattr(winograd_weights, "LARGE", 0)
        monkeypatch.setattr(winograd_chunks, "TASKS_PER_CORE", 0)
    else:
        pytest.skip("only with AVX2")
    monkeypatch.setattr(int8_dot, "best", lambda channels=16: replace(kind, lanes=min(kind.lanes, channels)))
    random = np.random.default_rng(0)
    data = random.integers(0, 256, shape).astype(np.uint8)
    weight = random.integers(-127, 128, (outputs, shape[1], 3, 3)).astype(np.int8)
    bias = random.integers(-1000, 1000, (outputs, 1, 1)).astype(np.int32)
    output = convolution(data, weight, "int32", padding=padding)
    result, kernels, assembly = run(relay.nn.relu(relay.add(output, relay.const(bias))), data, cpu=cpu)
    exact = F.conv2d(torch.from_numpy(data).double(), torch.from_numpy(weight).double(), padding=padding).numpy()
    assert "winograd" in kernels and bool(in_chunks) == (not cores)
    np.testing.assert_array_equal(result, np.maximum(exact + bias, 0))
    np.testing.assert_array_equal(run(output, data, cpu=cpu)[0], exact, err_msg="nothing fused behind it")
    # LLVM makes a `vpdpwssd` of a `vpmaddwd` and a sum where the CPU has it.
    assert "vpdpwssd" in assembly or ("vnni" not in kind.feature and "vpmaddwd" in assembly)


@pytest.mark.parametrize(
    ("cpu", "int8", "tiles", "rows"),
    [
        *(("haswell", True, 16, 4), ("haswell", True, 49, 2), ("haswell", False, 49, 5), ("haswell", False, 16, 4)),
        *(("alderlake", True, 16, 4), ("alderlake", True, 49, 5), ("alderlake", True, 14, 5)),
        *(("znver4", True, 49, 7), ("znver4", False, 196, 14), ("znver4", True, 961, 23)),
    ],
)
def test_rows_that_do_not_divide_the_tiles_are_taken_where_others_are_slow(cpu, int8, tiles, rows):
    with target.resolve(f"llvm -mcpu={cpu}", 2):
        block = 16 if int8 or cpu == "znver4" else 8
        tile = winograd_tiles.RegisterTile.of(block, 8, int8_dot.best() if int8 else None)
    assert tile.rows(tiles) == rows and tile.rows(-(-tiles // rows) * rows) % rows == 0


@pytest.mark.parametrize(("channels", "fits"), [(112, True), (128, False)])
def test_winograd_in_int8_refuses_weights_whose_sums_could_be_too_large(channels, fits, on_small_images):
    data = np.full((1, channels, 8, 8), 255, np.uint8)
    weight = np.full((16, channels, 3, 3), -127, np.int8)
    output = convolution(data, weight, "int32", padding=(1, 1))
    result, kernels, _ = run(output, data)
    assert ("winograd" in kernels) == fits
    assert result.min() == -255 * 127 * 9 * channels
    with schedules.using(), target.resolve(None, 2), tvm.transform.PassContext(3):
        library = relay.build(tvm.IRModule.from_expr(output), target=target.resolve(None, 2))
        (kernel,) = (k for k in kernel_infos.of_build(library, {}, tvms=False).values() if k.convolution)
    assert kernel.schedule.startswith("winograd") == fits and kernel.candidates[0] == "winograd4"


@pytest.mark.parametrize(
    ("dtype", "channels", "size", "pays"),
    [
        *(("fp32", 64, 3, False), ("fp32", 64, 4, True)),
        *(("fp32", 512, 3, False), ("fp32", 512, 4, True)),
        *(("int8", 64, 14, False), ("int8", 64, 56, True), ("int8", 16, 56, False)),
        *(("int8", 512, 14, False), ("int8", 512, 28, True)),
    ],
)
def test_winograd_pays_unless_the_output_is_small(dtype, channels, size, pays):
    shape, kernel = (1, channels, size, size), (channels, 3, 3)
    workload = conv_workload.Convolution(dtype, shape, kernel, (1, 1), (1, 1, 1, 1), (1, 1), 1)
    with target.resolve("llvm -mcpu=znver4", 2):
        assert winograd.pays(workload) == pays


@pytest.mark.parametrize(
    ("dtype", "size", "pays_on"),
    [("int8", 14, {"haswell": True, "znver4": False}), ("fp32", 5, {"haswell": False, "znver4": True})],
)
def test_winograd_pays_for_other_outputs_on_other_cpus(dtype, size, pays_on):
    workload = conv_workload.Convolution(dtype, (1, 64, size, size), (64, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1)
    for cpu, pays in pays_on.items():
        with target.resolve(f"llvm -mcpu={cpu}", 2):
            assert winograd.pays(workload) == pays


def test_sums_stay_in_registers_without_vnni():
    """LLVM must not reorder them."""
    data = np.ones((1, 64, 16, 16), np.uint8)
    output = convolution(data, np.full((64, 64, 1, 1), 2, np.int8), "int32")
    assert "-cl-opt" in str(target.resolve("llvm -mcpu=haswell", 2))
    assert "-cl-opt" not in str(target.resolve("llvm -mcpu=znver4", 2))
    *_, assembly = run(output, data, cpu="llvm -mcpu=haswell")
    loop = max(re.split(r"\n\.LBB", assembly), key=lambda block: block.count("vpmaddubsw"))
    assert loop.count("vpmaddubsw") > 8 and loop.count("(%rsp)") == 0


@pytest.mark.parametrize("kind", RUNS, ids=lambda kind: kind.feature)
@pytest.mark.parametrize(
    ("shape", "outputs", "kernel", "stride"),
    [
        ((1, 16, 8, 8), 16, 3, 1),
        ((2, 64, 7, 5), 128, 3, 2),
        ((1, 32, 14, 14), 64, 1, 2),
        ((1, 4, 19, 19), 16, 7, 2),
        ((1, 24, 9, 9), 40, 1, 1),
    ],
)
@pytest.mark.parametrize("largest", [127, 64], ids=lambda largest: f"up to {largest}")
def test_int8_convolution_is_exact_by_every_instruction(kind, shape, outputs, kernel, stride, largest, monkeypatch):
    monkeypatch.setattr(winograd_int8, "pays", lambda convolution: False)
    monkeypatch.setattr(int8_dot, "best", lambda channels=16: replace(kind, lanes=min(kind.lanes, channels)))
    random = np.random.default_rng(0)
    data = random.integers(0, 256, shape).astype(np.uint8)
    weight = random.integers(-largest, largest + 1, (outputs, shape[1], kernel, kernel)).astype(np.int8)
    weight[0], weight[1], data[:, :, :5, :5] = largest, -largest, 255  # the largest sums
    bias = random.integers(-1000, 1000, (outputs, 1, 1)).astype(np.int32)
    attributes = {"strides": (stride, stride), "padding": (kernel // 2, kernel // 2)}
    output = convolution(data, weight, "int32", **attributes)
    cpu = WITHOUT_VNNI.get(kind.feature)  # LLVM may join two instructions to one of VNNI
    result, _, assembly = run(relay.nn.relu(relay.add(output, relay.const(bias))), data, cpu=cpu)
    exact = F.conv2d(
        torch.from_numpy(data).double(), torch.from_numpy(weight).double(), stride=stride, padding=kernel // 2
    )
    np.testing.assert_array_equal(result, np.maximum(exact.numpy() + bias, 0))
    np.testing.assert_array_equal(run(output, data, cpu=cpu)[0], exact.numpy(), err_msg="nothing fused behind it")
    assert ("vpdpbusd" if "vnni" in kind.feature else "vpmaddwd") in assembly
    if "vnni" not in kind.feature:
        assert ("vpmaddubsw" in assembly) == (largest == 64), "which sums up products in 16 bits"


def test_pairs_of_products_fit_16_bits_or_not():
    for pair, fits in (
        ((64, 64), True),
        ((65, 64), False),
        ((-64, -64), True),
        ((-65, -64), False),
        ((127, -128), True),
    ):
        assert int8_dot.pairs_fit(np.array(pair, np.int8).reshape(1, 2, 1, 1)) == fits, pair


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(("size", "stride"), [((13, 11), 1), ((14, 14), 2)])
def test_tiles_beyond_the_output_are_cut(precision, size, stride):
    """For AVX2, whose 16 registers need tiles of a few columns."""
    random = np.random.default_rng(0)
    data = random.integers(0, 256, (2, 32, *size)).astype(np.uint8)
    weight = random.integers(-64, 65, (32, 32, 3, 3)).astype(np.int8)
    tensors = (torch.from_numpy(array).double() for array in (data, weight))
    expected = F.conv2d(*tensors, padding=1, stride=stride)
    out = "int32"
    if precision == "fp32":
        data, weight, out = data.astype(np.float32), weight.astype(np.float32), "float32"
    output = convolution(data, weight, out, padding=(1, 1), strides=(stride, stride))
    workload = conv_workload.Convolution(precision, data.shape, (32, 3, 3), (stride, stride), (1, 1, 1, 1), (1, 1), 1)
    with target.resolve("llvm -mcpu=haswell", 2):
        names = [name for name in schedules.candidates(workload) if register_tile.parsed(name)]
    assert any(n % part for name in names for n, part in zip(workload.out, register_tile.parsed(name)[1:], strict=True))
    for name in names:
        for fused, exact in ((output, expected), (relay.nn.relu(output), expected.relu())):
            answer, *_ = run(fused, data, {str(workload): name}, "llvm -mcpu=haswell")
            np.testing.assert_allclose(answer, exact, rtol=1e-5, atol=1e-5 * expected.abs().max(), err_msg=name)


@pytest.mark.parametrize("dots", [False, True])
def test_tiles_for_few_registers_leave_one(dots):
    for blocks, height, width in ((2, 56, 56), (64, 7, 7), (1, 13, 17), (8, 1, 1)):
        for tile in register_tile.frugal(blocks, height, width, 16, beyond=True, flat=False, dots=dots):
            assert np.prod(tile) <= (8 if dots else 14) and blocks % tile[0] == 0
    assert register_tile.frugal(2, 7, 7, 16, beyond=True, flat=False, dots=False)[0] == (2, 4, 1), "8 rows, of 7"
    assert register_tile.frugal(2, 12, 12, 16, beyond=True, flat=False, dots=False)[0] == (2, 6, 1)


@pytest.mark.parametrize(("channels", "size", "tile"), [(24, 56, "3x1x4"), (40, 28, "5x1x2"), (32, 28, "2x1x4")])
def test_an_odd_number_of_blocks_may_need_every_register(channels, size, tile):
    random = np.random.default_rng(0)
    data, weight = (random.standard_normal(s).astype(np.float32) for s in ((1, 48, size, size), (channels, 48, 1, 1)))
    output = convolution(data, weight, "float32")
    workload = conv_workload.of(output.attrs, *(relay.TensorType(array.shape) for array in (data, weight)))
    with target.resolve("llvm -mcpu=haswell", 2):
        assert schedules.candidates(workload)[0] == tile
    result, _, assembly = run(output, data, cpu="llvm -mcpu=haswell")
    np.testing.assert_allclose(result, F.conv2d(*map(torch.from_numpy, (data, weight))), atol=1e-4)
    loop = max(re.split(r"\n\.LBB", assembly), key=lambda block: block.count("vfmadd231ps"))
    loop, _ = loop.rsplit("vfmadd231ps", 1)
    assert "(%rsp)" not in loop


@pytest.mark.parametrize("registers", [8, 32])
def test_a_register_tile_divides_the_output_and_fits_the_registers(registers):
    for blocks in (1, 2, 3, 4, 6, 16, 32):
        for height, width in ((56, 56), (28, 28), (7, 7), (1, 1), (13, 13), (17, 31), (112, 112)):
            tile = register_tile.fitting(blocks, height, width, registers)[0]
            assert all(size % part == 0 for size, part in zip((blocks, height, width), tile, strict=True))
            assert np.prod(tile) + tile[0] + 1 <= registers


def test_an_inner_context_ends_in_the_schedules_of_the_outer_one(on_small_images):
    """What was registered before comes back: of another context, or of somebody else."""
    data = np.ones((1, 16, 8, 8), np.float32)
    output = convolution(data, np.ones((16, 16, 3, 3), np.float32), "float32", padding=(1, 1))
    calls = []

    def of_somebody_else(config, *arguments):
        calls.append(arguments)
        original(config, *arguments)

    original = conv2d_alter_op._get_default_config
    with override.attribute(conv2d_alter_op, "_get_default_config", of_somebody_else):
        with schedules.using():
            with schedules.using():
                assert "winograd" in run(output, data)[1]
            with tvm.transform.PassContext(3):
                outer = relay.build(tvm.IRModule.from_expr(output), target=target.resolve(None, 2))
            assert "winograd" in " ".join(map(str, outer.function_metadata))
            assert not calls
        with tvm.transform.PassContext(3):
            relay.build(tvm.IRModule.from_expr(output), target=target.resolve(None, 2))
        assert calls
    assert conv2d_alter_op._get_default_config is original


@pytest.mark.parametrize(
    "generic", [topi.nn.conv2d_legalize, strategy.conv2d_NCHWc_strategy], ids=["kept in Python", "kept in C++"]
)
def test_a_registration_comes_back_after_an_error(generic):
    def registered():
        function = override.registered(generic)
        return function.handle.value if isinstance(function, tvm.runtime.PackedFunc) else function

    before = registered()
    with pytest.raises(ZeroDivisionError), override.registration(generic, print):
        assert registered() != before
        raise ZeroDivisionError
    assert registered() == before


def test_another_version_of_tvm_is_refused():
    with pytest.raises(RuntimeError, match=r"TVM 0\.20\.0.*of 0\.19\.0"):
        override.check_version("0.20.0")


def test_tvms_schedules_come_back(on_small_images):
    data = np.ones((1, 16, 8, 8), np.float32)
    output = convolution(data, np.ones((16, 16, 3, 3), np.float32), "float32", padding=(1, 1))
    assert "winograd" in run(output, data)[1], "nothing fused behind it"
    with tvm.transform.PassContext(3):
        stock = relay.build(tvm.IRModule.from_expr(output), target=target.resolve(None, 2))
    assert "winograd" not in " ".join(map(str, stock.function_metadata))


@pytest.mark.parametrize(
    ("precision", "channels", "outputs", "attributes"),
    [
        ("fp32", 32, 32, {}),
        ("fp32", 32, 32, {"strides": (2, 2)}),
        ("fp32", 32, 32, {"groups": 32}),
        ("fp32", 32, 32, {"groups": 32, "strides": (2, 2)}),
        ("fp32", 24, 24, {}),
        ("fp32", 24, 24, {"groups": 24}),
        ("int8", 32, 32, {}),
        ("int8", 32, 32, {"groups": 32}),
        ("int8", 24, 24, {}),
        ("int8", 24, 24, {"groups": 24}),
        ("int8", 24, 32, {}),
        ("int8", 12, 24, {}),
    ],
)
def test_every_candidate_of_a_convolution_gives_the_same_answer(precision, channels, outputs, attributes):
    random = np.random.default_rng(0)
    groups = attributes.get("groups", 1)
    data = random.integers(0, 256, (1, channels, 14, 14)).astype(np.uint8)
    weight = random.integers(-128, 128, (outputs, channels // groups, 3, 3)).astype(np.int8)
    out = "int32"
    if precision == "fp32":
        data, weight, out = data.astype(np.float32), weight.astype(np.float32), "float32"
    output = relay.nn.relu(convolution(data, weight, out, padding=(1, 1), **attributes))
    module = tvm.IRModule.from_expr(output)
    with schedules.using(), tvm.transform.PassContext(3):
        library = relay.build(module, target=target.resolve(None, 2))
    ((workload, _),) = set(conv_workload.in_kernels(library).values())
    with target.resolve(None, 2):
        names = schedules.candidates(workload)
    stride = attributes.get("strides", 1)
    tensors = (torch.from_numpy(array).double() for array in (data, weight))
    expected = F.conv2d(*tensors, padding=1, stride=stride, groups=groups).relu().numpy()
    assert len(names) > 3
    for name in names:
        answer, *_ = run(output, data, {str(workload): name})
        np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=expected.max() * 1e-5, err_msg=name)


def test_quantizing_padding_and_blocking_the_input_is_exact():
    data = np.random.default_rng(0).standard_normal((2, 3, 20, 24)).astype(np.float32)
    scaled = relay.round(relay.var("data", shape=data.shape) / relay.const(0.02)) + relay.const(114.0)
    quantized = relay.cast(relay.clip(scaled, 0, 255), "uint8")
    padded = relay.nn.pad(quantized, ((0, 0), (0, 0), (3, 3), (3, 3)), pad_value=114)
    blocked = relay.layout_transform(relay.nn.pad(padded, ((0, 0), (0, 1), (0, 0), (0, 0))), "NCHW", "NCHW4c")
    result, *_ = run(blocked, data)
    expected = np.clip(np.round(data / np.float32(0.02)) + 114, 0, 255).astype(np.uint8)
    expected = np.pad(
        np.pad(expected, ((0, 0), (0, 0), (3, 3), (3, 3)), constant_values=114), ((0, 0), (0, 1), (0, 0), (0, 0))
    )
    np.testing.assert_array_equal(result, expected.transpose(0, 2, 3, 1)[:, None])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "dilation"),
    [
        ((1, 24, 97, 131), 5, 2, 1),
        ((7, 40, 13, 9), 3, 1, 1),
        ((1, 32, 28, 28), 3, 1, 2),
        ((1, 48, 14, 14), 5, 1, 2),
        ((2, 24, 13, 19), 3, 1, 4),
        ((1, 16, 11, 15), 5, 2, 3),
        ((1, 32, 9, 7), 3, 1, 12),
        ((1, 20, 12, 12), 3, 2, 2),
        ((1, 17, 12, 12), 3, 1, 2),
        ((1, 16, 14, 14), 7, 1, 1),
        ((2, 8, 1, 5), 3, 1, 1),
        ((1, 10, 12, 12), 3, 2, 1),
        ((1, 17, 12, 12), 3, 1, 1),
    ],
)
def test_depthwise_convolution_is_right_on_odd_sizes(precision, shape, kernel, stride, dilation):
    random = np.random.default_rng(0)
    data = random.integers(0, 256, shape).astype(np.uint8)
    weight = random.integers(-128, 128, (shape[1], 1, kernel, kernel)).astype(np.int8)
    padding = kernel // 2 * dilation
    sizes = {"stride": stride, "dilation": dilation, "groups": shape[1], "padding": padding}
    exact = F.conv2d(*(torch.from_numpy(array).double() for array in (data, weight)), **sizes).relu().numpy()
    out = "int32"
    if precision == "fp32":
        data, weight, out = data.astype(np.float32), weight.astype(np.float32), "float32"
    attributes = {"strides": (stride,) * 2, "dilation": (dilation,) * 2, "groups": shape[1]}
    output = convolution(data, weight, out, padding=(padding, padding), **attributes)
    result, kernels, _ = run(relay.nn.relu(output), data)
    np.testing.assert_array_equal(result, exact)
    assert ("contrib_depthwise_conv2d_NCHWc" in kernels) == (shape[1] != 17 or dilation == 1), "in blocks of channels"


@pytest.mark.parametrize(
    ("shape", "outputs", "stride"),
    [
        ((1, 24, 49, 66), 40, 1),
        ((7, 40, 13, 9), 24, 1),
        ((1, 3, 9, 9), 10, 1),
        ((1, 10, 7, 7), 17, 2),
        ((1, 16, 1, 1), 4, 1),
        ((2, 48, 28, 28), 16, 2),
        ((1, 16, 14, 13), 32, 2),
        ((2, 8, 9, 25), 24, 1),
        ((1, 40, 63, 63), 16, 1),
    ],
)
@pytest.mark.parametrize("cpu", [None, WITHOUT_VNNI["avx2"]])
def test_pointwise_convolution_is_right_on_odd_sizes(shape, outputs, stride, cpu):
    random = np.random.default_rng(0)
    data = random.integers(-8, 8, shape).astype(np.float32)
    weight = random.integers(-8, 8, (outputs, shape[1], 1, 1)).astype(np.float32)
    exact = F.conv2d(torch.from_numpy(data), torch.from_numpy(weight), stride=stride).relu().numpy()
    result, *_ = run(relay.nn.relu(convolution(data, weight, "float32", strides=(stride, stride))), data, cpu=cpu)
    np.testing.assert_array_equal(result, exact)


@pytest.mark.parametrize(("size", "stride"), [(7, 1), (14, 2), (13, 1)])
def test_an_odd_number_of_pixels_is_one_row_where_registers_are_few(size, stride):
    pointwise = conv_workload.Convolution("fp32", (1, 160, size, size), (960, 1, 1), (stride,) * 2, (0,) * 4, (1, 1), 1)
    with target.resolve(WITHOUT_VNNI["avx2"], 2):
        assert schedules.candidates(pointwise)[0] == "2x1x6", "no part of 7 or 13"


def test_tiles_on_the_stack_have_one_row():
    """TVM puts larger ones on the heap, and fills them with zeros."""
    for blocks, height, width in ((6, 56, 56), (55, 7, 7), (60, 7, 7), (1, 28, 28)):
        o, h, w = register_tile.parsed(register_tile.names(blocks, height, width, 32, on_stack=15)[0])
        assert h == 1 and o * w <= 15 and w > 1, "each vector of weights serves several positions"
    assert register_tile.names(3, 13, 17, 32, on_stack=15)[0] == "1x1x17"
