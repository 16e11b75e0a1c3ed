"""Compress ResNet-18 by each technique, race all of them in one race, and write docs/results/compression.md.

python benchmarks/compression.py [--epochs 0.3] [--threads 2]

Takes hours on two cores, mostly for training. Interruptible: the same command resumes. It needs the full Fashion-MNIST.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from tvm_bench import backends
from tvm_bench.analysis.results import Results, Row, load
from tvm_bench.analysis.statistics import DECISION, mean_latency, ratio
from tvm_bench.host import cpu
from tvm_bench.pipeline import compression, race, steps
from tvm_bench.report import formatting, table
from tvm_bench.spec.constraints import Constraints
from tvm_bench.spec.recipe import Settings, parse
from tvm_bench.spec.variant import ModelSpec, RunSpec

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "results" / "resnet18-compression.json"
PAGE = DOCS / "results" / "compression.md"
BACKENDS = ("eager", "onnxruntime", "relay")
# Why each technique is faster or not on a CPU.
WHY = {
    "": "the unchanged model",
    "int8": "four times as many multiplications in an instruction, a quarter of the bytes",
    "int8-per-tensor": "as INT8, with one scale for all filters of a layer, which saves no time",
    "qat": "computes as INT8 does: training changes the answers, not the arithmetic",
    "int8-dynamic": "PyTorch quantizes the one linear layer, a thousandth of the work; ONNX Runtime the convolutions "
    "too, and computes the range of each convolution's input in every call",
    "fp16-dynamic": "only the one linear layer is computed in half, a thousandth of the work, and only PyTorch runs it",
    "prune-structured50": "filters are gone, and with them three quarters of the multiplications",
    "prune-structured50+int8": "fewer multiplications, each of them cheaper",
    "prune-unstructured90": "dense kernels multiply by the zeros too; only a zipped file notices them",
    "prune-2:4": "CPUs have no instruction for the pattern; only a zipped file notices the zeros",
    "kmeans256": "weights are unpacked to FP32 when they are loaded: the file is small, the arithmetic the same",
}
# Factors of --epochs. A network without half of its filters has to recover more, and an epoch takes a quarter of the
# time; QAT came closer to static INT8 with twice the epochs, at three times its default learning rate.
LONGER = {"qat": 2} | {recipe: 3 for recipe in WHY if recipe.startswith("prune-structured")}
RATE = {"qat": 0.003}
SCORES = ("top1", "top5", "images", "mb", "zipped_mb", "parameters", "nonzero", "flops")  # in the results of `compress`
HEADER = (
    *("technique", "Top-1", "Top-5", "file MB", "zipped MB", "parameters", "non-zero", "GFLOPs"),
    *(f"{backend}: ms (× dense)" for backend in BACKENDS),
    *("images per second, best", "faster here?"),
)


@click.command(help=__doc__)
@click.option(
    "--epochs",
    type=float,
    default=0.3,
    show_default=True,
    help="Of each step with training; QAT has twice that, structured pruning three times that.",
)
@click.option("--images", type=int, default=2000, show_default=True, help="Test images of the race's check.")
@click.option("--rounds", type=int, default=5, show_default=True)
@click.option("--threads", type=int, default=cpu.cores(), show_default=True)
@click.option("--artifacts", type=click.Path(path_type=Path), default=Path("artifacts"), show_default=True)
def main(epochs: float, images: int, rounds: int, threads: int, artifacts: Path) -> None:
    run_spec = RunSpec(
        ModelSpec("resnet18", data="fashion-mnist:full"),
        ("fp32",),
        frontends=(),
        target=None,
        batches=(1,),
        threads=(threads,),
        root=artifacts,
    )
    models, entrants = {}, []
    for recipe in WHY:
        last = parse(recipe).quantization
        precision = last.precision if last else "fp32"
        settings = Settings(epochs=epochs * LONGER.get(recipe, 1), lr=RATE.get(recipe))
        model_spec = replace(run_spec.model_spec, recipe=recipe)
        recipe_spec = replace(run_spec, model_spec=model_spec, precisions=(precision,), settings=settings)
        if recipe:
            compressed = compression.compress(recipe_spec, None)[0]["models"]
            models |= {"": compressed[0], recipe: compressed[-1]}
        bench = steps.open_workbench(recipe_spec, calibrate=precision == "int8")
        able = tuple(name for name in BACKENDS if precision in backends.named(name).precisions)
        timed = [entrant for entrant in race.entrants(bench, able) if entrant.timed]
        own = [entrant for entrant in timed if entrant.bench is bench]  # without the uncompressed reference
        entrants += [entrant for entrant in own if entrant.variant.precision == precision]
        if not recipe:
            plain = bench
    rules = race.Rules(rounds=rounds, images=images)
    settings = race.settings(plain, " ".join(["benchmarks/compression.py", *sys.argv[1:]]), Constraints())
    scores = {recipe: {name: model.get(name) for name in SCORES} for recipe, model in models.items()}
    race.race(entrants, rules, settings | {"forms": scores}, RESULTS)
    PAGE.write_text(page(load(RESULTS)))
    click.echo(str(PAGE))


def page(results: Results) -> str:
    """The Markdown page: a table with one line per technique."""
    dense, models = ModelSpec(**results.settings["model"]), results.settings["forms"]
    lines = [_line(recipe, results, dense, model) for recipe, model in models.items()]
    reasons = [f"- **{recipe or 'dense FP32'}**: {why}." for recipe, why in WHY.items()]
    distilled = (DOCS / "results" / "distillation.md").read_text().rstrip().rpartition("\n\n")[2].replace("\n", " ")
    return "\n".join(
        [
            f"# Which technique helps here: {dense.model}",
            "",
            f"One interleaved race on {results.machine['cpu']}, {results.settings['threads']} threads, batch 1, by",
            f"`python {results.settings['command']}` on {results.settings['start'][:10]} at commit",
            f"{results.settings['commit'][:8]}. In brackets: the time as a multiple of the dense",
            "FP32 model's **on the same backend**, paired by round. *Faster* and *slower* by a",
            f"{DECISION:.0%} interval, on the backend where the technique is fastest, against the fastest dense FP32.",
            "Relay is the faster of untuned and tuned: models whose layers keep their sizes use the tuning records of",
            "the dense model, and a model without half of its filters has none.",
            f"Top-1 and Top-5 on {models['']['images']:,} test images by PyTorch. Training takes --epochs epochs,",
            f"QAT twice that at a learning rate of {RATE['qat']:g}, structured pruning three times that.",
            "",
            table.markdown([table.Table("All techniques", HEADER, lines)]),
            "",
            "Why:",
            "",
            *reasons,
            "",
            f"Distillation changes only the weights, and has [a page of its own](distillation.md). {distilled}",
            "",
        ]
    )


def _line(recipe: str, results: Results, dense: ModelSpec, model: dict) -> list[str]:
    rows, dense_rows = _fastest(results, replace(dense, recipe=recipe)), _fastest(results, dense)
    cells = [_time(rows.get(backend), dense_rows.get(backend)) for backend in BACKENDS]
    best = min(rows.values(), key=_ms)
    decided = ratio(best.rounds, min(dense_rows.values(), key=_ms).rounds, DECISION) if recipe else None
    words = {1: "no, slower", 0: "no difference shown", -1: f"yes, {1 / decided.value:.2f}×" if decided else ""}
    return [
        recipe or "dense FP32",
        formatting.percent(model["top1"], 2),
        formatting.percent(model.get("top5")),
        f"{model['mb']:.3g}",
        f"{model['zipped_mb']:.3g}",
        f"{model['parameters']:,}",
        f"{model['nonzero']:,}",
        f"{model['flops'] / 1e9:.3g}",
        *cells,
        f"{1e3 / _ms(best):.0f}",
        words[decided.direction] if decided else "–",
    ]


def _fastest(results: Results, model_spec: ModelSpec) -> dict[str, Row]:
    """The faster row of tuned and untuned, by backend."""
    rows = [row for row in results.variants if row.rounds and row.name.startswith(f"{model_spec.slug}/")]
    return {row.backend: row for row in sorted(rows, key=_ms, reverse=True)}


def _time(row: Row | None, dense: Row | None) -> str:
    if row is None or dense is None:
        return formatting.NONE
    return f"{formatting.ms(_ms(row))} ({ratio(row.rounds, dense.rounds).value:.2f})"


def _ms(row: Row) -> float:
    return mean_latency(row.rounds).value


if __name__ == "__main__":
    main()
