"""What was measured survives the disk, and a damaged file is an error with a cure."""

import json
from dataclasses import replace

import pytest

from tests.runs import FAILED, a_row, a_run, constant, realistic
from tvm_bench.analysis import results
from tvm_bench.spec.errors import UserError


def test_results_survive_the_disk(tmp_path):
    run = replace(realistic(), variants=(*realistic().variants, FAILED))
    results.save(run, tmp_path / "results.json")
    assert results.load(tmp_path / "results.json") == run
    assert json.loads((tmp_path / "results.json").read_text())["schema"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[:-40], "not JSON"),
        (lambda text: "[]", "schema None"),
        (lambda text: text.replace('"schema": 1', '"schema": 7'), "schema 7"),
        (lambda text: text.replace('"machine"', '"engine"'), "'machine'"),
        (lambda text: text.replace('"precision"', '"precission"'), "precission"),
        (lambda text: text.replace("20.0", "NaN", 1), "no positive number"),
        (lambda text: text.replace('"ok"', '"fine"'), "'fine'"),
    ],
)
def test_a_damaged_file_names_itself_and_the_cure(tmp_path, change, words):
    path = tmp_path / "results.json"
    results.save(a_run(a_row("fp32-eager", constant(20.0))), path)
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError) as caught:
        results.load(path)
    assert words in str(caught.value) and str(path) in str(caught.value) and "tvm-bench bench" in str(caught.value)


def test_different_numbers_of_rounds_are_refused(tmp_path):
    run = a_run(a_row("fp32-eager", constant(20.0, 6)), a_row("fp32-relay", constant(10.0, 5)))
    results.save(run, tmp_path / "results.json")
    with pytest.raises(UserError, match=r"different numbers of rounds \(5, 6\)"):
        results.load(tmp_path / "results.json")


def test_what_older_files_do_not_say_has_a_default(tmp_path):
    """`docs/results/` and users keep files from before a race was saved round by round."""
    results.save(realistic(), tmp_path / "results.json")
    stored = json.loads((tmp_path / "results.json").read_text())
    for row in stored["variants"]:
        del row["identity"]
    (tmp_path / "results.json").write_text(json.dumps(stored))
    loaded = results.load(tmp_path / "results.json")
    assert loaded == realistic() and not loaded.partial and loaded.finished_rounds == 10


def test_a_missing_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="tvm-bench bench"):
        results.load(tmp_path / "results.json")
