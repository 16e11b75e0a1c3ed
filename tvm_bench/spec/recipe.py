"""Recipes (`--recipe`): compression techniques, applied from left to right. Standard library only.

distill[-scratch]                                             train with a teacher's outputs as labels
prune-structured50  prune-unstructured90  prune-2:4           -iterative: in 3 iterations, -iterative5: in 5
kmeans256                                                     at most 256 different weights per layer
int8[-per-channel|-per-tensor][-minmax|-histogram|-entropy]   static quantization
int8…-without:Softmax,/head/Gemm                              these operators and nodes of the ONNX file stay FP32
int8…-without:bf16:/stem/Conv                                 this convolution is computed in BF16
int8…-without:@mix.txt                                        the same, with a name on each line of a file
int8-pt2e                                                     static quantization by torchao's PT2E
qat[-per-channel|-per-tensor]                                 static quantization, with training
int8-dynamic  fp16-dynamic                                    dynamic quantization of linear layers
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UserError, unknown

ITERATIONS = 3  # of `-iterative` without a number
WITHOUT = "-without:"
OBSERVERS = ("minmax", "histogram", "entropy")
# `{}` stands for a number.
NAMES = (
    *("distill", "distill-scratch", "prune-structured{}", "prune-unstructured{}", "prune-2:4", "kmeans{}", "qat"),
    *("int8", "int8-per-tensor", "int8-per-channel", "int8-pt2e", "int8-without:Softmax", "int8-dynamic"),
    "fp16-dynamic",
    *("prune-structured{}-iterative", "prune-unstructured{}-iterative", "prune-2:4-iterative"),
    *("qat-per-tensor", "qat-per-channel", *(f"int8-{observer}" for observer in OBSERVERS)),
    *(f"int8-per-{part}-{observer}" for part in ("tensor", "channel") for observer in OBSERVERS),
)


@dataclass(frozen=True)
class Distill:
    """Train with a teacher; `scratch`: starting from random weights."""

    scratch: bool


@dataclass(frozen=True)
class Prune:
    """Remove a `share` (0 to 1) of the filters or weights, by `pattern`, in `iterations` of pruning and training."""

    pattern: str  # structured, unstructured or 2:4
    share: float
    iterations: int


@dataclass(frozen=True)
class ShareWeights:
    """At most `clusters` different weights in each layer."""

    clusters: int


@dataclass(frozen=True)
class Quantize:
    """How to quantize to `precision`; `aware`: with training. None: the default of each runtime.

    `excluded` names operators and nodes of the ONNX file that stay FP32. `pt2e`: by torchao's PT2E.
    """

    precision: str
    aware: bool = False
    per_channel: bool | None = None
    observer: str | None = None
    excluded: tuple[str, ...] = ()
    pt2e: bool = False

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Quantize:
        """The inverse of `asdict`; the fields may come from JSON."""
        return cls(**{**fields, "excluded": tuple(fields.get("excluded", ()))})

    @property
    def by_onnxruntime(self) -> dict[str, Any]:
        """The options of ONNX Runtime's quantization: per channel and by min-max, unless it says otherwise."""
        return {"per_channel": self.per_channel is not False, "observer": self.observer or "minmax"}

    @property
    def needs_onnx(self) -> bool:
        """Whether Relay can only import it as an ONNX file."""
        return self.pt2e or bool(self.excluded)


Technique = Distill | Prune | ShareWeights | Quantize


@dataclass(frozen=True)
class Recipe:
    """`steps` are the techniques (as text) that produce an FP32 model; `quantization` is applied to that model."""

    steps: tuple[str, ...]
    quantization: Quantize | None

    @property
    def techniques(self) -> tuple[Technique, ...]:
        """The techniques of the steps, then the quantization."""
        return (*map(technique, self.steps), *([self.quantization] if self.quantization else []))


