"""Every command of the README exists; those in `sh` blocks, and its Python, are run on the real default model."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.conftest import ROOT
from tvm_bench.cli import main

README = (ROOT / "README.md").read_text()
# The race and the figures of the README take minutes: here a few answers and samples show that the command runs.
SHORTER = {"bench": ["--images", "20", "--rounds", "2", "--samples", "3"]}


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.S | re.M)


def commands(kind, program):
    lines = "".join(blocks(kind)).replace("\\\n", " ").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.startswith(program)]


@pytest.mark.parametrize("line", sorted({*commands("sh", "make"), *commands("text", "make")}))
def test_make_knows_the_target(line):
    done = subprocess.run(["make", "-n", *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", sorted({*commands("sh", "tvm-bench"), *commands("text", "tvm-bench")}))
def test_the_command_line_is_understood(line):
    name, *arguments = shlex.split(line)[1:]
    command = main.commands[name]
    with click.Context(main):
        command.make_context(name, arguments)


@pytest.mark.slow
def test_the_commands_run_on_the_real_model(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for line in commands("sh", "tvm-bench"):
        words = shlex.split(line)
        words += SHORTER.get(words[1], [])
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    for code in blocks("python"):
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, timeout=120)


def test_links_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
        for link in re.findall(r"\]\(([^)#]+)", prose):
            assert link.startswith("http") or (ROOT / link).exists(), f"{page.name}: {link}"
