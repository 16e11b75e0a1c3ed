"""What the help of each command teaches, and options that several commands share."""

import json
import shlex

import pytest
from click.testing import CliRunner

from tvm_bench.cli import main
from tvm_bench.cli.help import SECTION_OF, SECTIONS

EXAMPLES = {
    name: [line.strip() for line in (command.help or "").splitlines() if line.strip().startswith("tvm-bench ")]
    for name, command in main.commands.items()
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_help_has_three_examples_that_are_understood(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(EXAMPLES[name]) >= 3
    for line in EXAMPLES[name]:
        _, called, *arguments = shlex.split(line)
        with main.make_context("tvm-bench", [called]) as context:
            main.commands[called].make_context(called, arguments, parent=context)
        assert called == name


def test_many_options_are_shown_in_sections():
    shown = CliRunner().invoke(main, ["bench", "--help"]).output
    titles = [line.rstrip(":") for line in shown.splitlines() if line.rstrip(":") in SECTIONS]
    assert titles == ["Model and data", "Build and run", "Race", "Limits", "Output"], (
        "each option of bench has its place"
    )
    assert "\nOptions:" in CliRunner().invoke(main, ["verify", "--help"]).output


def test_every_name_in_a_section_is_an_option():
    known = {option for command in main.commands.values() for param in command.params for option in param.opts}
    assert SECTION_OF.keys() <= known | {"--help"}


@pytest.mark.parametrize("command", ["figures", "operators"])
@pytest.mark.parametrize("option", ["--frontend", "--target"])
def test_what_would_be_ignored_is_refused(command, option):
    done = CliRunner().invoke(main, [command, option, "onnx"])
    assert done.exit_code == 2 and f"No such option '{option}'" in done.output


def test_json_goes_to_a_file(tmp_path):
    printed = CliRunner().invoke(main, ["list", "--json", "--artifacts", str(tmp_path)]).output
    path = tmp_path / "list.json"
    done = CliRunner().invoke(main, ["list", "--output", str(path), "--artifacts", str(tmp_path)])
    assert done.output == f"{path}\n" and json.loads(path.read_text()) == json.loads(printed)
    refused = CliRunner().invoke(main, ["list", "-o", str(tmp_path / "no" / "list.json")])
    assert refused.exit_code == 2 and "there is no folder" in refused.output
