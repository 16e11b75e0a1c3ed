"""A race on disk: an interrupted one has its finished rounds, and only the same race resumes from them."""

import errno
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from click.testing import CliRunner

from tests.conftest import ROOT, TINY
from tests.runs import a_row, constant
from tvm_bench.analysis.results import Results, Row, load, save
from tvm_bench.cli import main
from tvm_bench.host import checkout
from tvm_bench.pipeline import race_state
from tvm_bench.pipeline.race_entrants import Entrant
from tvm_bench.spec.errors import UserError

INTERRUPTED = (
    "bench", "--model", TINY, "--data", "fashion-mnist", "--precision", "fp32", "--backends", "onnxruntime", "--images",
    "10", "--rounds", "4", "--samples", "3", "--threads", "1",
)  # fmt: skip
# A shell may start its background jobs with Ctrl-C ignored.
WITH_CTRL_C = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from tvm_bench.cli import main; main()"
)


def interrupt(root, after, how):
    """Start the race, and send it the signal `how` after `after` saved rounds. Returns its messages and results."""
    command = [sys.executable, "-c", WITH_CTRL_C, *INTERRUPTED, "--artifacts", root]
    process = subprocess.Popen(
        map(str, command), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    path = root / "tiny-cnn" / "results.json"
    while process.poll() is None and not (path.exists() and load(path).finished_rounds >= after):
        time.sleep(0.02)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode, "the race ended before it was interrupted"
    return said, load(path)


def test_an_interrupted_race_keeps_its_rounds_and_resumes(cli, tmp_path):
    _, killed = interrupt(tmp_path, 1, signal.SIGKILL)
    rounds = {row.name: row.rounds for row in killed.variants}
    first = killed.finished_rounds
    assert killed.partial and 1 <= first < 4 and len(rounds["tiny-cnn/fp32-onnxruntime"]) == first
    shown = CliRunner().invoke(main, ["report", str(tmp_path / "tiny-cnn")])
    assert shown.exit_code == 0 and f"only {first} of 4 rounds" in shown.output

    said, stopped = interrupt(tmp_path, first + 1, signal.SIGINT)
    second = stopped.finished_rounds
    assert f"it resumes with round {first + 1}" in said and f"has {second} of 4 rounds" in said
    assert "Steps that were finished are kept" in said
    done = cli(*INTERRUPTED, "--artifacts", tmp_path)
    assert done.returncode == 0 and f"has {second} of 4 rounds of this race" in done.stderr, done.stderr
    finished = load(tmp_path / "tiny-cnn" / "results.json")
    assert not finished.partial and len(finished.settings["resumed"]) == 2
    for name in ("seed", "start"):
        assert killed.settings[name] == stopped.settings[name] == finished.settings[name]
    (row,) = [row for row in finished.variants if row.rounds]
    assert row.rounds[:first] == rounds[row.name] and len(row.rounds) == len(row.load_ms) == len(row.watch) == 4


def partial():
    """Two of three rounds of a race of two variants."""
    rows = (
        Row("resnet18/fp32-eager", "fp32", "eager", identity="e"),
        a_row("int8-relay", constant(8.0, 2), identity="r"),
    )
    return Results(
        {"cpu": "Xeon", "busy_share": 0.4, "load_average": 3.0},
        {"rounds": 3, "samples": 50, "seed": 5, "commit": "c", "finished_rounds": 2, "start": "s", "end": "e"},
        rows,
    )


def other_rows(**change):
    """The two variants before their first round, the second with a change."""
    reference, row = partial().variants
    return (replace(reference, latency_ms=None), replace(row, latency_ms=None, **change))


def begun(path, saved=None, machine=None, timed=(False, True), rows=None, **settings):
    """The results that a race starts from if `saved` is at `path`."""
    save(saved or partial(), path)
    rows = rows or other_rows()
    entrants = [Entrant(None, None, row, timed=is_timed) for row, is_timed in zip(rows, timed, strict=True)]
    wanted = {"rounds": 3, "samples": 50, "seed": None, "commit": "c"} | settings
    return race_state.begin(path, entrants, machine or {"cpu": "Xeon", "busy_share": 0.1}, wanted)


def test_the_same_race_resumes(tmp_path, capsys):
    results = begun(tmp_path / "results.json", limits={"max_rss": 100})
    assert results.finished_rounds == 2 and results.variants[1].rounds == constant(8.0, 2)
    assert results.settings["seed"] == 5 and results.settings["start"] == "s"
    assert results.machine["busy_share"] == 0.4, "the worse of the two starts"
    assert "it resumes with round 3" in capsys.readouterr().err


def test_a_finished_race_is_not_continued(tmp_path, capsys):
    finished = replace(partial(), settings={**partial().settings, "rounds": 2})
    assert begun(tmp_path / "results.json", saved=finished, rounds=2).finished_rounds == 0
    assert capsys.readouterr().err == ""


def test_the_first_round_keeps_the_results_of_a_finished_race(tmp_path):
    path = tmp_path / "results.json"
    about = {"rounds": 2, "start": "2025-01-31T12:00:00+00:00", "commit": "0123456789abcdef"}
    finished = replace(partial(), settings={**partial().settings, **about})
    with pytest.raises(UserError, match="no two races"):
        race_state.last_runs(tmp_path)
    results = race_state.save_round(begun(path, saved=finished), [Entrant(None, None, partial().variants[1])], path)
    kept = tmp_path / "runs" / "2025-01-31T12-00-00-0123456789" / "results.json"
    assert load(path).finished_rounds == 1 and load(kept) == finished
    race_state.save_round(results, [Entrant(None, None, partial().variants[1])], path)
    assert load(path).finished_rounds == 2 and load(kept) == finished
    assert race_state.last_runs(tmp_path) == (kept, path)


def test_unreadable_results_are_kept_too(tmp_path):
    path = tmp_path / "results.json"
    begin = begun(path, saved=replace(partial(), settings={**partial().settings, "rounds": 2}))
    path.write_text("{")
    race_state.save_round(begin, [Entrant(None, None, partial().variants[1])], path)
    (kept,) = (tmp_path / "runs").glob("*-unreadable/results.json")
    assert kept.read_text() == "{" and load(path).finished_rounds == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"samples": 40}, "settings.samples was 50 and is 40"),
        ({"rounds": 5}, "settings.rounds was 3 and is 5"),
        ({"seed": 6}, "settings.seed was 5 and is 6"),
        ({"commit": "d"}, "settings.commit was c and is d"),
        ({"machine": {"cpu": "EPYC"}}, "machine.cpu was Xeon and is EPYC"),
        ({"rows": other_rows(identity="new")}, "resnet18/int8-relay has changed since"),
        ({"rows": other_rows(name="resnet18/int8-eager")}, "its variants were different"),
        ({"timed": (True, True)}, "resnet18/fp32-eager was not timed"),
    ],
)
def test_another_race_starts_from_scratch_and_says_why(tmp_path, capsys, change, reason):
    results = begun(tmp_path / "results.json", **change)
    assert results.finished_rounds == 0 and not any(row.rounds for row in results.variants)
    assert isinstance(results.settings["seed"], int) and "resumed" not in results.settings
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{reason}: the race starts from scratch" in line


def test_a_variant_that_failed_in_a_round_stays_out(tmp_path):
    saved = partial()
    failed = replace(saved.variants[1], status="failed", error="crashed", latency_ms=None)
    saved = replace(saved, variants=(saved.variants[0], failed))
    assert begun(tmp_path / "results.json", saved=saved).variants[1] == failed


def test_a_full_disk_leaves_the_finished_rounds(tmp_path, capsys):
    path = tmp_path / "results.json"
    save(partial(), path)
    with pytest.raises(OSError, match="No space"), race_state.explained(path, "s"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "has 2 of 3 rounds; the same command resumes" in capsys.readouterr().err
    with pytest.raises(KeyboardInterrupt), race_state.explained(path, "later"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "", "the rounds of another race are not this one's"


def test_without_a_checkout_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    assert checkout.commit() is None and checkout.dirty() is None
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "new.py").touch()
    assert checkout.commit() is None and checkout.dirty()
