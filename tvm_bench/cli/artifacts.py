"""The commands `list`, `verify`, `export` and `clean`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .console import console, print_json
from .help import command
from .options import ARTIFACTS, JSON, with_options


@command("list")
@with_options(JSON, ARTIFACTS)
def list_artifacts(as_json: bool, artifacts: Path) -> None:
    """List the libraries that were built.

    \b
    Examples:
      tvm-bench list
      tvm-bench list --json
      tvm-bench list --artifacts elsewhere
    """
    from ..pipeline import artifacts as pipeline
    from ..report import artifacts as report

    found = list(pipeline.built(artifacts))
    if as_json:
        return print_json(found)
    console().print(report.table(found))


@command()
@click.argument("artifact", type=click.Path(path_type=Path))
@with_options(JSON)
def verify(artifact: Path, as_json: bool) -> None:
    """Check a library: its files, this CPU, and whether it gives the outputs of its build. Print its speed.

    Exits with 1 if an output differs by more than 0.1 % of its range, and with 2 if the library cannot be opened.

    \b
    Examples:
      tvm-bench verify artifacts/resnet18/int8-relay
      tvm-bench verify artifacts/resnet18/int8-relay --json
      tvm-bench verify received/int8-relay --output check.json
    """
    from ..pipeline import artifacts as pipeline
    from ..report import artifacts as report

    result = pipeline.verify(artifact)
    if as_json:
        print_json(result)
    else:
        click.echo("\n".join(report.sentences(result)))
    sys.exit(0 if result.right else 1)


@command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def export(artifact: Path, folder: Path) -> None:
    """Write a library to FOLDER as an application that needs neither this package nor PyTorch.

    \b
    FOLDER gets the library, its preprocessing, and TVM's runtime (5 MB), with
      predict.py    for Python: NumPy and Pillow are enough
      predict.cc    for C++, with headers and a Makefile
      Dockerfile    for a container

    \b
    Examples:
      tvm-bench export artifacts/resnet18/int8-relay app
      tvm-bench export artifacts/resnet18/fp32-relay-tuned /tmp/classifier
      tvm-bench export artifacts/detector/fp32-relay detector
    """
    from ..pipeline import application

    application.write(artifact, folder)
    click.echo(f"{folder}: try `python {folder / 'predict.py'} --check`. {folder / 'README.md'} says the rest.")


@command()
@click.argument("models", nargs=-1, metavar="[MODEL ...]")
@click.option("--results", is_flag=True, help="Delete the results and reports of races too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only print what would be deleted.")
@with_options(ARTIFACTS)
def clean(models: tuple[str, ...], results: bool, yes: bool, dry_run: bool, artifacts: Path) -> None:
    """Delete what was built for each MODEL, a folder in artifacts; without MODEL, for all.

    These are libraries, exported models and answers, which can be made again. Trained and compressed weights stay, and
    the results of races too.

    \b
    Examples:
      tvm-bench clean
      tvm-bench clean resnet18 --dry-run
      tvm-bench clean resnet18 mobilenet_v2-random --results --yes
    """
    from ..pipeline import cleaning

    found = cleaning.deletable(artifacts, models, results=results)
    for item in found:
        click.echo(f"{item.size_mb:8.1f} MB  {item.path}")
    if not found or dry_run:
        return click.echo("Nothing was deleted.")
    total = sum(item.size_mb for item in found)
    if yes or click.confirm(f"Delete these {len(found)}, {total:.0f} MB?"):
        cleaning.delete(found)
