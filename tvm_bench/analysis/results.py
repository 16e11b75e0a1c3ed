"""results.json: every sample of every variant. Statistics are derived when a report is made, never stored."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..host.files import write_json
from ..spec.errors import UserError

SCHEMA = 1
STATUSES = ("ok", "failed", "skipped")  # skipped: it needs something that this machine lacks
CURE = "Run `tvm-bench bench` to write a new one."


@dataclass(frozen=True)
class Row:
    """One variant. Times in milliseconds, memory in MB (lists: one value per round), accuracies as shares from 0 to 1.

    `latency_ms` is `{"rounds": [[...], ...]}`: the samples of one process each. `max_abs_error`, `cosine` and
    `argmax_agreement` are against the FP32 reference; those with `source_` against the source model, which the library
    was built from, run by its own runtime. `distances` has both, of each image's scores relative to how much scores
    vary between images: `{"reference" | "source": {"images", "median", "worst", "spread"}}`, see `measure.metrics`;
    with `itself`, those of the source from itself when it rounds in another order. Older files have no `spread`, and
    distances relative to the length of the scores. `output_errors` has, by the same roles, the differences of each
    output, see `measure.comparison`; older files have none.
    """

    name: str
    precision: str
    backend: str
    frontend: str | None = None
    tuned: bool = False
    batch: int = 1
    threads: int = 0  # the thread count; 0 if it is unknown
    status: str = "ok"
    error: str | None = None
    latency_ms: dict[str, list[list[float]]] | None = None
    time_evaluator_ms: list[list[float]] | None = None
    load_ms: list[float] = field(default_factory=list)
    first_call_ms: list[float] = field(default_factory=list)
    peak_rss_mb: list[float] = field(default_factory=list)
    rss_after_import_mb: list[float] = field(default_factory=list)
    rss_after_load_mb: list[float] = field(default_factory=list)
    pss_peak_mb: list[float] = field(default_factory=list)  # at the end of the samples; shared pages by their share
    huge_pages_mb: list[float] = field(default_factory=list)  # of that; older files have none
    live_threads: list[int] = field(default_factory=list)
    working_threads: list[int] = field(default_factory=list)
    cpu_per_wall: list[float] = field(default_factory=list)
    watch: list[dict[str, Any]] = field(default_factory=list)  # interference, see host/interference.py
    disturbed: int = 0  # rounds that were discarded and repeated
    flagged: str | None = None  # why this row cannot win
    size_mb: float | None = None
    runtime_mb: float | None = None  # size of the runtime that must be shipped with the artifact
    operations: float | None = None  # of one call of a library: those of direct convolutions
    plan_mb: dict[str, float] | None = None  # TVM's static memory plan: "weights", "workspace"
    images: int | None = None
    top1: float | None = None
    top5: float | None = None
    miou: float | None = None  # of a segmentation with labels
    map: float | None = None  # COCO's mAP of a detector with labels, and that at an IoU of 0.5
    map50: float | None = None
    max_abs_error: float | None = None
    cosine: float | None = None
    argmax_agreement: float | None = None
    hits: str | None = None  # one bit per image, in order, 1 if classified correctly; hexadecimal of np.packbits
    distances: dict[str, dict[str, float]] | None = None
    output_errors: dict[str, list[dict[str, Any]]] | None = None
    source_max_abs_error: float | None = None
    source_argmax_agreement: float | None = None
    layers: dict[str, Any] | None = None  # of an INT8 library: "count", "wrong" against its source, "first" wrong one
    layers_missing: str | None = None  # why the layers of an INT8 library were not compared
    explanation: str | None = None  # of an INT8 variant: what limits it, and what would help
    identity: str | None = None  # SHA-256 of the timed files, the user's sources, the code and the versions

    @property
    def ok(self) -> bool:
        """Whether the variant ran to its end."""
        return self.status == "ok"

    @property
    def rounds(self) -> list[list[float]]:
        """Wall-clock samples in milliseconds, one list per round; empty if the variant was not timed or failed."""
        return self.latency_ms["rounds"] if self.ok and self.latency_ms else []


@dataclass(frozen=True)
class Results:
    """One run of the bench.

    The report reads `busy_share` of `machine` (share of the usable CPUs that others used before the first round), and
    `threads`, `command`, `limits`, `reference`, `rounds` and `finished_rounds` of `settings`; it prints both.
    """

    machine: dict[str, Any]
    settings: dict[str, Any]
    variants: tuple[Row, ...]
    # At the start: a number of `threads`, and the 10^9 operations and bytes per second that they can do.
    peaks: dict[str, float] = field(default_factory=dict)
    matmul_rates: tuple[float, ...] = ()  # before each round, 10^9 operations per second of a matrix product

    @property
    def finished_rounds(self) -> int:
        """The number of rounds that all variants have."""
        return self.settings.get("finished_rounds", max((len(row.rounds) for row in self.variants), default=0))

    @property
    def partial(self) -> bool:
        """Whether the race was interrupted before its last round, or still runs."""
        return "finished_rounds" in self.settings and self.finished_rounds < self.settings["rounds"]

    @property
    def reference_label(self) -> str:
        """The label of the reference: `fp32-eager`, or `fp32-onnxruntime` for an ONNX file."""
        return self.settings.get("reference") or "fp32-eager"

    @property
    def reference(self) -> Row | None:
        """The row of the reference; None if it is missing or failed."""
        label = self.reference_label
        return next((row for row in self.variants if row.ok and f"{row.precision}-{row.backend}" == label), None)


def save(results: Results, path: Path) -> None:
    """Write `results` as JSON, atomically."""
    write_json(path, {"schema": SCHEMA, **asdict(results)})


def load(path: Path) -> Results:
    """Read what `save` wrote. Raises `UserError` for a file that is missing, damaged or of another schema."""
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"there are no results at {path}. {CURE}") from None
    except OSError as error:
        raise UserError(f"cannot read the results at {path}: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"the results at {path} are damaged: not JSON ({error}). {CURE}") from error
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema != SCHEMA:
        raise UserError(f"the results at {path} have schema {schema!r}; this version reads schema {SCHEMA}. {CURE}")
    try:
        return _results(value)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"the results at {path} are damaged: {reason}. {CURE}") from error


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested objects as one: `{"mhz": {"now": 2600}}` -> `{"mhz.now": "2600"}`. Null values are left out."""
    texts: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            texts |= flat(value, f"{prefix}{key}.")
        elif value is not None:
            texts[f"{prefix}{key}"] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return texts


