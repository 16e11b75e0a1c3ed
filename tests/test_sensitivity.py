"""`sensitivity`: what each quantizer costs, the solver's mixes, and the way from a model to a checked mix."""

import itertools
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import tvm_bench as tb
from tests.conftest import TINY
from tvm_bench.analysis.mix_problem import Problem, Times
from tvm_bench.analysis.mixed_precision import Limit
from tvm_bench.exporters import qdq
from tvm_bench.exporters.onnx_layers import names_of as layers_of
from tvm_bench.exporters.quantizers import QuantizedFile
from tvm_bench.host import packages
from tvm_bench.measure import rounding_cost
from tvm_bench.spec import recipe
from tvm_bench.spec.cures import CORRECTIONS
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.mixed_precision import BF16, Cost, Outcome, Quantized, in_bf16, names_of
from tvm_bench.spec.tensors import TensorSpec
from tvm_bench.spec.variant import ModelSpec

SHAPE, SCORES = (1, 3, 16, 16), (1, 5)
SPEC = (TensorSpec("y", SCORES, "float32"),)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """An FP32 network and its INT8 file; the weights of `second` have one outlier for each filter."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("network")
    outliers = random.normal(0, 0.05, (8, 8, 3, 3))
    outliers[:, 0, 0, 0] = 3.0
    weights = {
        "w0": random.normal(0, 0.3, (8, 3, 3, 3)),
        "w1": outliers,
        "w2": random.normal(0, 0.2, (8, 8, 3, 3)),
        "w3": random.normal(0, 0.5, (5, 8)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], "activation"),
        helper.make_node("MaxPool", ["b"], ["c"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["c", "w1"], ["d"], "second", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "d"], ["e"], "sum"),
        helper.make_node("Conv", ["e", "w2"], ["f"], "third", pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["f"], ["g"], "mean"),
        helper.make_node("Flatten", ["g"], ["h"], "flat"),
        helper.make_node("Gemm", ["h", "w3"], ["y"], "dense", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SCORES)],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "fp32.onnx")
    samples = [(random.normal(0, 1, SHAPE).astype(np.float32),) for _ in range(8)]
    qdq.fold(folder / "fp32.onnx", folder / "folded.onnx")
    qdq.find_ranges(folder / "folded.onnx", samples, folder / "ranges.json")
    qdq.write(folder / "folded.onnx", folder / "ranges.json", folder / "int8.onnx", vnni=True, per_channel=True)
    return QuantizedFile(onnx.load(folder / "folded.onnx"), onnx.load(folder / "int8.onnx")), samples, folder


def sqnr(model, other, samples):
    return rounding_cost.cost(
        "classification", SPEC, *(rounding_cost.outputs(m, samples, 1) for m in (model, other))
    ).sqnr


def test_all_quantizers_together_are_the_int8_file(network):
    files, samples, _ = network
    together = files.with_only(*files.quantizers())
    assert sqnr(together, files.integers, samples) > sqnr(files.integers, files.floats, samples) + 10
    assert sqnr(files.with_only(), files.floats, samples) == float("inf")


def test_a_quantizer_knows_who_computes_with_it(network):
    found = {tensor: q for q in network[0].quantizers() for tensor in q.tensors}
    assert found["w1"].weights and found["w1"].readers == ("second",)
    # ReLU is gone from the INT8 file, and the pool moves values of the same scale.
    assert found["b"] is found["c"] and found["b"].writer == "first"
    assert {"pool", "second", "sum"} <= set(found["b"].readers)
    assert found["x"].writer is None and found["x"].readers == ("first",)
    assert found["b"].values == 8 * 16 * 16 + 8 * 8 * 8
    assert layers_of(network[0].floats)["second"] == "8->8 3x3/1, 8x8"


def test_the_layer_with_outliers_costs_most(network):
    files, samples, _ = network
    costs = {q.name: sqnr(files.with_only(q), files.floats, samples) for q in files.quantizers() if q.weights}
    assert min(costs, key=costs.get) == "w1"


def test_errors_add_up(network):
    files, samples, _ = network
    exact = rounding_cost.outputs(files.floats, samples, 1)
    alone = [
        rounding_cost.cost("classification", SPEC, rounding_cost.outputs(files.with_only(q), samples, 1), exact).noise
        for q in files.quantizers()
    ]
    expected, found = Cost(sum(alone)).sqnr, sqnr(files.integers, files.floats, samples)
    assert abs(expected - found) < 3


def test_nodes_left_out_are_fp32(network, tmp_path):
    files, samples, folder = network
    everything = [node.name for node in files.nodes]
    options = {"vnni": True, "excluded": everything}
    qdq.write(folder / "folded.onnx", folder / "ranges.json", tmp_path / "mix.onnx", **options)
    assert sqnr(onnx.load(tmp_path / "mix.onnx"), files.floats, samples) > 100


def mixed(network, path, *excluded):
    folder = network[2]
    qdq.write(folder / "folded.onnx", folder / "ranges.json", path, vnni=True, excluded=excluded)
    return onnx.load(path)


def test_a_convolution_in_bf16_rounds_its_data_and_weights(network, tmp_path):
    files, samples, _ = network
    others = [node.name for node in files.nodes if node.name != "second"]
    model = mixed(network, tmp_path / "mix.onnx", "bf16:second", *others)
    assert 40 < sqnr(model, files.floats, samples) < 80
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    assert [helper.get_attribute_value(node.attribute[0]) for node in casts] == [
        TensorProto.BFLOAT16,
        TensorProto.FLOAT,
    ]
    by_name = {node.name: node for node in model.graph.node}
    assert by_name["second"].input[0] == by_name["sum"].input[0] == casts[1].output[0], "it is stored once"
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert not (weights[by_name["second"].input[1]].view(np.uint32) & 0xFFFF).any()


def test_integers_are_not_rounded_to_bf16(network, tmp_path):
    """`sum` stays INT8 and reads what `second` reads: it gets the integers as before."""
    files, samples, _ = network
    model = mixed(network, tmp_path / "mix.onnx", "bf16:second")
    producers = {name: node for node in model.graph.node for name in node.output}
    by_name = {node.name: node for node in model.graph.node}
    assert producers[by_name["second"].input[0]].op_type == "Cast"
    assert producers[by_name["sum"].input[0]].op_type == "DequantizeLinear"
    assert sqnr(model, files.floats, samples) > sqnr(files.integers, files.floats, samples)


@pytest.mark.parametrize("name", ["mean", "secnd"])
def test_only_a_convolution_can_be_bf16(network, tmp_path, name):
    with pytest.raises(UserError, match=f"unknown convolution '{name}'"):
        mixed(network, tmp_path / "mix.onnx", f"bf16:{name}")


@pytest.mark.skipif(packages.version("nncf") is None, reason="NNCF is not installed: make peers")
def test_corrected_biases_lose_less(network, tmp_path):
    """NNCF 3.4 cannot correct them layer by layer in a network with branches: a row with a reason."""
    from tvm_bench.exporters import nncf_file

    _, samples, folder = network
    model, random = onnx.load(folder / "folded.onnx"), np.random.default_rng(0)
    for name in ("first", "second", "third"):
        node = next(node for node in model.graph.node if node.name == name)
        model.graph.initializer.append(
            numpy_helper.from_array(random.normal(0, 1, 8).astype(np.float32), f"{name}_bias")
        )
        node.input.append(f"{name}_bias")
    onnx.save(model, tmp_path / "biased.onnx")
    found = {}
    for correction in set(CORRECTIONS.values()) - {"layer by layer"}:
        nncf_file.quantize(tmp_path / "biased.onnx", tmp_path / "int8.onnx", iter(samples), correction, vnni=True)
        found[correction] = sqnr(onnx.load(tmp_path / "int8.onnx"), model, samples)
    assert found["fast"] > found["none"] > 30 and found["smooth"] > 30, found


def made_problem(seed, nodes=5):
    random = np.random.default_rng(seed)
    names = [f"n{i}" for i in range(nodes)]
    weights = [Quantized((f"w{n}",), None, (n,), True, 10, Cost(float(random.exponential()))) for n in names]
    tensors = [
        Quantized((f"t{a}",), a, (b,), False, 10, Cost(float(random.exponential())))
        for a, b in itertools.pairwise(names)
    ]
    fixed = Quantized(("x",), None, (), False, 10, Cost(0.01))
    times = {n: Times(*map(float, random.uniform(1, 3, 2)), measured=True, bf16=random.uniform(0.8, 2)) for n in names}
    casts = [*np.zeros(nodes), *random.uniform(0, 0.5, nodes - 1), 0.0]
    bf16 = {name: float(random.exponential(0.1)) for name in names[:3]}
    return Problem(times, [*weights, *tensors, fixed], casts, sum(time.int8 for time in times.values()), bf16)


def every_mix(problem):
    choices = [("", name, *([BF16 + name] if name in problem.bf16 else [])) for name in problem.nodes]
    return [frozenset(filter(None, mix)) for mix in itertools.product(*choices)]


@pytest.mark.parametrize("seed", range(6))
def test_the_solver_finds_the_fastest_mix(seed):
    problem = made_problem(seed)
    everything = every_mix(problem)
    for share in (0.05, 0.3, 0.6, 0.9):
        limit = share * problem.noise(frozenset())
        wanted = min((mix for mix in everything if problem.noise(mix) <= limit), key=problem.ms, default=None)
        found = problem.fastest(limit)
        if wanted is None:
            assert found == frozenset(problem.nodes)
            continue
        assert len(names_of(found)) == len(set(names_of(found))) and set(in_bf16(found)) <= problem.bf16.keys()
        assert problem.noise(found) <= limit * (1 + 1e-6)
        assert problem.ms(found) <= problem.ms(wanted) * 1.002


def test_limits():
    quiet, loud = (Outcome((), Cost(noise), score) for noise, score in ((1e-4, 0.90), (1e-2, 0.896)))
    assert Limit(sqnr=35).allows(quiet, None) and not Limit(sqnr=35).allows(loud, None)
    assert Limit(drop=0.4).allows(loud, 0.90) and not Limit(drop=0.3).allows(loud, 0.90)


def test_a_file_in_a_recipe(tmp_path):
    (tmp_path / "mix.txt").write_text("/a/Conv\n/b/Gemm\n")
    text = recipe.expanded(f"kmeans16+int8-entropy-without:@{tmp_path}/mix.txt")
    assert recipe.parse(text).quantization.excluded == ("/a/Conv", "/b/Gemm")
    assert recipe.without("int8-entropy", ["/a/Conv", "/b/Gemm"]) == "int8-entropy-without:/a/Conv,/b/Gemm"
    assert recipe.without("", ["a"]) == "int8-without:a" and recipe.whole("int8-without:a") == ""
    assert recipe.whole("kmeans16+int8-entropy-without:a") == "kmeans16+int8-entropy" and recipe.whole("int8") is None
    assert recipe.without("kmeans16+int8-entropy", ["@mix.txt"]) == "kmeans16+int8-entropy-without:@mix.txt"
    with pytest.raises(UserError, match="name of a node on each line"):
        recipe.expanded("int8-without:@nowhere.txt")
    long = ModelSpec("resnet18", recipe="int8-without:" + ",".join(f"/layer{i}/Conv" for i in range(40)))
    assert len(long.slug) < 60 and long.slug != ModelSpec("resnet18", recipe=long.recipe[:-1]).slug


def test_from_a_model_to_a_checked_mix(cli, tmp_path):
    options = ("--data", "fashion-mnist", "--images", "4", "--calibration-images", "32", "--threads", "1")
    arguments = ("sensitivity", TINY, *options, "--min-sqnr", "36", "--artifacts", tmp_path)
    done = cli(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    choice = found["choice"]
    assert choice["mix"]["outcome"]["cost"]["noise"] <= 10**-3.6
    assert choice["verified"][1]["cost"]["noise"] < choice["verified"][0]["cost"]["noise"]
    assert 0 < len(choice["mix"]["outcome"]["excluded"]) < len(found["nodes"])
    assert Path(choice["library"], "lib.so").is_file() and Path(choice["source"]).is_file()
    page = Path(found["page"])
    assert "chosen" in page.read_text() and page.with_name("mixes.png").stat().st_size > 1000
    # As if it had been interrupted: it does not calibrate again.
    ranges = page.with_name("ranges.json")
    calibrated = ranges.stat().st_mtime_ns
    (page.parents[1] / "jobs" / "sensitivity-int8.receipt.json").unlink()
    again = cli(*arguments, "--cures")
    assert again.returncode == 0 and f"int8-without:@{choice['recipe']}" in again.stdout
    assert "Of the recipes for all layers, int8" in again.stdout and "int8-entropy" in page.read_text()
    assert ("nncf: not installed" in page.read_text()) == (packages.version("nncf") is None)
    assert ranges.stat().st_mtime_ns == calibrated
    options = (*arguments[2:-4], "--artifacts", tmp_path)
    plan = cli("bench", TINY, *options, "--recipe", f"int8-without:@{choice['recipe']}", "--dry-run", "--json")
    names = [row["name"].rpartition("/")[0::2] for row in json.loads(plan.stdout)]
    assert ("tiny-cnn", "int8-relay-onnx") in names, "the mix races against all INT8"
    assert sum(model.startswith("tiny-cnn+int8-without") for model, name in names if name == "int8-relay") == 1
    found = tb.sensitivity(
        TINY, data="fashion-mnist", images=4, calibration_images=32, threads=1, min_sqnr=36, artifacts=str(tmp_path)
    )
    assert list(found.choice.mix.outcome.excluded) == choice["mix"]["outcome"]["excluded"]
    assert found.choice.library.samefile(choice["library"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--min-sqnr", "30", "--max-drop", "1"), "Give one of them"),
        (("--recipe", "qat"), "finds out which layers to leave out"),
        (("--recipe", "int8-without:@nowhere.txt"), "cannot be read"),
        (("--min-sqnr", "0"), "min-sqnr"),
    ],
)
def test_bad_input(cli, tmp_path, options, message):
    done = cli("sensitivity", TINY, "--data", "fashion-mnist", *options, "--artifacts", tmp_path)
    assert done.returncode == 2 and message in done.stderr
