"""The backend `relax`: its environment, its libraries beside ONNX Runtime, and its place in a race."""

import json
import re
import subprocess
import sys

import jsonschema
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import tvm_bench as tb
from tests.conftest import ROOT, TINY
from tvm_bench.analysis.machine_code import kernel_code
from tvm_bench.analysis.machine_code.instructions import Kind
from tvm_bench.exporters import qdq
from tvm_bench.host import cpu, environments, manifest, packages
from tvm_bench.jobs import launcher
from tvm_bench.jobs.launcher import Job
from tvm_bench.measure import rounding_cost
from tvm_bench.spec.build_request import About, BuildRequest
from tvm_bench.spec.errors import Unavailable, UserError
from tvm_bench.spec.feed import FeedRequest
from tvm_bench.spec.layer_errors import LayerErrors
from tvm_bench.spec.tensors import TensorSpec

needs_relax = pytest.mark.skipif(not environments.versions("relax"), reason="the environment is not built: make relax")
SCHEMAS = ROOT / "docs" / "reference" / "schemas"
ABOUT = About("small", {}, "", "fp32", "onnx", None, [], None)


def small_file(path, nodes, shape, outputs, weights):
    """An ONNX file with the input `x`, and the output `y` of the shape `outputs`."""
    random = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array((random.standard_normal(size) / np.sqrt(np.prod(size[1:]))).astype(np.float32), name)
        for name, size in weights.items()
    ]
    ends = [
        helper.make_tensor_value_info(*end)
        for end in (("x", TensorProto.FLOAT, shape), ("y", TensorProto.FLOAT, outputs))
    ]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def built(folder, shape, target=None):
    """The folder of the library of `folder/small.onnx`."""
    return built_of(folder / "small.onnx", (TensorSpec("x", shape, "float32"),), ("y",), target)


def built_of(source, inputs, outputs, target=None):
    """The folder of the library of the file `source`."""
    folder = source.parent
    request = BuildRequest(
        source=str(source), out=str(folder / "library"), inputs=inputs, outputs=outputs, threads=2,
        target_text=target, records=None, reference=None, stock=False, about=ABOUT,
    )  # fmt: skip
    launcher.run(Job("build_relax", request.to_dict(), folder / "jobs", "build", venv="relax", threads=2))
    return folder / "library"


def error(folder, library):
    """The largest difference of the library's answer to ONNX Runtime's."""
    session = onnxruntime.InferenceSession(folder / "small.onnx", providers=["CPUExecutionProvider"])
    with np.load(library / manifest.GOLDEN) as golden:
        (right,) = session.run(None, {"x": golden["input_0"]})
        assert right.std() > 0.01
        return np.abs(golden["output_0"] - right).max()


def conv(data, weight, out, **attributes):
    return helper.make_node("Conv", [data, weight], [out], out, **attributes)


