"""Samples of the user, comparison of outputs of any shape, and validity without scores."""

import re

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from tests import networks
from tests.networks import TwoOfEach
from tvm_bench.analysis.results import Row
from tvm_bench.analysis.validity import ValidityLimits, wrong_answers
from tvm_bench.data import feeds, samples, synthetic
from tvm_bench.jobs.verbs import evaluate
from tvm_bench.measure import comparison, timed_inputs
from tvm_bench.models import resolve, with_named_inputs
from tvm_bench.models.tensors import flatten
from tvm_bench.pipeline import steps
from tvm_bench.spec.errors import UserError
from tvm_bench.spec.feed import FeedRequest
from tvm_bench.spec.sizes import Sizes
from tvm_bench.spec.tensors import TensorSpec
from tvm_bench.spec.variant import ModelSpec, RunSpec

INPUTS = TwoOfEach.inputs
GOOD = networks.arrays(TwoOfEach, 5)


def load(path, arrays, inputs=INPUTS):
    np.savez(path / "samples.npz", **arrays)
    return feeds.load(FeedRequest(inputs, samples=str(path / "samples.npz")), "test")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image": ..., "imaeg": GOOD["image"]}, "unknown input in .* 'imaeg'. Did you mean image"),
        ({"scale": ...}, "no array for the input 'scale', only 'image'. Add one"),
        ({"scale": GOOD["scale"][:, 0]}, r"'scale' is \(5,\); the model takes \(samples, 2\)"),
        ({"image": GOOD["image"][..., :8]}, r"\(5, 3, 16, 8\); the model takes \(samples, 3, 16, 16\)"),
        ({"scale": GOOD["scale"].astype("f8")}, "is float64; the model takes float32.*Convert it"),
        ({"scale": np.full((5, 2), np.nan, "f4")}, "NaN or infinity in sample 0"),
        ({"image": np.where(np.arange(5)[:, None, None, None] == 3, np.inf, GOOD["image"])}, "infinity in sample 3"),
        ({"scale": GOOD["scale"][:3]}, "samples {'image': 5, 'scale': 3}"),
        ({"scale": np.array([["a"]] * 5)}, "'scale' is"),
        ({"scale": np.array([{}] * 5)}, "not an .npz file of arrays"),
    ],
)
def test_samples_that_do_not_fit(change, says, tmp_path):
    arrays = {name: array for name, array in {**GOOD, **change}.items() if array is not ...}
    with pytest.raises(UserError, match=re.compile(says, re.DOTALL)):
        load(tmp_path, arrays)


