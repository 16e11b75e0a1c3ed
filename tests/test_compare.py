"""Two races: what became faster or slower, and which must not be compared."""

import json
import os
from dataclasses import replace

import pytest
from click.testing import CliRunner

from tests.runs import a_row, a_run, times
from tvm_bench.analysis import results
from tvm_bench.analysis.compare import compare
from tvm_bench.cli import main
from tvm_bench.spec.errors import UserError


def run(level=10.0, seed=5, **machine):
    return a_run(a_row("fp32-eager", times(30, seed=seed)), a_row("int8-relay", times(level, seed=seed + 1)), **machine)


def words(old, new, tolerance=0.05):
    return {change.name.split("/")[1]: change.word for change in compare(old, new, tolerance)}


@pytest.mark.parametrize(
    ("level", "word"),
    [(10.0, "no difference"), (8.0, "faster"), (10.35, "slower"), (11.5, "slower, a regression")],
)
def test_each_variant_is_faster_slower_or_the_same(level, word):
    assert words(run(), run(level, seed=50)) == {"fp32-eager": "no difference", "int8-relay": word}


def test_the_tolerance_is_the_users():
    assert words(run(), run(11.5, seed=50), 0.3)["int8-relay"] == "slower"
    assert words(run(), run(10.35, seed=50), 0.0)["int8-relay"] == "slower, a regression"


def test_noise_is_no_regression():
    wild = a_row("int8-relay", [[9.0], [14.0], [10.0], [13.0]])
    assert words(a_run(wild), a_run(replace(wild, latency_ms={"rounds": [[15.0], [9.0], [14.0]]}))) == {
        "int8-relay": "no difference"
    }


def test_what_fails_now_is_a_regression_and_what_is_new_is_none():
    old = run()
    broken = replace(old.variants[1], status="failed", error="crashed", latency_ms=None)
    new = a_run(broken, a_row("int8-eager", times(5)))
    assert words(old, new) == {
        "fp32-eager": "not in the race now",
        "int8-relay": "failed now",
        "int8-eager": "not in the race before",
    }
    assert [change.regressed for change in compare(old, new, 0.05)] == [False, True, False]
    flagged = a_run(replace(old.variants[1], flagged="two threads of one"))
    assert [change.regressed for change in compare(old, flagged, 0.05)] == [False, True]


@pytest.mark.parametrize(
    ("machine", "settings", "key"),
    [
        ({"cpu": "EPYC"}, {}, "machine.cpu was 'Xeon' and is 'EPYC'"),
        ({"cores": 8}, {}, "machine.cores was '4' and is '8'"),
        ({"packages": {"torch": "2.14.0"}}, {}, "machine.packages.torch was '2.13.0' and is '2.14.0'"),
        ({}, {"threads": 2}, "settings.threads was '4' and is '2'"),
        ({}, {"model": {"model": "resnet50"}}, "settings.model.model was 'resnet18' and is 'resnet50'"),
    ],
)
def test_unlike_races_are_refused_by_the_key_and_both_values(machine, settings, key):
    old = run(packages={"torch": "2.13.0"})
    old = replace(old, settings={**old.settings, "model": {"model": "resnet18"}})
    new = replace(old, machine={**old.machine, **machine}, settings={**old.settings, **settings})
    with pytest.raises(UserError) as caught:
        compare(old, new, 0.05)
    assert key in str(caught.value)


def test_what_an_older_file_did_not_record_and_what_changes_by_itself_is_not_unlike():
    new = run(smt="1", load_average=7.0, mhz={"now": 3000})
    assert words(run(), replace(new, settings={**new.settings, "command": "other"}))["int8-relay"] == "no difference"


def test_the_command_exits_with_1_on_a_regression(tmp_path):
    for name, each in (("old", run()), ("new", run(11.5, seed=50)), ("other", run(cpu="EPYC"))):
        (tmp_path / name).mkdir()
        results.save(each, tmp_path / name / "results.json")
    call = CliRunner().invoke
    same = call(main, ["compare", str(tmp_path / "old"), str(tmp_path / "old")])
    assert same.exit_code == 0 and same.output.count("no difference") == 2
    slower = call(main, ["compare", str(tmp_path / "old"), str(tmp_path / "new" / "results.json")])
    assert slower.exit_code == 1 and "1.14" in slower.output and "slower, a regression" in slower.output
    assert call(main, ["compare", str(tmp_path / "old"), str(tmp_path / "new"), "--tolerance", "0.5"]).exit_code == 0
    changes = json.loads(call(main, ["compare", str(tmp_path / "old"), str(tmp_path / "new"), "--json"]).output)
    (changed,) = (change for change in changes if change["regressed"])
    assert changed["ratio"]["value"] == pytest.approx(1.15, abs=0.02)
    (tmp_path / "old" / "runs").mkdir()
    (tmp_path / "new").rename(tmp_path / "old" / "runs" / "2025")
    assert "faster" in call(main, ["compare", str(tmp_path / "old")]).output
    os.utime(tmp_path / "old" / "results.json")
    assert "faster" in call(main, ["compare", "last", "--artifacts", str(tmp_path)]).output
    assert "no race" in call(main, ["compare", "last", "--artifacts", str(tmp_path / "old")]).output
    refused = call(main, ["compare", str(tmp_path / "old"), str(tmp_path / "other")])
    assert refused.exit_code == 2 and "machine.cpu" in refused.output
