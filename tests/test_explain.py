"""`tvm-bench explain`: it finds the faults that were put into libraries, and none where there are none."""

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import tvm
from click.testing import CliRunner
from tvm import relay

from tvm_bench.analysis.explanation import explained, findings, roofline
from tvm_bench.analysis.explanation.roofline import Machine
from tvm_bench.analysis.machine_code import kernel_code
from tvm_bench.backends.relay import kernels, schedules, target
from tvm_bench.backends.relay.schedules import conv_workload
from tvm_bench.cli import main
from tvm_bench.host import manifest
from tvm_bench.report import explanation as report
from tvm_bench.spec.errors import UserError

AVX2, AVX512 = "haswell", "znver4"
VNNI = ("avx2", "avx512f", "avx512vnni")
MACHINE = Machine({"fp32": 100.0, "int8": 400.0, "int16": 200.0, "l3": 50.0, "memory": 20.0}, {2: 512_000, 3: 32e6}, 2)


def convolution(channels, outputs, size=28, kernel=3, dtype="float32"):
    """A convolution and a ReLU, with its workload."""
    weight = np.ones((outputs, channels, kernel, kernel), "int8" if dtype == "uint8" else dtype)
    data = relay.var("data", shape=(1, channels, size, size), dtype=dtype)
    out = "int32" if dtype == "uint8" else dtype
    attributes = {"channels": outputs, "kernel_size": (kernel, kernel), "padding": (kernel // 2,) * 2}
    call = relay.nn.conv2d(data, relay.const(weight), out_dtype=out, **attributes)
    precision = "int8" if dtype == "uint8" else "fp32"
    geometry = ((1, 1), (kernel // 2,) * 4, (1, 1), 1)
    return call, conv_workload.Convolution(precision, (1, channels, size, size), (outputs, kernel, kernel), *geometry)


def built(folder, output, cpu, by_convolution=None, precision="fp32", ours=True):
    """Build `output` for a CPU, which need not be this one: the manifest, and the code of its kernels."""
    chosen = target.resolve(f"llvm -mcpu={cpu}", 2)
    names = {str(workload): name for workload, name in (by_convolution or {}).items()}
    with chosen, tvm.transform.PassContext(3):
        if ours:
            with schedules.using(names):
                factory = relay.build(tvm.IRModule.from_expr(output), target=chosen)
        else:
            factory = relay.build(tvm.IRModule.from_expr(output), target=chosen)
        found = kernels.to_json(kernels.of_build(factory, names, tvms=not ours))
    factory.export_library(str(folder / "lib.so"))
    about = {"precision": precision, "target": str(chosen), "cpu_features": target.features(chosen), "threads": 2}
    return {**about, "kernels": found}, kernel_code.of_library(folder / "lib.so", found)


def faults(about, codes, times=None, cpu_features=(), cores=2, machine=MACHINE):
    explanation = explained.explain(about, codes, times or {}, machine, None, cpu_features, cores)
    return {finding.name for finding in explanation.findings}


@pytest.mark.parametrize(
    ("tile", "fault"), [("2x1x4", None), ("1x1x28", "registers spilled"), ("1x1x1", "one chain of sums")]
)
def test_a_register_tile_of_the_wrong_size(tile, fault, tmp_path):
    call, workload = convolution(32, 32)
    about, codes = built(tmp_path, relay.nn.relu(call), AVX2, {workload: tile})
    assert faults(about, codes) == ({fault} if fault else set())
    hot = max((code.hot for code in codes.values() if code.hot), key=lambda hot: hot.products)
    assert set(hot.widths) == {256} and hot.products >= 1


@pytest.mark.parametrize("cpu", [AVX2, AVX512])
def test_winograd_has_no_fault(cpu, tmp_path):
    """The tiles of its transforms pass through the stack; its matrix product stays in registers."""
    call, workload = convolution(64, 64, size=56)
    assert faults(*built(tmp_path, relay.nn.relu(call), cpu, {workload: "winograd4"})) == set()


def test_vectors_of_half_the_width(tmp_path):
    for channels, expected in ((24, {"narrow vectors"}), (32, set())):
        call, workload = convolution(channels, channels)
        assert faults(*built(tmp_path, call, AVX512, {workload: "1x1x7"})) == expected


def test_int8_without_the_instruction_that_the_cpu_has(tmp_path):
    call, _ = convolution(32, 32, dtype="uint8")
    about, codes = built(tmp_path, call, AVX2, precision="int8")
    assert faults(about, codes, cpu_features=VNNI) == {"vnni unused"}
    assert faults(about, codes, cpu_features=("avx2",)) == set()
    about, codes = built(tmp_path, call, AVX512, precision="int8")
    assert faults(about, codes, cpu_features=(*VNNI, "avxvnni")) == set()


def test_an_int8_library_that_computes_in_fp32(tmp_path):
    call, workload = convolution(32, 32)
    about, codes = built(tmp_path, call, AVX2, {workload: "2x1x4"}, precision="int8")
    assert faults(about, codes) == {"computes in FP32"}


def test_a_requantization_in_64_bits(tmp_path):
    call, workload = convolution(32, 32, dtype="uint8")
    wide = relay.cast(call, "int64") * relay.const(1_518_500_250, "int64")
    output = relay.cast(relay.right_shift(wide, relay.const(31, "int64")), "int32")
    assert "64-bit requantization" in faults(*built(tmp_path, output, AVX2, precision="int8"))


def test_an_activation_that_calls_a_function_for_each_value(tmp_path):
    call, workload = convolution(32, 32)
    about, codes = built(tmp_path, relay.exp(call), AVX2, ours=False)
    assert "calls of functions" in faults(about, codes)
    assert any("exp" in name for code in codes.values() for name in code.calls)
    about, codes = built(tmp_path, relay.exp(call), AVX2, {workload: "2x1x4"})
    assert faults(about, codes) == set(), "the project's own exp is vectorized"


def test_products_of_single_values(tmp_path):
    """A sum in FP32 must be added up in its order: LLVM cannot use vectors."""
    left, right = (tvm.te.placeholder((4096,), name=name) for name in "ab")
    k = tvm.te.reduce_axis((0, 4096))
    result = tvm.te.compute((1,), lambda i: tvm.te.sum(left[k] * right[k], axis=k))
    codes = serial(tmp_path, [left, right, result])
    about = {"kernels": {"serial": {"operations": 8192}}, "threads": 1, "cpu_features": ["avx2"], "precision": "fp32"}
    assert faults(about, codes) == {"scalar products"}


def serial(folder, tensors):
    """The code of a kernel with TVM's default schedule."""
    schedule = tvm.te.create_schedule(tensors[-1].op)
    tvm.build(schedule, tensors, f"llvm -mcpu={AVX2}", name="serial").export_library(str(folder / "serial.so"))
    return kernel_code.of_library(folder / "serial.so", ["serial"])


def test_a_kernel_on_one_thread(tmp_path):
    call, workload = convolution(32, 32)
    about, codes = built(tmp_path, call, AVX2, {workload: "2x1x4"})
    (name,) = (name for name, kernel in about["kernels"].items() if kernel.get("convolution"))
    assert codes[name].parallel and faults(about, codes, {name: 1.0}) == set()
    alone = {**codes, name: replace(codes[name], parallel=False)}
    assert faults(about, alone, {name: 1.0}) == {"one thread"}
    data = tvm.te.placeholder((1024,), name="data")
    result = tvm.te.compute((1024,), lambda i: data[i] + 1.0)
    assert not serial(tmp_path, [data, result])["serial"].parallel


def test_faults_of_the_whole_library(tmp_path):
    call, workload = convolution(32, 32)
    about, codes = built(tmp_path, call, AVX2, {workload: "2x1x4"})
    assert faults(about, codes, cores=1) == {"too many threads"}
    assert faults(about, codes, machine=replace(MACHINE, caches={3: 1000})) == {"weights beyond the caches"}
    times = {name: 1.0 for name in about["kernels"]}
    assert any("layout_transform" in name for name in times)
    assert "layout transforms" in faults(about, codes, times)
    changed = {"kernels": {name: {**kernel, "schedule": "tvm"} for name, kernel in about["kernels"].items()}}
    grouped = {name: {**kernel, "convolution": "int8 8->8"} for name, kernel in changed["kernels"].items()}
    assert "no schedule of this project" in faults({**about, "kernels": grouped}, codes)


def test_a_stripped_library_and_one_that_is_none(tmp_path):
    call, workload = convolution(32, 32)
    about, _ = built(tmp_path, call, AVX2, {workload: "2x1x4"})
    subprocess.run(["strip", tmp_path / "lib.so"], check=True)
    codes = kernel_code.of_library(tmp_path / "lib.so", about["kernels"])
    assert not codes and faults(about, codes) == {"stripped"}
    (tmp_path / "lib.so").write_text("no library")
    with pytest.raises(UserError, match="cannot be disassembled"):
        kernel_code.of_library(tmp_path / "lib.so", about["kernels"])


@pytest.mark.parametrize(
    ("kernel", "ms", "by"),
    [
        # 2 * 32 * 32 * 9 * 28 * 28 = 14.45 MFLOP by 100 GFLOP/s.
        ({"operations": 14_450_688.0, "convolution": "fp32 32->32 3x3/1 28x28 pad 1"}, 0.1445, "arithmetic"),
        # A quarter of the multiplications; twice a call.
        ({"operations": 14_450_688.0, "schedule": "winograd4", "calls": 2}, 0.0723, "arithmetic"),
        # 30 MB of weights and 1 MB of data at 50 GB/s.
        ({"operations": 1000.0, "constant_bytes": 30_000_000, "data_bytes": 1_024_000}, 0.6205, "memory"),
    ],
)
def test_the_limit_of_a_kernel_is_that_by_hand(kernel, ms, by):
    limit = roofline.limit(kernel, None, replace(MACHINE, threads=1), 30_000_000)
    assert limit.ms == pytest.approx(ms, rel=0.01) and limit.by == by
    share = 36 / 144 if kernel.get("schedule") else 1
    assert limit.operations == kernel.get("calls", 1) * kernel["operations"] * share
    assert limit.bytes == kernel.get("constant_bytes", 0) + kernel.get("data_bytes", 0)


def test_what_is_not_known_has_no_limit():
    assert roofline.limit({}, None, MACHINE, 0) is None
    assert roofline.limit({"operations": 1.0}, None, Machine({}, {}, 2), 0) is None


def test_a_built_library_is_explained(built_library, tmp_path):
    done = CliRunner().invoke(main, ["explain", str(built_library), "--json"])
    assert done.exit_code == 0, done.output
    value = json.loads(done.stdout)
    about = manifest.read(built_library)
    assert len(value["kernels"]) == len(about["kernels"])
    assert value["kernels_ms"] == pytest.approx(sum(kernel["ms"] for kernel in value["kernels"]))
    computing = [kernel for kernel in value["kernels"] if kernel["gops"] and kernel["convolution"]]
    assert computing and all(kernel["reached"] > 0 for kernel in computing)
    assert all(kernel["hot"]["instructions"] > 5 for kernel in computing)
    done = CliRunner().invoke(main, ["explain", str(built_library), "--plot", str(tmp_path / "roofline.svg")])
    assert "The model takes" in done.output and "of the" in done.output
    assert "operations per byte" in (tmp_path / "roofline.svg").read_text()


@pytest.fixture
def built_library(built_tiny, tmp_path):
    return shutil.copytree(built_tiny / "int8-relay-onnx", tmp_path / "copy")


@pytest.fixture(name="built_tiny")
def _built_tiny(request):
    return request.getfixturevalue("built")


def test_a_library_for_another_cpu_is_only_read(built_library, monkeypatch):
    path = built_library / "manifest.json"
    about = json.loads(path.read_text())
    monkeypatch.setattr("tvm_bench.host.cpu.missing", lambda required: ["amx-int8"])
    done = CliRunner().invoke(main, ["explain", str(built_library)])
    assert done.exit_code == 0, done.output
    assert "no time was measured" in done.output and "hottest loops" in done.output
    done = CliRunner().invoke(main, ["explain", str(built_library), "--plot", str(path.with_name("roofline.png"))])
    assert done.exit_code == 0 and "was not drawn" in done.stderr and not path.with_name("roofline.png").exists()
    path.write_text(json.dumps({**about, "files": {"lib.so": "0" * 64}}))
    done = CliRunner().invoke(main, ["explain", str(built_library)])
    assert done.exit_code == 2 and "is not the file that was built" in done.output


def test_findings_of_one_name_are_one_sentence():
    finding = findings.Finding("registers spilled", "it spills", "Tune it.")
    kernel = explained.Kernel("conv", "", "", "", 1, 1.0, 1.0, None, None, None)
    both = (replace(kernel, name="a"), replace(kernel, name="b"))
    found = (replace(finding, kernel="a"), replace(finding, kernel="b"))
    lines = report.sentences(explained.Explanation(both, found, None, {}))
    assert lines[1:] == ["registers spilled in kernel 1: it spills. Also in 2. Tune it."]