CASES = {
    "3x3": ([conv("x", "w", "y", pads=[1, 1, 1, 1])], (1, 32, 14, 14), (1, 64, 14, 14), {"w": (64, 32, 3, 3)}),
    "Winograd, uneven, two images": (
        [conv("x", "w", "y", pads=[1, 0, 1, 2])], (2, 32, 13, 10), (2, 16, 13, 10), {"w": (16, 32, 3, 3)},
    ),
    "Winograd by lines": (
        [conv("x", "w", "a"), helper.make_node("Relu", ["a"], ["y"])],
        (1, 16, 48, 30), (1, 32, 46, 28), {"w": (32, 16, 3, 3)},
    ),
    "7x7 of an image": (
        [conv("x", "w", "y", pads=[3, 3, 3, 3], strides=[2, 2])], (1, 3, 33, 29), (1, 32, 17, 15), {"w": (32, 3, 7, 7)},
    ),
    "1x1, stride 2": ([conv("x", "w", "y", strides=[2, 2])], (2, 48, 9, 9), (2, 16, 5, 5), {"w": (16, 48, 1, 1)}),
    "dilated, uneven pads": (
        [conv("x", "w", "y", pads=[0, 2, 1, 1], dilations=[2, 2])],
        (1, 16, 12, 11), (1, 16, 9, 10), {"w": (16, 16, 3, 3)},
    ),
    "depthwise": (
        [conv("x", "w", "y", pads=[1, 1, 1, 1], group=32)], (1, 32, 13, 13), (1, 32, 13, 13), {"w": (32, 1, 3, 3)},
    ),
    "channels that fill no block": (
        [conv("x", "w", "y", pads=[1, 1, 1, 1])], (1, 12, 8, 8), (1, 20, 8, 8), {"w": (20, 12, 3, 3)},
    ),
    "clipped": (
        [conv("x", "w", "a"), helper.make_node("Clip", ["a", "low", "high"], ["b"]), conv("b", "v", "y")],
        (1, 16, 9, 9), (1, 16, 9, 9),
        {"w": (32, 16, 1, 1), "v": (16, 32, 1, 1), "low": (), "high": ()},
    ),
    "groups": ([conv("x", "w", "y", group=2)], (1, 32, 8, 8), (1, 32, 6, 6), {"w": (32, 16, 3, 3)}),
    "a residual block": (
        [
            conv("x", "v", "a", pads=[1, 1, 1, 1]),
            helper.make_node("Add", ["a", "bias"], ["b"]),
            helper.make_node("Relu", ["b"], ["c"]),
            conv("c", "w", "d", pads=[1, 1, 1, 1]),
            helper.make_node("Add", ["d", "a"], ["e"]),
            helper.make_node("MaxPool", ["e"], ["f"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node("GlobalAveragePool", ["f"], ["g"]),
            helper.make_node("Flatten", ["g"], ["h"]),
            helper.make_node("Gemm", ["h", "dense"], ["y"], transB=1),
        ],
        (1, 16, 14, 14), (1, 10), {"v": (32, 16, 3, 3), "w": (32, 32, 3, 3), "bias": (1, 32, 1, 1), "dense": (10, 32)},
    ),
    "inverted residual with squeeze and excitation": (
        [
            conv("x", "v", "a"),
            helper.make_node("Sigmoid", ["a"], ["b"]),
            helper.make_node("Mul", ["a", "b"], ["c"]),
            conv("c", "w", "d", pads=[1, 1, 1, 1], group=40),
            helper.make_node("GlobalAveragePool", ["d"], ["e"]),
            conv("e", "u", "f"),
            helper.make_node("Sigmoid", ["f"], ["g"]),
            helper.make_node("Mul", ["d", "g"], ["h"]),
            conv("h", "t", "i"),
            helper.make_node("Add", ["i", "x"], ["y"]),
        ],
        (1, 12, 10, 10), (1, 12, 10, 10),
        {"v": (40, 12, 1, 1), "w": (40, 1, 3, 3), "u": (40, 40, 1, 1), "t": (12, 40, 1, 1)},
    ),
    "dense": ([helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], (3, 20), (3, 10), {"w": (10, 20)}),
    "read as blocks and as planes": (
        [
            conv("x", "v", "a"),
            helper.make_node("Transpose", ["a"], ["b"], perm=[0, 1, 3, 2]),
            helper.make_node("Mul", ["a", "b"], ["y"]),
        ],
        (1, 16, 7, 7), (1, 16, 7, 7), {"v": (16, 16, 1, 1)},
    ),
}  # fmt: skip
BY_WINOGRAD = {"3x3", "Winograd, uneven, two images", "Winograd by lines", "a residual block"}


@needs_relax
@pytest.mark.parametrize("name", CASES)
def test_a_library_answers_as_onnx_runtime(name, tmp_path):
    nodes, shape, outputs, weights = CASES[name]
    small_file(tmp_path / "small.onnx", nodes, shape, outputs, weights)
    library = built(tmp_path, shape)
    winograd = any(kernel.get("schedule") == "winograd4" for kernel in manifest.read(library)["kernels"].values())
    assert winograd == (name in BY_WINOGRAD)
    assert error(tmp_path, library) < (5e-5 if winograd else 1e-5)


def quantized_file(folder, name):
    """`fp32.onnx`, and `small.onnx`, which is the same in INT8; returns the shape of the input."""
    nodes, shape, outputs, weights = CASES[name]
    small_file(folder / "fp32.onnx", nodes, shape, outputs, weights)
    samples = [(np.random.default_rng(seed).standard_normal(shape).astype(np.float32),) for seed in range(4)]
    qdq.quantize(folder / "fp32.onnx", folder / "small.onnx", iter(samples), vnni=True)
    return shape


def rounding(folder, library):
    """The largest error of a quantized library, as a share of what rounding changes."""
    with np.load(library / manifest.GOLDEN) as golden:
        given, found = (golden["input_0"],), golden["output_0"]
    (right,), (unrounded,) = (
        rounding_cost.outputs(onnx.load(folder / name), [given], 1) for name in ("small.onnx", "fp32.onnx")
    )
    return np.abs(found - right).max() / np.abs(found - unrounded).max()


@needs_relax
def test_what_a_clip_is_computed_of(tmp_path):
    nodes, shape, outputs, weights = CASES["clipped"]
    small_file(tmp_path / "small.onnx", nodes, shape, outputs, weights)
    kernels = manifest.read(built(tmp_path, shape))["kernels"]
    assert len([name for name in kernels if "pack" in name]) == 2, f"of the input and the output only: {kernels.keys()}"


QUANTIZED = [
    "a residual block",
    "7x7 of an image",
    "channels that fill no block",
    "1x1, stride 2",
    "dilated, uneven pads",
]


@needs_relax
@pytest.mark.parametrize("name", QUANTIZED)
def test_a_quantized_file_is_computed_in_integers(name, tmp_path):
    library = built(tmp_path, quantized_file(tmp_path, name))
    assert rounding(tmp_path, library) < 0.2
    kernels = manifest.read(library)["kernels"].values()
    schedules = {kernel["schedule"] for kernel in kernels if "schedule" in kernel}
    assert schedules == {"dot products"} if cpu.has_vnni() else schedules <= {"direct", "winograd4"}


@needs_relax
def test_a_quantized_dense_layer_of_several_rows(tmp_path):
    library = built(tmp_path, quantized_file(tmp_path, "dense"))
    assert rounding(tmp_path, library) < 0.2
    (dense,) = [kernel for kernel in manifest.read(library)["kernels"].values() if "layer" in kernel]
    assert dense["layer"].startswith("20->10") and dense["operations"] == 2 * 3 * 20 * 10
    assert dense.get("schedule") == ("dot products" if cpu.has_vnni() else None)


@needs_relax
@pytest.mark.parametrize("name", ["depthwise", "inverted residual with squeeze and excitation"])
def test_a_quantized_depthwise_convolution_reads_integers(name, tmp_path):
    library = built(tmp_path, quantized_file(tmp_path, name))
    assert rounding(tmp_path, library) < 0.2
    found = tb.inspect(library)
    (kernel,) = [name for name, kernel in found.kernels.items() if kernel.get("schedule") == "depthwise"]
    assert re.search(rf'def {kernel}\(\w+: T.Buffer\([^"]*"(\w+)"', found.text("fused"))[1] == "uint8"


@needs_relax
@pytest.mark.parametrize(("cpu_name", "first"), [("haswell", "quantize_dequantize"), ("cascadelake", "quantize")])
def test_quantization_keeps_the_blocks(cpu_name, first, tmp_path):
    """Without dot products of integers, the convolution reads the rounded values as floats."""
    library = built(tmp_path, quantized_file(tmp_path, "a residual block"), f"llvm -mcpu={cpu_name}")
    kernels = manifest.read(library)["kernels"]
    packs = [name for name in kernels if "pack" in name and "reshape" not in name]  # a dense layer is reshaped
    assert [re.sub(r"\d|fused_", "", name) for name in packs] == [f"{first}_pack", "dequantize_unpack"]
    assert "max_pool2d" in kernels, "pooled as integers, by a kernel of its own"


@needs_relax
def test_signed_integers(tmp_path):
    random = np.random.default_rng(0)
    arrays = {
        "s": np.float32(0.02), "z": np.int8(-7), "w": random.integers(-127, 128, (32, 16, 3, 3), np.int8),
        "ws": random.uniform(0.001, 0.002, 32).astype(np.float32), "wz": np.zeros(32, np.int8),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["dw"], axis=0),
        conv("d", "dw", "y", pads=[1, 1, 1, 1]),
    ]
    shape = (1, 16, 9, 9)
    small_file(tmp_path / "small.onnx", nodes, shape, (1, 32, 9, 9), {})
    model = onnx.load(tmp_path / "small.onnx")
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items())
    onnx.save(model, tmp_path / "small.onnx")
    library = built(tmp_path, shape)
    with np.load(library / manifest.GOLDEN) as golden:
        ((right,),) = [rounding_cost.outputs(model, [(golden["input_0"],)], 1)]
        assert np.abs(golden["output_0"] - right).max() < 1e-4 * right.std()