@dataclass(frozen=True)
class Settings:
    """Settings of the techniques. `epochs` is for one step, all its iterations together."""

    epochs: float = 1.0
    batch_size: int = 128
    lr: float | None = None  # None: the default of the technique
    seed: int = 0
    layers: tuple[str, ...] = ()  # to prune; empty: all
    teacher: str | None = None
    teacher_weights: str = "default"
    temperature: float = 4.0
    alpha: float = 0.9  # weight of the teacher's outputs; the labels have the rest

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Settings:
        """Settings from JSON values; missing fields get their defaults."""
        return cls(**{**fields, "layers": tuple(fields.get("layers", ()))})

    def check(self, techniques: Iterable[Technique]) -> None:
        """Raise `UserError` for settings that do not fit the `techniques` of a recipe."""
        checked = tuple(techniques)
        if self.layers and not any(isinstance(technique, Prune) for technique in checked):
            raise UserError("--layers names the layers to prune, but this recipe prunes nothing. Leave it out.")
        if any(isinstance(technique, Distill) for technique in checked):
            if not self.teacher:
                raise UserError("distillation needs a teacher: give --teacher resnet50 and its --teacher-weights.")
            if not self.epochs:
                raise UserError("distillation with --epochs 0 trains nothing. Give --epochs above 0.")
        if any(isinstance(technique, Quantize) and technique.aware for technique in checked) and not self.epochs:
            raise UserError(
                "quantization-aware training with --epochs 0 trains nothing. Give --epochs above 0, or use int8."
            )

    def of(self, technique: Technique) -> dict[str, Any]:
        """The settings that `technique` depends on, by name."""
        return {name: getattr(self, name) for name in _setting_names(technique)}


def _setting_names(technique: Technique) -> tuple[str, ...]:
    training = ("epochs", "batch_size", "lr", "seed")
    if isinstance(technique, Distill):
        return (*training, "teacher", "teacher_weights", "temperature", "alpha")
    if isinstance(technique, Prune):
        return (*training, "layers")
    return training if isinstance(technique, Quantize) and technique.aware else ()


def parse(text: str) -> Recipe:
    """Read a recipe. Raises `UserError` for an unknown technique (with the nearest names), for a number out of range,
    and for a useless order of techniques."""
    if not text:
        return Recipe((), None)
    texts = tuple(part.strip() for part in text.split("+"))
    techniques = [technique(part) for part in texts]
    _check_order(texts, techniques)
    last = techniques[-1]
    return Recipe(texts[:-1], last) if isinstance(last, Quantize) else Recipe(texts, None)


def expanded(text: str) -> str:
    """The recipe with the names that are in the file after `-without:@`. Raises `UserError` for a missing file."""
    before, mark, file = text.partition(f"{WITHOUT}@")
    if not mark:
        return text
    try:
        names = list(filter(None, map(str.strip, Path(file).read_text().splitlines())))
    except OSError as error:
        raise UserError(
            f"'{file}' cannot be read ({error.strerror}). Give a file with the name of a node on each line."
        ) from error
    return f"{before}{WITHOUT}{','.join(names)}" if names else before


def without(text: str, names: Iterable[str]) -> str:
    """The recipe `text`, whose quantization (the default if it has none) leaves out these nodes."""
    if not parse(text).quantization:
        text = f"{text}+int8" if text else "int8"
    listed = ",".join(names)
    return f"{text}{WITHOUT}{listed}" if listed else text


def whole(text: str) -> str | None:
    """The recipe `text` with all layers quantized; None if it leaves out none."""
    before, left_out, _ = text.partition(WITHOUT)
    if not left_out:
        return None
    return "" if before == "int8" else before


def technique(text: str) -> Technique:
    """Read one part of a recipe. Raises `UserError` for an unknown technique and for a number out of range."""
    for pattern, make in GRAMMAR.items():
        if match := re.fullmatch(pattern, text):
            return make(match.groupdict())
    numbers = re.findall(r"\d+", text) or ["50"]
    raise unknown("technique", text, {name.format(number) for name in NAMES for number in numbers})


def _prune(parts: Parts) -> Prune:
    percent = float(parts["percent"] or 0)
    name = f"prune-{parts['pattern']}"
    if not 0 < percent < 100:
        raise UserError(f"{name}{percent:g}: a sparsity of {percent:g} % is not allowed. Give one between 0 and 100 %.")
    if percent < 1:
        raise UserError(f"{name}{percent:g}: sparsity is in percent. Write {name}{percent * 100:g}.")
    iterations = int(parts["iterations"] or ITERATIONS) if parts["iterative"] else 1
    if not 1 <= iterations <= 100:
        raise UserError(f"{name}: {iterations} iterations are not allowed. Give 1 to 100.")
    return Prune(str(parts["pattern"]), percent / 100, iterations)


