"""The tables and the sentences of the command `sensitivity`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..analysis.mixed_precision import Choice, Mix, Sensitivity
from ..spec.cures import Cured
from ..spec.mixed_precision import Cost, Outcome, decibels, in_bf16, names_of
from . import formatting
from .table import Table, markdown

LAYERS = (
    "layer",
    "computes",
    "dB",
    "weights\ndB",
    "output\ndB",
    "KL",
    "changed",
    "INT8 ms",
    "BF16 ms",
    "FP32 ms",
    "in the mix",
)
MIXES = ("nodes in FP32", "in BF16", "expected ms", "expected dB", "dB", "KL", "changed", "score", "drop", "")
CURES = ("all layers INT8, by", "recipe", "dB", "KL", "changed", "score", "drop", "")
CHOICE = ("", "ms", "of INT8", "dB", "changed", "score", "drop")
LEGEND = (
    "Each layer is the only one that rounds to INT8: its weights, and its output. `dB` is what remains of the model's "
    "output: the power of the FP32 output over that of the error (SQNR). `KL`: Kullback-Leibler divergence of the "
    "probabilities, and `changed`: samples with another class, the larger of weights and output. Milliseconds are "
    "those of the layer in Relay's libraries, all threads; layers of the same sizes share their sum."
)
MIX_LEGEND = (
    "Each mix is the fastest that a solver finds for some loss. Expected are the sum of the errors, and of the "
    "milliseconds with the conversions between INT8 and floats. The other columns were measured. BF16 is tried in "
    "convolutions that it makes faster than FP32, if the CPU has instructions for it."
)


def tables(found: Sensitivity, most: int | None = None) -> list[Table]:
    """The layers, that which costs most first, the mixes that were tried, and the chosen one.

    With `most`, for a terminal: at most so many layers, and their names without what they say twice.
    """
    layers = _layers(found)
    shown = layers if most is None else [[_short(name), *cells] for name, *cells in layers[:most]]
    name = "what INT8 costs by layer" + (f", {len(shown)} of {len(layers)}" if len(shown) < len(layers) else "")
    mixes = [_mix(mix, found) for mix in found.mixes]
    cures = [Table("other ways to quantize", CURES, [_cure(row, found) for row in found.cures])] if found.cures else []
    chosen = [Table(_verified(found.choice), CHOICE, _choice(found.choice))] if found.choice else []
    return [Table(name, LAYERS, shown), Table("mixes of precisions", MIXES, mixes), *cures, *chosen]


def sentences(found: Sensitivity) -> list[str]:
    """What was chosen, and how to use it."""
    return [*_chosen(found), *_best_cure(found)]


def _chosen(found: Sensitivity) -> list[str]:
    choice, limit = found.choice, found.limit
    wanted = f"at least {limit.sqnr:g} dB" if limit.sqnr is not None else f"a drop of at most {limit.drop:g} points"
    if choice is None:
        quietest = max(found.mixes, key=lambda mix: mix.outcome.cost.sqnr)
        return [f"No mix keeps to {wanted}: the best has {_decibels(quietest.outcome.cost.noise)} dB. Use FP32."]
    excluded, (fp32, int8, mix) = choice.mix.outcome.excluded, choice.ms
    if not excluded:
        return [f"All INT8 keeps to {wanted}. No layer needs FP32."]
    bf16 = len(in_bf16(excluded))
    parts = [f"{len(excluded) - bf16} of {len(found.nodes)} nodes in FP32", *([f"{bf16} in BF16"] if bf16 else [])]
    return [
        f"The fastest mix with {wanted} has {' and '.join(parts)}. It takes {mix:.3f} ms, "
        f"{mix / int8:.2f} times as long as all INT8.",
        *([f"All FP32 is faster: {fp32:.3f} ms. Use that."] if fp32 <= mix else []),
        f"Library: {choice.library}. ONNX file for other runtimes: {choice.source}. "
        f"Race it: tvm-bench bench … --recipe {choice.recipe_text}",
    ]


def _best_cure(found: Sensitivity) -> list[str]:
    outcomes = [(cured.outcome.cost.sqnr, cured.recipe) for cured in found.cures if cured.outcome and cured.recipe]
    if not outcomes:
        return []
    sqnr, recipe = max(outcomes)
    return [f"Of the recipes for all layers, {recipe} loses least: {sqnr:.1f} dB remain."]


def page(found: Sensitivity, picture: str) -> str:
    """A Markdown page with everything. `picture` is the name of the file with the plot."""
    head = [f"# {found.model}: what INT8 costs, and the fastest mix", *sentences(found)]
    samples = (
        f"The costs were measured on {found.images} calibration samples, and the mixes tried on {found.tried_images}."
    )
    paragraphs = [*head, samples, f"![Mixes of precisions]({picture})", LEGEND, MIX_LEGEND]
    return "\n\n".join([*paragraphs, markdown(tables(found))]) + "\n"


def to_json(found: Sensitivity) -> dict[str, Any]:
    """Everything as JSON values."""
    return asdict(found)


def _layers(found: Sensitivity) -> list[list[str]]:
    """A line for each node, and for each input of the model, the loudest first."""
    excluded = found.choice.mix.outcome.excluded if found.choice else ()
    precisions = dict.fromkeys(names_of(excluded), "FP32") | dict.fromkeys(in_bf16(excluded), "BF16")
    lines = []
    for node in found.nodes:
        times = found.problem.nodes[node.name]
        weights = [q for q in found.problem.quantizers if q.weights and node.name in q.readers]
        outputs = [q for q in found.problem.quantizers if not q.weights and q.writer == node.name]
        noises = [sum(q.cost.noise for q in part) for part in (weights, outputs)]
        cells = [
            node.name,
            node.layer or node.operator,
            *(_decibels(noise) for noise in (sum(noises), *noises)),
            *_changes([q.cost for q in (*weights, *outputs)]),
            *(
                f"{ms:.3f}" if times.measured and ms is not None else formatting.NONE
                for ms in (times.int8, times.bf16, times.fp32)
            ),
            precisions.get(node.name, "INT8"),
        ]
        lines.append((sum(noises), cells))
    for q in found.problem.quantizers:
        if not q.weights and q.writer is None:
            none, costs = formatting.NONE, _changes([q.cost])
            noise = _decibels(q.cost.noise)
            lines.append((q.cost.noise, [q.tensors[0], "input", noise, none, noise, *costs, *[none] * 4]))
    return [cells for _, cells in sorted(lines, key=lambda line: -line[0])]


def _short(name: str) -> str:
    """The name of a node without scopes that the next one repeats: `/block.0/fc/Conv` for `/block/block.0/fc/Conv`."""
    scopes = name.split("/")
    pairs = zip(scopes, [*scopes[1:], ""], strict=True)
    return "/".join(scope for scope, after in pairs if not scope or not after.startswith(f"{scope}."))


def _changes(costs: Sequence[Cost]) -> list[str]:
    """The largest divergence, and the largest share of changed classes."""
    divergences = [cost.divergence for cost in costs if cost.divergence is not None]
    shares = [cost.changed for cost in costs if cost.changed is not None]
    return [
        f"{max(divergences):.4f}" if divergences else formatting.NONE,
        f"{max(shares):.1%}" if shares else formatting.NONE,
    ]


def _mix(mix: Mix, found: Sensitivity) -> list[str]:
    chosen = found.choice is not None and mix == found.choice.mix
    cost, excluded = mix.outcome.cost, mix.outcome.excluded
    bf16 = len(in_bf16(excluded))
    return [
        f"{len(excluded) - bf16} of {len(found.nodes)}",
        f"{bf16}",
        f"{mix.ms:.3f}",
        _decibels(mix.noise),
        _decibels(cost.noise),
        *_changes([cost]),
        *_score(mix.outcome, found.score),
        "chosen" if chosen else "",
    ]


def _cure(row: Cured, found: Sensitivity) -> list[str]:
    named = [row.cure, row.recipe or formatting.NONE]
    if row.outcome is None:
        return [*named, *[formatting.NONE] * 5, row.reason]
    cost = row.outcome.cost
    return [*named, _decibels(cost.noise), *_changes([cost]), *_score(row.outcome, found.score), ""]


def _choice(choice: Choice) -> list[list[str]]:
    fp32, int8, mixed = choice.ms
    none = formatting.NONE
    score = none if choice.score is None else f"{choice.score:.2%}"
    lines = [["FP32", f"{fp32:.3f}", f"{fp32 / int8:.2f}", none, none, score, none]]
    for name, ms, outcome in zip(("INT8", "mix"), (int8, mixed), choice.verified, strict=True):
        cost = outcome.cost
        changed = _changes([cost])[1]
        ratio = f"{ms / int8:.2f}"
        lines.append([name, f"{ms:.3f}", ratio, _decibels(cost.noise), changed, *_score(outcome, choice.score)])
    return lines


def _verified(choice: Choice) -> str:
    return f"on {choice.images} {'other' if choice.unseen else 'of the same'} samples"


def _score(outcome: Outcome, fp32: float | None) -> list[str]:
    if outcome.score is None or fp32 is None:
        return [formatting.NONE] * 2
    return [f"{outcome.score:.2%}", f"{100 * (fp32 - outcome.score):+.2f}"]


def _decibels(noise: float) -> str:
    value = decibels(noise)
    return formatting.NONE if math.isinf(value) else f"{value:.1f}"