@needs_relax
@pytest.mark.parametrize(("cpu_name", "dots"), [("haswell", 0), ("alderlake", 1), ("cascadelake", 1)])
def test_dot_products_where_the_cpu_has_them(cpu_name, dots, tmp_path):
    library = built(tmp_path, quantized_file(tmp_path, "3x3"), f"llvm -mcpu={cpu_name}")
    codes = kernel_code.of_library(library / manifest.LIBRARY, manifest.read(library)["kernels"])
    (code,) = [code for name, code in codes.items() if "conv2d" in name]
    assert bool(code.everything.kinds.get(Kind.INT8_DOT)) == bool(dots) and code.parallel


@needs_relax
def test_its_library_is_inspected_and_explained(tmp_path):
    library = built(tmp_path, quantized_file(tmp_path, "a residual block"))
    about, schema = manifest.read(library), json.loads((SCHEMAS / "manifest.schema.json").read_text())
    jsonschema.validate(about, schema)
    assert about.keys() <= schema["properties"].keys(), "an entry is not described"
    found = tb.inspect(library)
    assert [stage.name for stage in found.stages] == ["imported", "fused", "scheduled"]
    assert found.stages[0].calls["relax.nn.conv2d"] == 2 and "conv2d" in found.text("imported")
    convolutions = [group["anchor"] for group in found.groups if "convolution" in group["anchor"]]
    assert len(convolutions) == (3 if cpu.has_vnni() else 2), "a dense layer of integers is one too"
    times = found.profile()
    assert times.keys() == found.kernels.keys() and all(ms > 0 for ms in times.values())
    explained = tb.explain(library)
    layers = {kernel.convolution for kernel in explained.kernels if kernel.convolution}
    assert any("32->32 3x3/1, 14x14" in layer for layer in layers)
    assert all(kernel.limit and kernel.reached < 1 and kernel.hot for kernel in explained.kernels if kernel.convolution)
    assert 0.5 * explained.model_ms < explained.kernels_ms < 2 * explained.model_ms


