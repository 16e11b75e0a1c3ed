"""The command `diff`."""

from __future__ import annotations

import sys
from typing import Any

import click

from ..api.run_spec import run_spec
from .console import console, print_json
from .help import command
from .options import ARTIFACTS, FORMS, JSON, SUBJECT, THREADS, TVM, with_options


@command()
@with_options(SUBJECT, FORMS)
@click.option(
    "--images", type=click.IntRange(1), default=2, show_default=True, metavar="N", help="Compare on N test images."
)
@with_options(TVM)
@click.option("--all", "everything", is_flag=True, help="Print all layers, not only wrong ones.")
@with_options(THREADS, ARTIFACTS, JSON)
def diff(images: int, backend: str, everything: bool, as_json: bool, **common: Any) -> None:
    """Compare each library with its source model layer by layer, and find the layer that is wrong.

    Every layer is fed with what the source model computed, so that no error grows. An ONNX file that was exported from
    PyTorch is compared with it in the same way. A wrong layer is written as a model file with its inputs, and the kind
    of fault is named: rounding, zero point, padding, saturation, layout or other. Writes a page with all layers to
    artifacts/MODEL/diff. Exits with 1 if a layer is wrong.

    \b
    Examples:
      tvm-bench diff --precision int8
      tvm-bench diff model.onnx --inputs samples.npz --precision fp32 --all
      tvm-bench diff mobilenet_v2 --weights random --data fashion-mnist --backend relax
    """
    from ..pipeline import diff as pipeline

    results = pipeline.diff(run_spec(**common), images, backend)
    if as_json:
        print_json(results)
    else:
        for result in results:
            _print(result, everything)
    sys.exit(1 if any(result.faults for result in results) else 0)


def _print(result: Any, everything: bool) -> None:
    from ..report import layer_errors as report
    from ..report.table import rich_table

    for verdict in report.verdicts(result.layers, result.exported):
        click.echo(f"{result.variant}: {verdict}")
    for table in (
        report.export_table(result.exported or (), only_wrong=not everything),
        report.table(result.layers, only_wrong=not everything),
    ):
        if table.lines:
            console().print(rich_table(result.variant, table))
    for fault in result.faults:
        click.echo(report.sentence(fault))
    click.echo(str(result.page))
