"""The commands `list`, `verify` and `export`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .console import console
from .options import ARTIFACTS, with_options


@click.command("list")
@with_options(ARTIFACTS)
def list_artifacts(artifacts: Path) -> None:
    """List the libraries that were built."""
    from ..pipeline import artifacts as pipeline
    from ..report import artifacts as report

    console().print(report.table(list(pipeline.built(artifacts))))


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
def verify(artifact: Path) -> None:
    """Check a library: its files, this CPU, and whether it gives the outputs of its build. Print its speed.

    Exits with 1 if an output differs by more than 0.1 % of its range, and with 2 if the library cannot be opened.
    """
    from ..pipeline import artifacts as pipeline
    from ..report import artifacts as report

    result = pipeline.verify(artifact)
    for line in report.sentences(result):
        click.echo(line)
    sys.exit(0 if result.right else 1)


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def export(artifact: Path, folder: Path) -> None:
    """Write a library to FOLDER as an application that needs neither this package nor PyTorch.

    \b
    FOLDER gets the library, its preprocessing, and TVM's runtime (5 MB), with
      predict.py    for Python: NumPy and Pillow are enough
      predict.cc    for C++, with headers and a Makefile
      Dockerfile    for a container
    """
    from ..pipeline import application

    application.write(artifact, folder)
    click.echo(f"{folder}: try `python {folder / 'predict.py'} --check`. {folder / 'README.md'} says the rest.")
