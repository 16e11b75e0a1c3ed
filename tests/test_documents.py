"""The pages in docs/ say what the committed results say."""

import importlib.util

from tests.conftest import ROOT
from tvm_bench.analysis.results import load

DOCS = ROOT / "docs"


def script(name):
    module = importlib.util.module_from_spec(
        spec := importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    )
    spec.loader.exec_module(module)
    return module


def test_the_report_is_what_its_script_writes():
    assert script("report").render() == (DOCS / "report.md").read_text(), "run `python benchmarks/report.py`"


def test_the_board_is_what_its_script_writes():
    board = script("compression")
    assert board.page(load(board.RESULTS)) == board.PAGE.read_text(), "run `python benchmarks/compression.py`"