def _results(value: dict[str, Any]) -> Results:
    for key, kind in (("machine", dict), ("settings", dict), ("variants", list)):
        if not isinstance(value[key], kind):
            raise ValueError(f"'{key}' is no {'object' if kind is dict else 'list'}")
    rows = tuple(_row(item) for item in value["variants"])
    # Rounds are paired by their index: a variant with fewer would be compared with rounds that it did not share.
    if len(counts := {len(row.rounds) for row in rows if row.rounds}) > 1:
        raise ValueError(f"the variants have different numbers of rounds ({', '.join(map(str, sorted(counts)))})")
    rates = tuple(value.get("matmul_rates", ()))  # older files have none
    return Results(value["machine"], value["settings"], rows, value.get("peaks", {}), rates)


def _row(value: dict[str, Any]) -> Row:
    name = value["name"]
    if extra := sorted(set(value) - {known.name for known in fields(Row)}):
        raise ValueError(f"variant {name} has the unknown field '{extra[0]}'")
    row = Row(**value)
    if row.status not in STATUSES:
        raise ValueError(f"variant {name} has the status {row.status!r}; allowed: {', '.join(STATUSES)}")
    for where, rounds in (("latency_ms", row.rounds), ("time_evaluator_ms", row.time_evaluator_ms or [])):
        if not all(times and all(_is_time(time) for time in times) for times in rounds):
            raise ValueError(f"variant {name} has a round in {where} that is empty or holds no positive number")
    if row.hits is not None and len(bytes.fromhex(row.hits)) != math.ceil((row.images or 0) / 8):
        raise ValueError(f"variant {name} has hits that do not fit its {row.images} images")
    return row


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf
