"""Recipes from the command line to libraries, in real processes, on the tiny network and a few real images."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from safetensors import safe_open

from tests.conftest import TINY
from tvm_bench.host import manifest
from tvm_bench.report.plots import gallery

RECIPE = "distill+prune-structured50-iterative2+qat"
SLUG = f"tiny-cnn+{RECIPE}"


def compress(cli, root, pictures, recipe, *options):
    return cli(
        "compress", "--model", TINY, "--data", f"imagefolder:{pictures}", "--recipe", recipe, "--artifacts", root,
        "--threads", "1", "--batch-size", "32", *options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def compressed(cli, pictures, tmp_path_factory):
    root = tmp_path_factory.mktemp("artifacts")
    done = compress(cli, root, pictures, RECIPE, "--epochs", "2", "--teacher", TINY)
    assert done.returncode == 0, done.stderr
    return root, done.stdout


def test_the_tables_say_what_became_of_it(compressed):
    root, printed = compressed
    assert "block.0" in printed and "SQNR" in printed and "zipped" in printed
    found = json.loads((root / SLUG / "compression.json").read_text())
    before, pruned, quantized = found["models"]
    assert pruned["parameters"] < 0.35 * before["parameters"] and pruned["flops"] < 0.5 * before["flops"]
    assert all(0 <= form["top1"] <= 1 and form["images"] == 30 for form in found["models"])
    block = next(layer for layer in found["layers"] if layer["name"] == "block.0")
    assert block["before"]["parameters"] == 16 * 16 * 9 and block["after"]["nonzero"] <= 8 * 8 * 9 + 8
    assert block["before"]["bytes"] / block["after"]["bytes"] > 10 and block["outputs_noise"] is None
    assert (root / SLUG / "plots" / "layers.png").stat().st_size > 5000


def test_each_step_is_a_file_with_its_training(compressed):
    root, _ = compressed
    steps = ("tiny-cnn+distill", "tiny-cnn+distill+prune-structured50-iterative2")
    for step, rounds in zip(steps, (1, 2), strict=True):
        histories = sorted((root / step / "compressed" / "training").glob("iteration-*/history.json"))
        assert len(histories) == rounds
    with safe_open(root / steps[1] / "compressed" / "weights.safetensors", "np") as file:
        assert file.get_slice("block.0.weight").get_shape() == [8, 8, 3, 3]
        assert file.metadata()["recipe"] == "distill+prune-structured50-iterative2"


def test_the_compressed_model_races_like_any_other(compressed, cli, pictures):
    root, _ = compressed
    weights = {path: path.stat().st_mtime_ns for path in root.rglob("weights.safetensors")}
    for log in root.rglob("*.request.json"):
        log.unlink()  # logs of jobs: nothing may depend on them
    done = cli(
        "bench", "--model", TINY, "--data", f"imagefolder:{pictures}", "--recipe", RECIPE, "--rounds", "1",
        "--samples", "3", "--threads", "1", "--backends", "eager,onnxruntime,relay", "--frontend", "onnx,pytorch",
        "--artifacts", root,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((root / SLUG / "results.json").read_text())["variants"]
    before = [name for name in (row["name"] for row in found) if not name.startswith(SLUG)]
    labels = ("fp32-eager", "fp32-onnxruntime", "fp32-relay-onnx", "fp32-relay-pytorch")
    assert sorted(before) == [f"tiny-cnn/{label}" for label in labels] and found[0]["name"] == "tiny-cnn/fp32-eager"
    rows = {row["name"].split("/")[1]: row for row in found if row["name"].startswith(SLUG)}
    assert set(rows) >= {"fp32-eager", "int8-eager", "int8-onnxruntime", "int8-relay-onnx", "int8-relay-pytorch"}
    for name, row in rows.items():
        if "relay" in name:
            assert row["source_argmax_agreement"] >= 0.9, name
    assert rows["fp32-relay-onnx"]["max_abs_error"] < 1e-4
    for frontend in ("onnx", "pytorch"):
        quantization = manifest.read(root / SLUG / f"int8-relay-{frontend}")["quantization"]
        assert "aware" in quantization["method"] and quantization["calibration"]["trained"]["epochs"] == 2
        stage = root / SLUG / f"int8-relay-{frontend}" / "relay" / "4-optimized-and-fused.json"
        assert not any("float" in pair for pair in json.loads(stage.read_text())["dtypes"]), frontend
    assert {path: path.stat().st_mtime_ns for path in weights} == weights, "it was compressed again, by other settings"


def test_figures_show_what_changed(cli, compressed, pictures):
    root, _ = compressed
    model_spec = ("--model", TINY, "--data", f"imagefolder:{pictures}", "--recipe", RECIPE)
    done = cli("figures", *model_spec, "--artifacts", root, "--threads", "1")
    assert done.returncode == 0, done.stderr
    drawn = [Path(line) for line in done.stdout.splitlines()]
    names = ["confusion", "changed", "misclassified", "features", "histograms"]
    assert [path.name for path in drawn] == [f"{name}.png" for name in names]
    inked = {path.stem: np.mean(np.any(imread(path)[..., :3] < 0.9, axis=-1)) for path in drawn}
    assert inked["misclassified"] > 0.2 and inked["features"] > 0.2 and inked["confusion"] > 0.05, inked
    assert inked["histograms"] > 0.02, inked
    found = np.load(root / SLUG / "gallery.npz")
    first, second = found["answers"]
    assert set(found["changed"]) == set(np.flatnonzero(first != second))
    assert set(found["wrong"]) == set(np.flatnonzero(second != found["labels"])) and len(found["labels"]) == 30
    assert len(found["before_0"]) == 8 and found["before_0"].shape[1:] == found["after_0"].shape[1:]
    for kind in ("weights", "outputs"):
        values, edges = found[f"{kind}_0"], found[f"{kind}_edges_0"]
        assert values.shape == (2, len(edges) - 1) and values.sum(axis=1).min() > 0
    counts = gallery.confusion(found["labels"], first, 10)
    assert counts.sum() == 30 and counts.trace() == (first == found["labels"]).sum()
    wrong = cli("figures", *model_spec, "--artifacts", root, "--threads", "1", "--image", "30")
    assert wrong.returncode == 2 and "0 to 29" in wrong.stderr


def test_codebooks_race_too(cli, pictures, tmp_path):
    done = compress(cli, tmp_path, pictures, "prune-2:4+kmeans16", "--epochs", "0")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "tiny-cnn+prune-2_4+kmeans16" / "compression.json").read_text())
    block = next(layer for layer in found["layers"] if layer["name"] == "block.0")
    assert block["after"]["sparsity"] == 0.5 and 0 < block["outputs_noise"] < 1
    assert found["models"][1]["mb"] < 0.45 * found["models"][0]["mb"]


def test_operators_are_listed_by_form(cli, tmp_path):
    options = ("--data", "fashion-mnist", "--threads", "1", "--calls", "2", "--artifacts", tmp_path)
    done = cli("operators", "--model", TINY, *options)
    assert done.returncode == 0, done.stderr
    for words in ("/fp32:", "/fp16-dynamic:", "/int8-dynamic:", "/int8:", "aten::", "quantized::conv2d", "self MB"):
        assert words in done.stdout, words
    found = json.loads(cli("operators", "--model", TINY, *options, "--precision", "fp32", "--top", 1, "--json").stdout)
    (row,) = found["fp32"]
    assert row["name"].startswith("aten::") and row["ms"] > 0 and 0 < row["share"] <= 1


@pytest.mark.parametrize(
    ("recipe", "options", "words"),
    [
        ("", (), "give --recipe"),
        ("prune-strctured50", (), "Did you mean prune-structured50"),
        ("distill", (), "--teacher resnet50"),
        ("distill", ("--teacher", "resnet81"), "Did you mean"),
        ("distill", ("--teacher", "tests.tiny:three_classes"), "3 classes and the student 10"),
        ("prune-2:4", ("--model", "tests.tiny:three_classes"), "has 3 classes"),
        ("prune-2:4", ("--model", "resnet18"), "the model was trained on T-shirt/top, Trouser"),
        ("prune-2:4", ("--model", "model.onnx"), "is an ONNX file"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_written(cli, pictures, tmp_path, recipe, options, words):
    done = compress(cli, tmp_path, pictures, recipe, *options)
    assert done.returncode == 2 and words in " ".join(done.stderr.split()), done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".safetensors", ".png", ".npy")]


@pytest.mark.parametrize(
    ("recipe", "options", "words"),
    [
        ("prune-2:4", ("--layers", "stem.O", "--epochs", "0"), "Did you mean stem.0"),
        ("prune-2:4", ("--layers", "stem.1"), "is a BatchNorm2d"),
        ("kmeans16", ("--layers", "stem.0"), "prunes nothing"),
        ("prune-2:4+distill", (), "--teacher resnet50"),
        ("prune-2:4+qat", ("--epochs", "0"), "trains nothing"),
    ],
)
def test_what_the_options_rule_out_is_said_before_anything_is_made(cli, pictures, tmp_path, recipe, options, words):
    done = compress(cli, tmp_path, pictures, recipe, *options)
    assert done.returncode == 2 and words in " ".join(done.stderr.split()), done.stderr
    assert not list(tmp_path.rglob("sources")) and not list(tmp_path.rglob("compressed"))


def test_a_recipe_decides_the_precision(cli, tmp_path):
    done = cli("bench", "--model", TINY, "--recipe", "int8-dynamic", "--precision", "int8", "--artifacts", tmp_path)
    assert done.returncode == 2 and "makes fp32 and int8-dynamic, not int8" in done.stderr
