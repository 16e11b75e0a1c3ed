"""README and the pages in docs/results/ say what the committed results say."""

import importlib
import json
import sys
from dataclasses import asdict

import pytest

from tests.conftest import ROOT
from tvm_bench.analysis.results import load

sys.path.insert(0, str(ROOT / "benchmarks"))
import compression
import fleet
import front_page
import measured
import relay_to_relax
import report
import zoo
import zoo_page

RESULTS = ROOT / "docs" / "results"


def test_the_report_is_what_its_script_writes():
    assert report.render() == (RESULTS / "report.md").read_text(), "run `python benchmarks/report.py`"


def test_the_board_is_what_its_script_writes():
    assert compression.page(load(compression.RESULTS)) == compression.PAGE.read_text(), (
        "run `python benchmarks/compression.py`"
    )


@pytest.mark.parametrize("name", measured.SCRIPTS)
def test_a_page_is_what_its_script_writes(name):
    script = importlib.import_module(name)
    written = script.RESULTS.with_suffix(".md").read_text()
    assert script.page(json.loads(script.RESULTS.read_text())) == written, "run `python benchmarks/measured.py`"


def test_the_map_to_relax_is_what_its_script_writes():
    results = json.loads(relay_to_relax.RESULTS.read_text())
    assert relay_to_relax.page(results) == relay_to_relax.PAGE.read_text(), "run `python benchmarks/relay_to_relax.py`"


def test_a_fleet_waits_for_its_slowest_part():
    assert fleet.makespan([3, 1, 1, 1], 2) == 3 and fleet.makespan([1, 1, 1, 3], 2) == 4
    trials = [fleet.Trial(build=2.0, run=1.0)] * 16
    parts = fleet.simulated(trials, own=5.0, per_step=8, servers=4, cores=2)
    assert parts == {"search": 10.0, "builds": 16.0, "runs": 4.0}
    assert fleet.simulated(trials, 5.0, 8, 256, 2)["runs"] == fleet.simulated(trials, 5.0, 8, 8, 2)["runs"] == 2.0


CPUS = [path.stem.removeprefix("zoo").removeprefix("-") or zoo.REFERENCE for path in zoo.RESULTS.glob("zoo*.json")]


@pytest.mark.parametrize("cpu", CPUS)
def test_the_zoo_is_what_its_script_writes(cpu):
    names = [network.name for network in (*zoo.torchvision_networks(), *zoo.others())]
    page, rows = zoo.files(cpu)
    assert zoo_page.page(zoo_page.load(rows), names, cpu) == page.read_text(), "run `python benchmarks/zoo.py`"


def test_the_front_page_shows_them():
    page = front_page.README.read_text()
    assert front_page.filled(page) == page, "run `python benchmarks/front_page.py`"
    assert len(page.splitlines()) <= 150
    samples = front_page.SAMPLE.read_text().partition('<script type="application/json" id="results">')[2]
    shown = json.loads(samples.partition("</script>")[0])
    assert shown["variants"] == json.loads(json.dumps(asdict(load(front_page.RACE))))["variants"]