def test_paths_that_have_no_samples(tmp_path):
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(UserError, match="no samples at"):
            samples.read(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(UserError, match="not an .npz file"):
        samples.read(tmp_path / "one.npy")


def test_bad_samples_are_refused_before_anything_is_written(cli, tmp_path):
    np.savez(tmp_path / "bad.npz", image=GOOD["image"], scales=GOOD["scale"])
    options = ("--inputs", tmp_path / "bad.npz", "--precision", "fp32,int8", "--artifacts", tmp_path / "artifacts")
    done = cli("build", "--model", "tests.networks:two_of_each", *options)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "unknown input 'scales'. Did you mean scale" in done.stderr
    assert not [path for path in (tmp_path / "artifacts").rglob("*") if path.suffix in (".so", ".onnx", ".pt", ".npy")]


def test_one_file_and_a_folder_hold_the_same_samples(tmp_path):
    (tmp_path / "folder").mkdir()
    for i in range(5):
        np.savez(tmp_path / "folder" / f"{i}.npz", **{name: array[i] for name, array in GOOD.items()})
    both = load(tmp_path, GOOD), feeds.load(FeedRequest(INPUTS, samples=str(tmp_path / "folder")), "test")
    one, other = ([*feed.batches(2, None)] for feed in both)
    assert len(one) == 3 and one[0][0].shape == (2, 3, 16, 16) and np.array_equal(one[2][0][0], one[2][0][1])
    assert all(np.array_equal(*pair) for pair in zip(one[1], other[1], strict=True))


def test_safe_casts_are_made_and_named(tmp_path):
    feed = load(tmp_path, {**GOOD, "image": np.ones((5, 3, 16, 16), np.uint8)})
    assert feed.name.endswith("(image uint8 to float32)")
    assert next(feed.batches(1, None))[0].dtype == np.float32


def test_a_sample_of_an_input_without_a_batch_size_is_the_whole_input(tmp_path):
    inputs = (TensorSpec("x", (1, 2)), TensorSpec("table", (7, 2), batched=False))
    feed = load(tmp_path, {"x": np.ones((3, 1, 2), "f4"), "table": np.arange(42, dtype="f4").reshape(3, 7, 2)}, inputs)
    second = list(feed.batches(1, None))[1]
    assert second[0].shape == (1, 2) and second[1].tolist() == np.arange(14, 28).reshape(7, 2).tolist()
    windows = timed_inputs.windows(inputs, [np.ones((3, 2)), np.zeros((3, 7, 2))])
    assert len(windows) == 4 and windows[3][1].shape == (7, 2)


def test_inputs_that_are_no_images_are_not_made_up():
    with pytest.raises(UserError, match="--inputs samples.npz.*--inputs synthetic"):
        feeds.load(FeedRequest(INPUTS), "test")
    assert feeds.load(FeedRequest(INPUTS, samples="synthetic"), "test").name == "synthetic inputs"


def test_synthetic_integers_are_valid():
    tokens, flags, pixels = synthetic.arrays(
        [
            TensorSpec("t", (1, 90), "int64", high=50),
            TensorSpec("f", (1, 9), "bool"),
            TensorSpec("p", (1, 90), "uint8"),
        ],
        8,
    )
    assert tokens.dtype == np.int64 and tokens.min() >= 0 and 40 < tokens.max() < 50
    assert flags.dtype == np.bool_ and pixels.max() > 200


def test_a_module_gets_names_shapes_and_dtypes_of_its_inputs():
    model = resolve("tests.tiny:cnn")
    assert with_named_inputs(model, Sizes(shapes={"images": (1, 3, 48, 40)}), {}).spec.shape == (3, 48, 40)
    with pytest.raises(UserError, match="unknown input 'image'. Did you mean images"):
        with_named_inputs(model, Sizes(shapes={"image": (1, 3, 48, 48)}), {})
    with pytest.raises(UserError, match="--dim height is for ONNX files"):
        with_named_inputs(model, Sizes(dims={"height": 48}), {})
    two = resolve("tests.networks:two_of_each")
    assert [spec.shape for spec in with_named_inputs(two, Sizes(shapes={"scale": (1, 2)}), {}).inputs] == [
        (1, 3, 16, 16), (1, 2),
    ]  # fmt: skip

    class Plain(torch.nn.Module):
        def forward(self, ids, mask, unused=None):
            return ids * mask

    plain = with_named_inputs(
        resolve("tests.tiny:cnn").__class__(Plain(), None, ()),
        Sizes(shapes={"mask": (1, 4)}),
        {"ids": np.ones((9, 4), int)},
    )
    assert [(spec.name, spec.shape, spec.dtype) for spec in plain.inputs] == [
        ("ids", (1, 4), "int64"), ("mask", (1, 4), "float32"),
    ]  # fmt: skip


def test_outputs_of_any_structure_are_flattened_in_their_order():
    one, two = torch.ones(1), torch.zeros(1, 2)
    assert list(flatten({"b": one, "a": [two, {"c": one}]})) == ["b", "a_0", "a_1_c"]
    assert list(flatten((one, two))) == ["output_0", "output_1"] and list(flatten(two)) == ["logits"]
    with pytest.raises(UserError, match="returns a float as a_0"):
        flatten({"a": (1.0,)})


def test_differences_of_an_output():
    spec, right = TensorSpec("y", (1, 3, 4)), np.random.default_rng(0).standard_normal((6, 3, 4)).astype("f4")
    (equal,) = comparison.compared("any", [spec], [right], [right.copy()])
    assert (
        equal["sqnr_db"] == comparison.EQUAL_DB and equal["max_relative_error"] == 0 and equal["argmax_agreement"] == 1
    )
    (tenth,) = comparison.compared("any", [spec], [right * 1.1], [right])
    assert tenth["sqnr_db"] == pytest.approx(20, abs=0.01) and tenth["max_relative_error"] == pytest.approx(
        0.1, rel=1e-3
    )
    broken = right.copy()
    broken[2, 0, 0] = np.nan
    (nan,) = comparison.compared("any", [spec], [broken], [right])
    assert np.isnan(nan["sqnr_db"]) and np.isnan(nan["worst"])
    turned = right.copy()
    turned[0] = right[0][:, ::-1]
    (one,) = comparison.compared("any", [spec], [turned], [right])
    assert one["argmax_agreement"] == pytest.approx(15 / 18) and one["worst"] > 0.5 > one["median"]


def test_boxes_and_scores_of_a_detector_are_compared_apart():
    spec, random = TensorSpec("y", (1, 7, 84)), np.random.default_rng(0)
    right = np.concatenate([100 * random.random((5, 4, 84)), random.random((5, 3, 84))], axis=1)
    wrong = right.copy()
    wrong[:, 4:] = wrong[::-1, 4:]
    boxes, scores = comparison.compared("detection", [spec], [wrong], [right])
    assert boxes["sqnr_db"] == comparison.EQUAL_DB and scores["sqnr_db"] < 10
    (whole,) = comparison.compared("any", [spec], [wrong], [right])
    assert whole["sqnr_db"] > 30, "the boxes hide it"


def verdict(precision, right, answers):
    specs = [TensorSpec(f"y{i}", (1, *array.shape[1:])) for i, array in enumerate(right)]
    role = "reference" if precision == "fp32" else "source"
    errors = comparison.compared("any", specs, answers, right)
    return wrong_answers(Row("m/x", precision, "x", output_errors={role: errors}), ValidityLimits())


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_every_output_must_be_right_and_one_must_vary(precision):
    random = np.random.default_rng(0)
    varied, still = random.standard_normal((20, 3, 5, 5)), np.tile(random.standard_normal((1, 9)), (20, 1))
    assert verdict(precision, [varied, still], [varied, still]) is None
    assert "output y0: the " in verdict(precision, [varied, still], [np.roll(varied, 1, axis=0), still])
    assert "output y1: it hardly varies" in verdict(precision, [varied, still], [varied, still + 1])
    assert "cannot be checked" in verdict(precision, [still], [still])
    swapped = varied.copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    assert "worst image" in verdict(precision, [varied], [swapped])


def test_wrong_calls_of_one_output_of_two_are_counted():
    random = np.random.default_rng(0)
    expected = [random.standard_normal((4, 6)).astype("f4"), random.standard_normal((4, 3)).astype("f4")]
    answers = [np.concatenate([values, values]) for values in expected]
    assert timed_inputs.wrong_calls(answers, expected) == 0
    answers[1][5] = answers[1][4]
    assert timed_inputs.wrong_calls(answers, expected) == 1


def test_large_answers_are_compared_on_fewer_samples(monkeypatch):
    monkeypatch.setattr(evaluate, "MOST_BYTES", 1000)
    calls = []

    def infer(inputs):
        calls.append(inputs)
        return (np.full((1, 100), len(calls), np.float32),)

    (answers,) = evaluate._answers(infer, iter([(np.zeros((1, 2)),)] * 10), 10, 1)
    assert answers[:, 0].tolist() == [1, 2]


def test_int8_is_calibrated_with_the_first_samples_only_if_told(tmp_path):
    factors = 10 ** np.arange(5, dtype="f4")
    growing = {name: array * factors.reshape(-1, *[1] * (array.ndim - 1)) for name, array in GOOD.items()}
    np.savez(tmp_path / "growing.npz", **growing)
    spec = ModelSpec("tests.networks:two_of_each", samples=str(tmp_path / "growing.npz"))

    def largest_scale(calibration):
        root = tmp_path / str(calibration)
        run_spec = RunSpec(spec, ("int8",), (), None, (1,), (1,), root, calibration=calibration)
        bench = steps.open_workbench(run_spec, calibrate=True)
        assert bench.about["calibration"]["images"] == (calibration or 5)
        model = onnx.load(steps.prepare(bench, "onnx", "int8", 1)[0])
        scales = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name.endswith("_scale")]
        return max(scale.max() for scale in scales)

    assert largest_scale(None) > 1000 * largest_scale(1)
