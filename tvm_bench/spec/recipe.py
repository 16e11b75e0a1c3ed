"""What `--recipe` says: compression techniques, done from left to right. Standard library only.

distill[-scratch]                                             a teacher's answers as the student's labels
prune-structured50  prune-unstructured90  prune-2:4           with -iterative or -iterative5: in so many rounds
kmeans256                                                     so many different weights in a layer
int8[-per-channel|-per-tensor][-minmax|-histogram|-entropy]   static quantization
qat[-per-channel|-per-tensor]                                 the same, trained
int8-dynamic  fp16-dynamic
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .errors import UserError, unknown

ROUNDS = 3  # of `-iterative`
OBSERVERS = ("minmax", "histogram", "entropy")
NAMES = (
    *("distill", "distill-scratch", "prune-structured{}", "prune-unstructured{}", "prune-2:4", "kmeans{}", "qat"),
    *("int8", "int8-per-tensor", "int8-per-channel", "int8-dynamic", "fp16-dynamic"),
    *("prune-structured{}-iterative", "prune-unstructured{}-iterative", "prune-2:4-iterative"),
    *("qat-per-tensor", "qat-per-channel", *(f"int8-{observer}" for observer in OBSERVERS)),
    *(f"int8-per-{what}-{observer}" for what in ("tensor", "channel") for observer in OBSERVERS),
)


@dataclass(frozen=True)
class Distill:
    """Train with a teacher; `scratch`: from new weights."""

    scratch: bool


@dataclass(frozen=True)
class Prune:
    """`pattern` is structured, unstructured or 2:4; `share` (0 to 1) of filters or weights goes, in `rounds`."""

    pattern: str
    share: float
    rounds: int


@dataclass(frozen=True)
class ShareWeights:
    """So many different weights in each layer."""

    clusters: int


@dataclass(frozen=True)
class Quantize:
    """What a `precision` is made by. None: as each runtime does it by default."""

    precision: str
    aware: bool = False
    per_channel: bool | None = None
    observer: str | None = None


Technique = Distill | Prune | ShareWeights | Quantize


@dataclass(frozen=True)
class Recipe:
    """`steps` (texts) make an FP32 network; `quantization` is how its quantized form is made."""

    steps: tuple[str, ...]
    quantization: Quantize | None

    @property
    def techniques(self) -> tuple[Technique, ...]:
        """Those of the steps, then the quantization."""
        return (*map(technique, self.steps), *([self.quantization] if self.quantization else []))


@dataclass(frozen=True)
class Settings:
    """How techniques are carried out. `epochs` are those of a step, all rounds of it together."""

    epochs: float = 1.0
    batch_size: int = 128
    lr: float | None = None  # None: the technique's own
    seed: int = 0
    layers: tuple[str, ...] = ()  # to prune; empty: all
    teacher: str | None = None
    teacher_weights: str = "default"
    temperature: float = 4.0
    alpha: float = 0.9  # weight of the teacher's answers against the labels

    def check(self, techniques: Iterable[Technique]) -> None:
        """Raise `UserError` where they do not go with the `techniques` of a recipe."""
        found = tuple(techniques)
        if self.layers and not any(isinstance(each, Prune) for each in found):
            raise UserError("--layers names what to prune, and this recipe prunes nothing. Leave it out.")
        if any(isinstance(each, Distill) for each in found):
            if not self.teacher:
                raise UserError("distillation needs a teacher: give --teacher resnet50 and its --teacher-weights.")
            if not self.epochs:
                raise UserError("distillation with --epochs 0 teaches nothing. Give some epochs.")
        if any(isinstance(each, Quantize) and each.aware for each in found) and not self.epochs:
            raise UserError("quantization-aware training with --epochs 0 learns nothing: give some, or take int8.")

    def of(self, technique: Technique) -> dict:
        """The settings that `technique` takes: another value of the others changes nothing."""
        training = ("epochs", "batch_size", "lr", "seed")
        taken = {
            Distill: (*training, "teacher", "teacher_weights", "temperature", "alpha"),
            Prune: (*training, "layers"),
            Quantize: training if isinstance(technique, Quantize) and technique.aware else (),
        }.get(type(technique), ())
        return {name: getattr(self, name) for name in taken}


def parse(text: str) -> Recipe:
    """Read a recipe. Raises `UserError` for a technique that is unknown (with the near ones), for a number out of its
    range, and for an order that makes no sense."""
    if not text:
        return Recipe((), None)
    texts = tuple(part.strip() for part in text.split("+"))
    techniques = [technique(part) for part in texts]
    _check_order(texts, techniques)
    last = techniques[-1]
    return Recipe(texts[:-1], last) if isinstance(last, Quantize) else Recipe(texts, None)


def technique(text: str) -> Technique:
    """Read one part of a recipe."""
    for pattern, make in GRAMMAR.items():
        if found := re.fullmatch(pattern, text):
            return make(**found.groupdict())
    number = re.search(r"(?<!int)(?<!fp)(?<!-)\d+", text)
    raise unknown("technique", text, {name.format(number.group() if number else 50) for name in NAMES})


def _prune(pattern: str, percent: str | None = None, iterative: str | None = None, rounds: str | None = None) -> Prune:
    given = float(percent or 50)
    if not 0 < given < 100:
        raise UserError(f"prune-{pattern}{percent}: a sparsity of {given:g} % is not between 0 and 100 %.")
    if given < 1:
        raise UserError(f"prune-{pattern}{percent}: sparsity is in percent. Write prune-{pattern}{given * 100:g}.")
    steps = int(rounds) if rounds else ROUNDS if iterative else 1
    if pattern == "2:4":
        if rounds and steps != 2:
            raise UserError(f"prune-2:4-iterative{rounds}: of four weights one goes, then a second: that is 2 rounds.")
        steps = 2 if iterative else 1
    if not 1 <= steps <= 100:
        raise UserError(f"prune-{pattern}: {steps} rounds. Give 1 to 100.")
    return Prune(pattern, given / 100, steps)


def _clusters(clusters: str | None) -> ShareWeights:
    count = int(clusters or 256)
    if not 2 <= count <= 256:
        raise UserError(f"kmeans{count}: give 2 to 256 clusters, so that a weight's index fits into a byte.")
    return ShareWeights(count)


def _static(granularity: str | None = None, observer: str | None = None, *, aware: bool) -> Quantize:
    return Quantize("int8", aware, granularity and granularity == "per-channel", observer)


GRANULARITY = r"(?:-(?P<granularity>per-tensor|per-channel))?"
ITERATIVE = r"(?P<iterative>-iterative(?P<rounds>\d+)?)?"
GRAMMAR: dict[str, Callable[..., Technique]] = {
    r"distill(?P<scratch>-scratch)?": lambda scratch: Distill(bool(scratch)),
    rf"prune-(?P<pattern>structured|unstructured)(?P<percent>-?\d+(?:\.\d+)?){ITERATIVE}": _prune,
    rf"prune-(?P<pattern>2:4){ITERATIVE}": _prune,
    r"kmeans(?P<clusters>\d+)?": _clusters,
    rf"qat{GRANULARITY}": lambda **given: _static(**given, aware=True),
    rf"int8{GRANULARITY}(?:-(?P<observer>{'|'.join(OBSERVERS)}))?": lambda **given: _static(**given, aware=False),
    r"(?P<precision>int8-dynamic|fp16-dynamic)": lambda precision: Quantize(precision),
}


def _check_order(texts: tuple[str, ...], techniques: list[Technique]) -> None:
    for text, before in zip(texts[1:], techniques, strict=False):
        if isinstance(before, Quantize):
            raise UserError(f"'{text}' after quantization: it needs FP32 weights. Put quantization last, and only one.")
    for i, later in enumerate(techniques):
        for text, earlier in zip(texts[:i], techniques[:i], strict=True):
            if reason := _conflict(earlier, later):
                raise UserError(f"'{text}' before '{texts[i]}' makes no sense: {reason}")


def _conflict(before: Technique, after: Technique) -> str | None:
    trains = isinstance(after, Distill | Prune) or (isinstance(after, Quantize) and after.aware)
    if isinstance(before, ShareWeights) and trains:
        return "training moves the weights off the shared values. Put kmeans last, or before int8."
    if isinstance(before, ShareWeights) and isinstance(after, ShareWeights):
        return "the second only repeats the first. Keep one."
    if isinstance(before, Distill) and isinstance(after, Distill):
        return "one distillation with more --epochs does the same. Keep one."
    if isinstance(after, Distill) and after.scratch:
        return "new weights undo what came before. Put distill-scratch first."
    if isinstance(before, Prune) and isinstance(after, Prune):
        if before.pattern == after.pattern:
            return "give the sparsity that you want at the end, with -iterative to get there in rounds."
        if after.pattern == "structured":
            return "filters that are removed take their zeros along. Put structured pruning first."
        if before.pattern != "structured":
            return "2:4 is unstructured pruning of half the weights in a fixed pattern. Keep one of them."
    return None
