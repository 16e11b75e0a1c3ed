"""Compiles a Relax module to machine code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm import relax

from ...host.cpu import VNNI
from . import kernels
from .blocked import Blocked
from .schedules import Scheduled, lanes
from .target import features


@dataclass(frozen=True)
class Compiled:
    """A build: the module as it is `fused` and as it is `scheduled`, its `kernels`, and the `executable`."""

    fused: tvm.IRModule
    scheduled: tvm.IRModule
    kernels: dict[str, dict[str, Any]]
    executable: relax.VMExecutable


def compiled(module: tvm.IRModule, target: tvm.target.Target) -> Compiled:
    """Compile an imported module: blocked, fused and scheduled, then by TVM's own lowering."""
    blocked = Blocked(lanes(target), not VNNI.isdisjoint(features(target)))
    steps = [
        blocked,
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FoldConstant(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.DeadCodeElimination(),
    ]
    with target, tvm.transform.PassContext(opt_level=3):
        fused = tvm.transform.Sequential(steps)(module)
        scheduled = tvm.transform.Sequential([Scheduled()])(fused)
        executable = relax.build(scheduled, target)
    return Compiled(fused, scheduled, kernels.of_module(fused, blocked.layers), executable)