def _prune_two_of_four(parts: Parts) -> Prune:
    if parts["iterations"] not in (None, "2"):
        raise UserError(
            f"prune-2:4-iterative{parts['iterations']}: 2:4 has exactly 2 iterations (one weight of four, then a "
            "second). Leave the number out."
        )
    return Prune("2:4", 0.5, 2 if parts["iterative"] else 1)


def _clusters(parts: Parts) -> ShareWeights:
    count = int(parts["clusters"] or 256)
    if not 2 <= count <= 256:
        raise UserError(f"kmeans{count}: give 2 to 256 clusters. The index of a weight must fit into a byte.")
    return ShareWeights(count)


def _static(parts: Parts, *, aware: bool = False) -> Quantize:
    granularity = parts["granularity"]
    per_channel = None if granularity is None else granularity == "per-channel"
    excluded = tuple(filter(None, (parts.get("excluded") or "").split(",")))
    return Quantize("int8", aware, per_channel, parts.get("observer"), excluded)


Parts = dict[str, str | None]  # the named groups of a pattern
GRANULARITY = r"(?:-(?P<granularity>per-tensor|per-channel))?"
ITERATIVE = r"(?P<iterative>-iterative(?P<iterations>\d+)?)?"
GRAMMAR: dict[str, Callable[[Parts], Technique]] = {
    r"distill(?P<scratch>-scratch)?": lambda parts: Distill(bool(parts["scratch"])),
    rf"prune-(?P<pattern>structured|unstructured)(?P<percent>-?\d+(?:\.\d+)?){ITERATIVE}": _prune,
    rf"prune-2:4{ITERATIVE}": _prune_two_of_four,
    r"kmeans(?P<clusters>\d+)?": _clusters,
    rf"qat{GRANULARITY}": lambda parts: _static(parts, aware=True),
    rf"int8{GRANULARITY}(?:-(?P<observer>{'|'.join(OBSERVERS)}))?(?:{WITHOUT}(?P<excluded>.+))?": _static,
    r"int8-pt2e": lambda parts: Quantize("int8", pt2e=True),
    r"(?P<precision>int8-dynamic|fp16-dynamic)": lambda parts: Quantize(str(parts["precision"])),
}


def _check_order(texts: tuple[str, ...], techniques: list[Technique]) -> None:
    for text, before in zip(texts[1:], techniques, strict=False):
        if isinstance(before, Quantize):
            raise UserError(
                f"'{text}' after quantization: it needs FP32 weights. Put quantization last, and use only one."
            )
    for i, later in enumerate(techniques):
        for text, earlier in zip(texts[:i], techniques[:i], strict=True):
            if reason := _conflict(earlier, later):
                raise UserError(f"'{text}' before '{texts[i]}' makes no sense: {reason}")


def _conflict(before: Technique, after: Technique) -> str | None:
    trains = isinstance(after, Distill | Prune) or (isinstance(after, Quantize) and after.aware)
    if isinstance(before, ShareWeights) and trains:
        return "training changes the shared weights. Put kmeans last, or directly before int8."
    if isinstance(before, ShareWeights) and isinstance(after, ShareWeights):
        return "the second repeats the first. Keep one."
    if isinstance(before, Distill) and isinstance(after, Distill):
        return "one distillation with more --epochs does the same. Keep one."
    if isinstance(after, Distill) and after.scratch:
        return "random weights discard the result of the steps before. Put distill-scratch first."
    if isinstance(before, Prune) and isinstance(after, Prune):
        if before.pattern == after.pattern:
            return "give only the final sparsity, with -iterative to reach it in several iterations."
        if after.pattern == "structured":
            return "the removed filters would include zeros of the first. Put structured pruning first."
        if before.pattern != "structured":
            return "2:4 is unstructured pruning of half of the weights in a fixed pattern. Keep one of them."
    return None
