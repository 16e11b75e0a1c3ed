"""The command `sensitivity`."""

from __future__ import annotations

from typing import Any

import click

from ..api.run_spec import run_spec
from .console import console, print_json
from .help import command
from .options import ARTIFACTS, BUILDS, JSON, SUBJECT, THREADS, with_options

MOST = 24  # layers that are printed


@command()
@with_options(SUBJECT, BUILDS)
@click.option(
    "--min-sqnr",
    type=click.FloatRange(0, 100, min_open=True),
    metavar="DB",
    help="The mix must keep this signal-to-noise ratio of the outputs.  [default without labels: 35]",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 100),
    metavar="POINTS",
    help="The mix may lose so many points of Top-1 or mean IoU.  [default with labels: 0.3]",
)
@click.option(
    "--images",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    metavar="N",
    help="Measure the cost of each layer on N calibration samples.",
)
@click.option(
    "--cures",
    is_flag=True,
    help="Quantize all layers in other ways too, and compare what they lose: other ranges, one scale for each tensor; "
    "with NNCF (`make peers`), corrected biases and SmoothQuant.",
)
@with_options(THREADS, ARTIFACTS, JSON)
def sensitivity(
    min_sqnr: float | None, max_drop: float | None, images: int, cures: bool, as_json: bool, **common: Any
) -> None:
    """Measure what INT8 costs and gains in each layer, and find the fastest mix of precisions.

    Each layer is rounded to INT8 alone: you see what that does to the outputs of the model, and the milliseconds of the
    layer in INT8, FP32 and BF16 (on a CPU with instructions for it). A solver then finds the fastest mixes for several
    losses. They are run on calibration samples; the chosen one is built, timed beside FP32 and INT8, and checked on
    test samples. Writes a page to artifacts/MODEL/sensitivity, and the list of nodes that are not INT8 for --recipe
    int8-without:@FILE.

    \b
    Examples:
      tvm-bench sensitivity
      tvm-bench sensitivity mobilenet_v2 --data imagefolder:photos --min-sqnr 35
      tvm-bench sensitivity model.onnx --inputs samples.npz --json
    """
    from ..pipeline import sensitivity as pipeline
    from ..report import sensitivity as report
    from ..report.table import rich_table

    limits = {"min_sqnr": min_sqnr, "max_drop": max_drop}
    found, page = pipeline.sensitivity(run_spec(**common), images=images, cures=cures, **limits)
    if as_json:
        return print_json({**report.to_json(found), "page": page})
    for table in report.tables(found, MOST):
        console().print(rich_table(found.model, table))
    click.echo("\n".join(report.sentences(found)))
    click.echo(str(page))
