"""Step 6: compiles a Relay module to machine code, with default schedules or with tuning records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tvm
from tvm import relay

from ...spec.errors import UserError
from . import byte_tables, layer_norm_match, passes, scale_folding, schedules, simplify, tokens
from . import kernels as kernel_infos
from .averages import AveragesAsPools
from .bfloat16 import Bfloat16, Bfloat16Casts
from .calls import name_of
from .dilated import DilatedConvolutions
from .einsum import EinsumsAsProducts
from .kernels import KernelInfo
from .padded_channels import PaddedChannels
from .records import autoscheduler, metaschedule
from .schedules import bf16_dot
from .sequence import in_sequence
from .target import features

WINDOWED = 6  # axes of an image that is divided into windows: batch, channels, and two for rows and columns each


@dataclass(frozen=True)
class Schedules:
    """The schedules of a build.

    `name` is `stock` (TVM's own), `default` (with the project's) or a tuner's. `by_convolution` has schedules of this
    project by `str(Convolution)`. `records` is the folder of the tuner `name`; `ignored` are kernels whose record is
    not used.
    """

    name: str = "default"
    by_convolution: Mapping[str, str] = field(default_factory=dict)
    records: Path | None = None
    ignored: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Compiled:
    """A build: `module` before `relay.build`, `fused` after its fusion, its result `factory`, and the kernels."""

    module: tvm.IRModule
    fused: tvm.IRModule
    factory: Any
    kernels: dict[str, KernelInfo]

    @property
    def library(self) -> tvm.runtime.Module:
        """The machine code, which `graph_executor` runs."""
        return self.factory.module


def compiled(module: tvm.IRModule, target: tvm.target.Target, plan: Schedules) -> Compiled:
    """Compile a lowered module by `plan`."""
    tvms = plan.name in ("stock", "autoscheduler")
    module = passes.convert_layouts(module, autoscheduler.LAYOUT if plan.name == "autoscheduler" else "NCHW")
    own = plan.name in ("default", "templates")  # the other tuners extract their tasks from the module without this
    module = _rewritten(_folded(module, target)) if own else module
    fusion = _LastFusion()
    disabled = [scale_folding.TVMS_PASS, *simplify.TVMS_PASSES] if own else [byte_tables.NAME]
    with _schedules(plan, target) as (config, records):
        config = config | lowering(module)
        with target, tvm.transform.PassContext(3, config=config, disabled_pass=disabled):
            altered = passes.alter_layouts(module)
        disabled += passes.REPEATED
        with tvm.transform.PassContext(3, config=config, disabled_pass=disabled, instruments=[fusion]):
            factory = relay.build(altered, target=target)
    assert fusion.module, "relay.build always fuses"
    with target:
        kernels = kernel_infos.of_build(factory, plan.by_convolution, tvms=tvms)
    return Compiled(module, fusion.module, factory, kernel_infos.with_records(kernels, records, plan.name))


def in_bf16(module: tvm.IRModule, target: tvm.target.Target) -> tvm.IRModule:
    """A lowered FP32 module with its convolutions in BF16, as far as they divide into vectors.

    Raises `UserError` for a `target` without dot products of BF16.
    """
    if bf16_dot.KIND.feature not in features(target):
        raise UserError(
            f"precision bf16: the CPU '{target.mcpu}' has no instructions for it (avx512_bf16). "
            "Give --precision fp32,int8."
        )
    module = _rewritten(_folded(passes.convert_layouts(module), target))
    with target:
        return in_sequence([Bfloat16()], module)


def _folded(module: tvm.IRModule, target: tvm.target.Target) -> tvm.IRModule:
    """The module with scales in its weights; then casts to BF16 become its bits, whose weights take no scales."""
    module = scale_folding.fold_scales(module)
    with target:
        return in_sequence([Bfloat16Casts()], module)


def _rewritten(module: tvm.IRModule) -> tvm.IRModule:
    steps = [
        EinsumsAsProducts(),
        layer_norm_match.LayerNorms(),
        AveragesAsPools(),
        tokens.AsRows(),
        PaddedChannels(),
        DilatedConvolutions(),
    ]
    return in_sequence(steps, module)


def lowering(module: tvm.IRModule) -> dict[str, bool]:
    """Options of TIR. Some operators bind vectors with `let` once their common subexpressions are eliminated.

    These are resizes, transposed convolutions, rows of a table that are selected by a computed index, and the
    transposes that divide an image into windows.
    """
    found: list[bool] = []
    relay.analysis.post_order_visit(module["main"], lambda node: found.append(_binds_vectors(node)))
    return metaschedule.LOWERING if any(found) else {}


def _binds_vectors(node: relay.Expr) -> bool:
    operator = name_of(node)
    if operator == "take":
        return not isinstance(node.args[1], relay.Constant)
    if operator == "transpose":
        return len(node.attrs.axes or ()) >= WINDOWED
    return operator in ("image.resize2d", "nn.conv2d_transpose")


@contextmanager
def _schedules(plan: Schedules, target: tvm.target.Target) -> Iterator[tuple[dict, dict[str, dict[str, Any]]]]:
    """The configuration of `relay.build`, and the tuner's record of each kernel, filled in while it builds."""
    if not plan.records:
        with nullcontext() if plan.name == "stock" else schedules.using(plan.by_convolution):
            yield {}, {}
    elif plan.name == "autoscheduler":
        with autoscheduler.Records(plan.records / autoscheduler.RECORDS) as records:
            yield {"relay.backend.use_auto_scheduler": True}, records.kernels
    else:
        records = metaschedule.Records(plan.records, plan.ignored)
        with schedules.using(plan.by_convolution), target, records:
            yield metaschedule.CONFIG, records.kernels


def memory_plan(factory: Any) -> dict[str, float]:
    """TVM's static memory plan in MB of 10**6 bytes: `weights` and `workspace`.

    `workspace` is input, output, the values between kernels, and the largest allocation inside a kernel.
    """
    functions = dict(factory.function_metadata.items())
    main = functions.pop("__tvm_main__")
    between = _total(main.workspace_sizes) + _total(main.io_sizes)
    inside = max((_total(kernel.workspace_sizes) for kernel in functions.values()), default=0)
    return {"weights": _total(main.constant_sizes) / 1e6, "workspace": (between + inside) / 1e6}


def _total(sizes: Any) -> int:
    return sum(int(size) for size in sizes.values())


@tvm.instrument.pass_instrument
class _LastFusion:
    """Stores the module after the last fusion of `relay.build`: to optimize it again would double the build time."""

    def __init__(self) -> None:
        self.module: tvm.IRModule | None = None

    def run_after_pass(self, module: tvm.IRModule, info: Any) -> None:
        # Constant folding fuses small modules before this; the model is the last.
        if info.name == "FuseOps":
            self.module = module
