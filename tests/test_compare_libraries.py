"""`tvm-bench compare` of two libraries: where the milliseconds went, layer by layer."""

import json
import shutil

import pytest
from click.testing import CliRunner

from tvm_bench.analysis.explanation.layer_changes import Profile, compare
from tvm_bench.cli import main
from tvm_bench.host import manifest
from tvm_bench.report import layer_changes as report

FIRST = {"layer": "3->64 7x7/2, 112x112", "calls": 1, "schedule": "2x6x1"}
SAME = {"layer": "64->64 3x3/1, 56x56", "calls": 2, "schedule": "winograd4"}
OLD = Profile({"a": FIRST, "b": SAME, "c": SAME}, {"a": 2.0, "b": 3.0, "c": 1.0, "fused_layout_transform": 0.5}, 7.0)
NEW = Profile({"x": {**FIRST, "layer": "4->64 7x7/2, 112x112"}, "y": {**SAME, "calls": 4}}, {"x": 1.0, "y": 6.0}, 7.25)


def test_kernels_are_matched_by_what_they_compute():
    found = {layer.layer: layer for layer in compare(OLD, NEW).layers}
    assert found.keys() == {FIRST["layer"], SAME["layer"], "layout transforms"}
    assert [layer.ms for layer in found.values()] == [2.0, -1.0, -0.5], "the largest change first"
    repeated = found[SAME["layer"]]
    assert (repeated.old.calls, repeated.new.calls, repeated.old.ms) == (4, 4, 4.0)
    assert found["layout transforms"].new.calls == 0, "the new library has none"


def test_all_changes_together_are_the_change_of_the_model():
    comparison = compare(OLD, NEW)
    assert comparison.rest_ms == pytest.approx(0.25 - 0.5)
    table = report.table(comparison)
    assert [line[-2] for line in table.lines] == ["+2.000", "+1.000", "+0.500", "+0.250"]
    assert "1.04 times" in report.sentence(comparison)


def test_layers_that_hardly_changed_share_a_line(monkeypatch):
    monkeypatch.setattr(report, "MOST", 1)
    names = [line[0] for line in report.table(compare(OLD, NEW)).lines]
    assert names == [SAME["layer"], "2 other layers", "beside the kernels"]


def test_the_command_runs_both_libraries(built, tmp_path):
    folders = [str(built / f"{precision}-relay-onnx") for precision in ("fp32", "int8")]
    done = CliRunner().invoke(main, ["compare", *folders, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    products = [layer for layer in found["layers"] if "->" in layer["layer"]]
    assert products and all(layer["old"]["calls"] == layer["new"]["calls"] > 0 for layer in products)
    changes = [layer["new"]["ms"] - layer["old"]["ms"] for layer in found["layers"]]
    assert sum(changes) + found["rest_ms"] == pytest.approx(found["new_ms"] - found["old_ms"])
    plot = tmp_path / "layers.png"
    shown = CliRunner().invoke(main, ["compare", *folders, "--plot", str(plot)], catch_exceptions=False)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "int8-relay-onnx against fp32-relay-onnx" in shown.output and "beside the kernels" in shown.output


def test_a_picture_that_cannot_be_written_is_refused_before_anything_is_run(tmp_path):
    for plot, reason in ((tmp_path / "layers.pdf", ".png or .svg"), (tmp_path / "none" / "layers.png", "no folder")):
        done = CliRunner().invoke(main, ["compare", "old", "new", "--plot", str(plot)])
        assert done.exit_code == 2 and reason in " ".join(done.stderr.split())
    done = CliRunner().invoke(main, ["compare", "old.json", "new.json", "--plot", str(tmp_path / "layers.png")])
    assert done.exit_code == 2 and "two libraries" in done.stderr


def test_libraries_of_unlike_thread_counts_are_refused(built, tmp_path):
    other = shutil.copytree(built / "fp32-relay-onnx", tmp_path / "other")
    about = {**manifest.read(other), "threads": 2}
    (other / manifest.NAME).write_text(json.dumps(about))
    done = CliRunner().invoke(main, ["compare", str(built / "int8-relay-onnx"), str(other)])
    assert done.exit_code == 2 and "with --threads 1" in done.stderr and "with 2" in done.stderr
