"""Compiles severed models by Relax: by the project's passes, and by its own. It runs in the environment `relax`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tvm
from tvm import relax

from ..backends.relax import compiler, frontend
from ..backends.relax.library import MAIN, arrays_of
from ..spec.tensors import TensorSpec
from .layer import Run, Values

PLAIN = "llvm"


@dataclass(frozen=True)
class Relax:
    """Relax as the compiler under test, for a CPU."""

    target: tvm.target.Target

    def lowered(self, source: Path, inputs: Sequence[TensorSpec]) -> tvm.IRModule:
        """See `layer.Compiler`. Relax lowers nothing before its passes."""
        return frontend.relax_from_onnx(source, inputs)

    def unfused(self, module: tvm.IRModule) -> Run:
        """See `layer.Compiler`."""
        steps = [relax.transform.LegalizeOps(), relax.transform.FoldConstant()]
        plain = tvm.target.Target(PLAIN)
        with plain, tvm.transform.PassContext(opt_level=0):
            return _runner(module, relax.build(tvm.transform.Sequential(steps)(module), plain))

    def library(self, module: tvm.IRModule) -> Run:
        """See `layer.Compiler`."""
        return _runner(module, compiler.compiled(module, self.target).executable)


def _runner(module: tvm.IRModule, executable: relax.VMExecutable) -> Run:
    machine, names = relax.VirtualMachine(executable, tvm.cpu()), [value.name for value in module[MAIN].params]

    def run(inputs: Values) -> list[np.ndarray]:
        return list(arrays_of(machine[MAIN](*(tvm.runtime.tensor(inputs[name]) for name in names))))

    return run
