"""docs/report.md says what the committed results say."""

import importlib.util

from tests.conftest import ROOT


def test_the_report_is_what_its_script_writes():
    path = ROOT / "docs" / "report.py"
    module = importlib.util.module_from_spec(spec := importlib.util.spec_from_file_location("report_script", path))
    spec.loader.exec_module(module)
    assert module.render() == (ROOT / "docs" / "report.md").read_text(), "run `python docs/report.py`"
