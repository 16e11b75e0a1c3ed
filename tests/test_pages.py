"""Every command and link of the pages works; commands in `sh` blocks, and Python, are run on the real default model."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tvm_bench.cli import main

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Pages of results name the commands that made them, which take hours.
TRIED = [page for page in PAGES if "results" not in page.parts]
# A race takes minutes: here a few answers and samples show that the command runs.
SHORTER = {"bench": ["--images", "20", "--rounds", "2", "--samples", "3"]}
LIMIT_S = 900  # of one command or block: a first build on a slow machine, and other tests beside it


def blocks(page, *kinds):
    return [code for kind in kinds for code in re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(), re.S | re.M)]


def commands(program, *kinds, pages=PAGES):
    """The lines that call `program` in the pages, each once, in order."""
    lines = "".join(code for page in pages for code in blocks(page, *kinds)).replace("\\\n", " ").splitlines()
    return list(dict.fromkeys(line.split("#")[0].strip() for line in lines if line.startswith(program)))


@pytest.mark.parametrize("line", commands("make", "sh", "text"))
def test_make_knows_the_target(line):
    done = subprocess.run(["make", "-n", *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", commands("tvm-bench", "sh", "text"))
def test_the_command_line_is_understood(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    name = next(word for word in words if word in main.commands)
    with main.make_context("tvm-bench", list(words)) as context:
        _, command, arguments = main.resolve_command(context, words[words.index(name) :])
        command.make_context(name, arguments, parent=context)


@pytest.mark.slow
def test_the_commands_run_on_the_real_model(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for line in ["tvm-bench build", *commands(("tvm-bench", "python app/"), "sh", pages=TRIED)]:
        words = shlex.split(line)
        words += SHORTER.get(words[1], [])
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    for code in dict.fromkeys(code for page in TRIED for code in blocks(page, "python")):
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, timeout=LIMIT_S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    for link in re.findall(r"\]\(([^)#]+)", prose):
        assert link.startswith("http") or (page.parent / link).exists(), link


def test_the_index_lists_every_page():
    index = ROOT / "docs" / "index.md"
    listed = {(index.parent / link).resolve() for link in re.findall(r"\]\(([^)#]+)", index.read_text())}
    assert {page for page in PAGES if page.is_relative_to(index.parent)} - {index} <= listed


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path):
    options = ["--quiet", "--fail-on-warning", "--nitpicky", "--keep-going"]
    command = [sys.executable, "-m", "sphinx", *options, ROOT / "docs", tmp_path / "html"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "tvm-bench bench --quick" in (tmp_path / "html" / "reference" / "cli.html").read_text()
    for name in ("site", "reference/cli", "reference/python", "tutorials/training", "results/zoo"):
        assert (tmp_path / "html" / f"{name}.html").stat().st_size > 5000
