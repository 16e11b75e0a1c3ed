"""A model, its variants, and the run spec of a command. Standard library only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from . import recipe
from .recipe import Settings
from .sizes import Sizes

PRECISIONS = ("fp32", "int8", "bf16", "fp16", "fp16-dynamic", "int8-dynamic")  # int8: static
RELAY = ("relay", "relay-stock")  # the second with TVM's own default schedules only
RELAX = "relax"
# Of Relay. See docs/explanation/front-ends.md.
DEFAULT_FRONTEND = {"fp32": "onnx", "bf16": "onnx", "int8": "pytorch"}

LONGEST_LIST = 60  # characters of a recipe's list of nodes in the name of a folder
NAMED_WEIGHTS = ("default", "imagenet", "random")


@dataclass(frozen=True)
class ModelSpec:
    """A model: its source, its weights, its data, and the recipe that compresses it.

    `shapes` are shapes of inputs by name, and `dims` sizes of named dimensions, as pairs. `samples` is the path of
    samples, or `synthetic`, for inputs that are not images. `normalize` is one of `feed.NORMALIZATIONS`; None: the
    model's own, or ImageNet's.
    """

    model: str
    weights: str = "default"
    input_shape: tuple[int, int, int] | None = None
    data: str | None = None
    recipe: str = ""
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    dims: tuple[tuple[str, int], ...] = ()
    samples: str | None = None
    normalize: str | None = None

    @property
    def slug(self) -> str:
        """The name of the model's folder in `artifacts/`: `resnet18`, `mobilenet_v2-random` for other weights,
        `resnet18-best-1f0e3d` for a weights file, or `resnet18+prune-structured50`."""
        name = _file_name(self.model) if self.is_onnx else "-".join(self.model.rpartition(".")[2].split(":"))
        if self.weights != "default":
            name += "-" + (self.weights if self.weights in NAMED_WEIGHTS else _file_name(self.weights))
        if self.input_shape:
            name += "-" + "x".join(map(str, self.input_shape))
        name += "".join(f"-{label}{'x'.join(map(str, shape))}" for label, shape in self.shapes)
        name += "".join(f"-{label}{size}" for label, size in self.dims)
        name += f"-{self.normalize}" if self.normalize else ""
        return re.sub(r"[^\w.+-]+", "_", f"{name}+{_short(self.recipe)}" if self.recipe else name)

    @property
    def is_onnx(self) -> bool:
        """Whether the model is an ONNX file, which eager PyTorch cannot run."""
        return self.model.endswith(".onnx")

    def request(self) -> dict[str, Any]:
        """The fields, for a job's request."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ModelSpec:
        """The inverse of `request`; the fields may come from JSON."""
        shape = fields["input_shape"]
        shapes = tuple((name, tuple(sizes)) for name, sizes in fields.get("shapes", ()))
        dims = tuple((name, size) for name, size in fields.get("dims", ()))
        return cls(**{**fields, "input_shape": tuple(shape) if shape else None, "shapes": shapes, "dims": dims})

    def sizes(self, batch: int) -> Sizes:
        """The sizes that the user gives, at a batch size."""
        return Sizes(self.input_shape, dict(self.shapes), dict(self.dims), batch)


def _short(text: str) -> str:
    """The recipe; a long list of nodes that it leaves out is replaced by a hash."""
    before, mark, nodes = text.partition(recipe.WITHOUT)
    if len(nodes) <= LONGEST_LIST:
        return text
    return f"{before}{mark}{hashlib.sha256(nodes.encode()).hexdigest()[:6]}"


def _file_name(path: str) -> str:
    """`best-1f0e3d` for `runs/a/best.pt`: a hash of the path tells files of the same name apart."""
    file, here = Path(path).resolve(), Path.cwd()
    place = file.relative_to(here) if file.is_relative_to(here) else file
    return f"{file.stem}-{hashlib.sha256(place.as_posix().encode()).hexdigest()[:6]}"


@dataclass(frozen=True)
class Variant:
    """One way to run a model: a precision, a backend and its settings. Its name is such as `resnet18/int8-relay`."""

    model_spec: ModelSpec
    precision: str
    backend: str
    frontend: str | None = None  # of Relay or Relax; None: the default of the precision
    tuned: bool = False
    threads: int = 1
    batch: int = 1
    threads_named: bool = False  # whether the name has the thread count: only in a sweep over thread counts

    @property
    def resolved_frontend(self) -> str | None:
        """The front end of TVM that is used; None for other backends."""
        if self.backend == RELAX:
            return self.frontend or "onnx"
        if self.backend not in RELAY:
            return None
        quantization = recipe.parse(self.model_spec.recipe).quantization if self.precision == "int8" else None
        only_onnx = self.model_spec.is_onnx or (quantization and quantization.needs_onnx)
        return self.frontend or ("onnx" if only_onnx else DEFAULT_FRONTEND[self.precision])

    @property
    def source_precision(self) -> str:
        """The precision of the file that it is made of: Relay computes the FP32 model in BF16."""
        return "fp32" if self.precision == "bf16" and self.resolved_frontend else self.precision

    @property
    def label(self) -> str:
        """The name without the model: `int8-relay-onnx-tuned-b4-t2`."""
        parts = [self.precision, self.backend]
        if self.frontend:
            parts.append(self.frontend)
        if self.tuned:
            parts.append("tuned")
        if self.batch != 1:
            parts.append(f"b{self.batch}")
        if self.threads_named:
            parts.append(f"t{self.threads}")
        return "-".join(parts)

    @property
    def name(self) -> str:
        """Model and label: `resnet18/fp32-eager`."""
        return f"{self.model_spec.slug}/{self.label}"


@dataclass(frozen=True)
class RunSpec:
    """What a command runs: one model in some precisions, with the same settings for all of its variants.

    `batches` (batch sizes) and `threads` (thread counts) are swept: every variant runs with every combination.
    """

    model_spec: ModelSpec
    precisions: tuple[str, ...]
    frontends: tuple[str, ...]  # of Relay and Relax; empty: the default of each precision
    target: str | None
    batches: tuple[int, ...]
    threads: tuple[int, ...]
    root: Path
    logs: Path = Path("tuning_logs")
    settings: Settings | None = None  # of the recipe; None: those of its last run
    task: str | None = None  # None: guessed
    calibration: int | None = None  # the most samples that INT8 is calibrated with; None: all

    @property
    def most_threads(self) -> int:
        """The largest thread count: for steps that are not measured, and for the reference."""
        return max(self.threads)

    def variants(self, precision: str, backend: str, *, tuned: bool = False) -> list[Variant]:
        """The model in one precision on one backend: a variant for each front end, thread count and batch size."""
        frontends = self.frontends if backend in (*RELAY, RELAX) and self.frontends else (None,)
        named = len(self.threads) > 1
        return [
            Variant(self.model_spec, precision, backend, frontend, tuned, threads, batch, named)
            for frontend, threads, batch in product(frontends, self.threads, self.batches)
        ]
