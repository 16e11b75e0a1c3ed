"""Compiles a Relax module to machine code."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from .blocked import Blocked
from .schedules import Scheduled, lanes


@dataclass(frozen=True)
class Compiled:
    """A build: the module with its fused `kernels` before the lowering, and the `executable`."""

    kernels: tvm.IRModule
    executable: relax.VMExecutable


def compiled(module: tvm.IRModule, target: tvm.target.Target) -> Compiled:
    """Compile an imported module: blocked, fused and scheduled, then by TVM's own lowering."""
    steps = [
        Blocked(lanes(target)),
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FoldConstant(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.DeadCodeElimination(),
        Scheduled(),
    ]
    with target, tvm.transform.PassContext(opt_level=3):
        kernels = tvm.transform.Sequential(steps)(module)
        executable = relax.build(kernels, target)
    return Compiled(kernels, executable)
