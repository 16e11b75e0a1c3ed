"""Defaults of options from tvm-bench.toml and the environment, and the options of all commands."""

import tomllib

import click
import pytest
from click.testing import CliRunner

from tvm_bench.cli import config, main
from tvm_bench.pipeline import race_plan


@pytest.fixture
def called(tmp_path, monkeypatch):
    """Call the command line in an empty folder; returns the parameters that `bench` gets, or the output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TVM_BENCH_QUIET", raising=False)
    got = {}
    monkeypatch.setattr(main.commands["bench"], "callback", lambda **values: got.update(values))

    def call(*arguments, environment=None):
        got.clear()
        done = CliRunner().invoke(main, arguments, env=environment)
        return got if done.exit_code == 0 else done.output

    return call


def test_quick_is_a_set_of_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plans = []
    monkeypatch.setattr(race_plan, "plan", lambda spec, backends, rules: plans.append((spec, rules)) or [])
    (tmp_path / "tvm-bench.toml").write_text("[bench]\nsamples = 7")
    done = CliRunner().invoke(main, ["bench", "--quick", "--rounds", "3", "--dry-run", "--json"])
    assert done.exit_code == 0, done.output
    ((spec, rules),) = plans
    assert spec.precisions == ("fp32",) and (rules.rounds, rules.samples, rules.images) == (3, 7, 100)


FILE = """
threads = 1
[bench]
rounds = 3
backends = ["relay", "onnxruntime"]
dim = ["height=64"]
"""


def test_the_file_sets_defaults_which_the_environment_and_the_command_line_precede(called, tmp_path):
    assert called("bench")["rounds"] == 5
    (tmp_path / "tvm-bench.toml").write_text(FILE)
    values = called("bench")
    assert values["rounds"] == 3 and values["threads"] == (1,) and values["dims"] == (("height", 64),)
    assert values["backends"] == ("relay", "onnxruntime")
    environment = {"TVM_BENCH_BENCH_ROUNDS": "4"}
    assert called("bench", environment=environment)["rounds"] == 4
    assert called("bench", "--rounds", "6", environment=environment)["rounds"] == 6
    (tmp_path / "other.toml").write_text("[bench]\nrounds = 7")
    assert called("--config", "other.toml", "bench")["rounds"] == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[bnech]\nrounds = 3", "Did you mean bench"),
        ("[bench]\nruonds = 3", "Did you mean rounds"),
        ("roundz = 3", "Did you mean rounds"),
        ("[bench", "cannot be read"),
        ("[bench]\nrounds = 0", "--rounds"),
    ],
)
def test_a_file_with_a_mistake_is_refused(called, tmp_path, text, words):
    (tmp_path / "tvm-bench.toml").write_text(text)
    assert words in called("bench")


def test_the_options_of_a_call_are_saved(called, tmp_path):
    (tmp_path / "mine.toml").write_text(FILE)
    options = ["--rounds", "2", "--threads", "1", "--precision", "fp32", "--dim", "a=1", "--dim", "b=2"]
    assert called("--save-config", "mine.toml", "bench", "resnet18", *options)["rounds"] == 2
    saved = tomllib.loads((tmp_path / "mine.toml").read_text())
    assert saved["threads"] == 1 and saved["bench"]["backends"] == ["relay", "onnxruntime"]
    assert saved["bench"]["rounds"] == "2" and saved["bench"]["dim"] == ["a=1", "b=2"]
    values = called("--config", "mine.toml", "bench")
    assert values["rounds"] == 2 and values["dims"] == (("a", 1), ("b", 2)) and values["precision"] == ("fp32",)
    before = (tmp_path / "mine.toml").read_text()
    assert "--rounds" in called("--save-config", "mine.toml", "bench", "--rounds", "0")
    assert (tmp_path / "mine.toml").read_text() == before


def test_flags_are_saved(tmp_path):
    config.save("train", main.commands["train"], ["--no-amp", "--distributed"], tmp_path / "a.toml")
    assert tomllib.loads((tmp_path / "a.toml").read_text()) == {"train": {"amp": False, "distributed": True}}
    assert config.defaults(tmp_path / "a.toml", main.commands)["train"] == {"amp": False, "distributed": True}


def test_a_verbose_call_names_its_jobs_and_a_quiet_one_shows_no_progress(cli, tmp_path):
    arguments = ["build", "--model", "tests.tiny:cnn", "--precision", "fp32", "--threads", "1", "--artifacts", tmp_path]
    verbose = cli("--verbose", *arguments)
    assert "build-fp32-relay: " in verbose.stderr and " s, see " in verbose.stderr, verbose.stderr
    again = cli("-v", "-q", *arguments)
    assert "build-fp32-relay: reused" in again.stderr
    assert cli("-q", *arguments).stderr == ""


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_option_has_a_help_text(name):
    for option in main.commands[name].params:
        assert not isinstance(option, click.Option) or option.help