@needs_relax
@pytest.mark.parametrize("name", ["haswell", "znver4"])
def test_other_cpus(name, tmp_path):
    nodes, shape, outputs, weights = CASES["a residual block"]
    small_file(tmp_path / "small.onnx", nodes, shape, outputs, weights)
    library = built(tmp_path, shape, f"llvm -mcpu={name}")
    about = manifest.read(library)
    assert name in about["target"] and ("avx512f" in about["cpu_features"]) == (name == "znver4")
    codes = kernel_code.of_library(library / manifest.LIBRARY, about["kernels"])
    products = [codes[kernel].hot for kernel, entry in about["kernels"].items() if "convolution" in entry]
    assert len(products) == 2
    for loop in products:
        assert set(loop.widths) == {512 if name == "znver4" else 256} and loop.spills < loop.products / 2
    if manifest.GOLDEN in about["files"]:
        assert error(tmp_path, library) < 5e-5


@needs_relax
def test_relays_runtime_does_not_open_its_library(cli, tmp_path):
    nodes, shape, outputs, weights = CASES["3x3"]
    small_file(tmp_path / "small.onnx", nodes, shape, outputs, weights)
    library = built(tmp_path, shape)
    with pytest.raises(UserError, match="is a library of Relax.*bench --backends relax"):
        tb.load(library)
    for command in (("verify", library), ("export", library, tmp_path / "app")):
        done = cli(*command)
        assert done.returncode == 2 and "is a library of Relax" in done.stderr
    assert not (tmp_path / "app").exists()


@needs_relax
def test_bad_input(tmp_path):
    small_file(tmp_path / "small.onnx", [helper.make_node("Det", ["x"], ["y"])], (3, 3), (), {})
    with pytest.raises(UserError, match=r"small.onnx: Relax does not import .*Det.*Leave out"):
        built(tmp_path, (3, 3))
    nodes, shape, outputs, weights = CASES["3x3"]
    small_file(tmp_path / "small.onnx", nodes, shape, outputs, weights)
    with pytest.raises(UserError, match="target 'llvm': give an -mcpu"):
        built(tmp_path, shape, "llvm")


