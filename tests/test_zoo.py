"""The script that races many networks."""

import sys

import pytest

sys.path.insert(0, "benchmarks")
import zoo
import zoo_page
from zoo_page import Cell, Row


def row(**cells):
    return Row("0123456789", "2026-01-01", None, {label.replace("_", "-"): cell for label, cell in cells.items()})


RACED = row(
    fp32_relay_onnx=Cell(8.0, "the layers are wrong"),
    fp32_relay_pytorch=Cell(9.0, None),
    fp32_onnxruntime=Cell(10.0, None),
    int8_relay_onnx=Cell(5.0, None, layers={"count": 7, "wrong": 1, "first": "stem"}),
    int8_relay_pytorch=Cell(None, "it crashed"),
    int8_onnxruntime=Cell(4.0, None),
)


def test_only_right_libraries_count():
    assert RACED.ratio("fp32") == pytest.approx(0.9)
    assert RACED.ratio("int8") == pytest.approx(1.25)
    rows = {"two": Row("0123456789", "2026-01-01", "it crashed"), "one": RACED}
    page = zoo_page.page(rows, ["one", "two", "three"], "znver4")
    assert "Measured: 2 networks, 2026-01-01 at 01234567.\nNot measured yet: three." in page
    assert "FP32 by onnx: 0 of 2 networks are right." in page
    assert "FP32 by pytorch: 1 of 2 networks are right." in page
    assert "| one | 8.00 wrong | 9.00 | 10.0 | 0.90 |" in page
    assert "| one | 5.00 | failed | 4.00 | 1.25 | 1 of 7 | – |" in page
    assert "- two: it crashed" in page


def test_rows_are_read_as_they_were_written(tmp_path):
    zoo_page.save({"one": RACED}, tmp_path / "zoo.json")
    assert zoo_page.load(tmp_path / "zoo.json") == {"one": RACED}
    assert zoo_page.load(tmp_path / "none.json") == {}


def test_a_network_that_fails_is_a_row(tmp_path):
    network = zoo.Network("missing", ("--model", "tests.tiny:missing"))
    failed = zoo.measured(network, ["--rounds", "1"], tmp_path, minutes=5)
    assert failed.cells == {} and "missing" in failed.error
    slow = zoo.measured(network, ["--rounds", "1"], tmp_path, minutes=1e-6)
    assert "minutes" in slow.error


def test_networks_come_by_name_and_size():
    names = [network.name for network in zoo.selected(zoo.torchvision_networks(), ("resnet*", "fcn_*"))]
    assert names[:2] == ["resnet18", "resnet34"] and "fcn_resnet50" in names