@needs_relax
@pytest.mark.slow
def test_it_races(cli, tmp_path):
    done = cli(
        "bench", TINY, "--data", "fashion-mnist", "--precision", "fp32,int8", "--backends", "eager,relay,relax",
        "--rounds", 1, "--samples", 3, "--images", 50, "--threads", 1, "--artifacts", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["name"]: row for row in json.loads(next(tmp_path.glob("*/results.json")).read_text())["variants"]}
    for name in ("tiny-cnn/fp32-relax", "tiny-cnn/int8-relax"):
        assert rows[name]["status"] == "ok" and not rows[name]["flagged"], rows[name]
    assert rows["tiny-cnn/fp32-relax"]["distances"]["reference"]["median"] < 1e-5


def folder_of(tmp_path, monkeypatch, **versions):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    environments.versions.cache_clear()
    place = tmp_path / "environments" / "relax"
    for name, version in versions.items():
        about = place / f"lib/python3.11/site-packages/{name}-{version}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
    (place / "bin").mkdir(parents=True, exist_ok=True)
    (place / "bin" / "python").touch()


def test_an_environment_that_is_not_built_is_skipped_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    environments.versions.cache_clear()
    with pytest.raises(Unavailable, match="Build it: make relax"):
        environments.python("relax")
    environments.versions.cache_clear()


def test_a_wrong_pair_of_versions_is_named(tmp_path, monkeypatch):
    folder_of(
        tmp_path,
        monkeypatch,
        apache_tvm="0.27.0.post1",
        apache_tvm_ffi="0.1.15.post2",
        onnx="1.18.0",
        onnxruntime="1.31.1",
        numpy="2.4.6",
        torch="2.13.0",
    )
    with pytest.raises(UserError, match=r"apache-tvm-ffi 0.1.15.post2 instead of 0.1.14.post1.*make relax"):
        environments.python("relax")
    environments.versions.cache_clear()


def test_both_in_one_environment(monkeypatch):
    monkeypatch.setattr(packages, "version", lambda name: "1.0")
    with pytest.raises(UserError, match=r"xtc-tvm-python-bindings and apache-tvm are both installed.*make relax"):
        packages.need_workbench()


FAULT = """
import json, sys
import numpy as np
from tvm_bench.backends.relax import packing, winograd
from tvm_bench.jobs.verbs import diff_relax

for module, name in ((packing, "weights"), (packing, "weights_of_dots"), (winograd, "weights")):
    right = getattr(module, name)
    setattr(module, name, lambda array, *sizes, right=right: right(np.roll(array, 1, 0), *sizes))
print(json.dumps(diff_relax.run(**json.loads(sys.argv[1]))))
"""


@needs_relax
def test_diff_finds_a_layer_whose_weights_are_packed_wrongly(tmp_path):
    shape = quantized_file(tmp_path, "a residual block")
    feed = FeedRequest((TensorSpec("x", shape, "float32"),), samples="synthetic").to_dict()
    request = {"source": str(tmp_path / "small.onnx"), "feed": feed, "images": 2, "threads": 1, "target": None}
    request["folder"] = str(tmp_path / "faults")
    right = launcher.run(Job("diff_relax", request, tmp_path / "jobs", "diff", venv="relax"))["result"]
    assert len(right["layers"]) > 5 and not right["faults"] and not any(map(wrong, right["layers"]))
    command = [environments.python("relax"), "-W", "ignore", "-c", FAULT, json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found = json.loads(done.stdout.splitlines()[-1])
    assert [row["name"] for row in found["layers"] if wrong(row)] == [
        "a",
        "d",
        *(["y_QuantizeLinear_Output"] if cpu.has_vnni() else []),
    ]
    assert {fault["stage"] for fault in found["faults"]} == {"schedules and kernels"}


@needs_relax
@pytest.mark.slow
def test_the_command_diff_compares_relax(cli, tmp_path):
    done = cli("diff", TINY, "--data", "fashion-mnist", "--backend", "relax", "--artifacts", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [
        line
        for line in done.stdout.splitlines()
        if re.fullmatch(r"tiny-cnn/(fp32|int8)-relax: All \d+ layers are right.", line)
    ]


def wrong(row):
    return LayerErrors.from_dict(row).wrong
