"""Compiles severed models by the project's own pipeline, and by a slow one that shares no schedule with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tvm
from tvm import relay
from tvm.contrib import graph_executor

from ..backends.relay import compiler, frontend, passes
from ..backends.relay.compiler import Compiled, Schedules
from ..spec.tensors import TensorSpec
from .layer import Run

# Without -mcpu: TVM computes integers as they are written, without instructions for INT8.
PLAIN = "llvm"


def lowered(source: Path, inputs: Sequence[TensorSpec], target: tvm.target.Target) -> tvm.IRModule:
    """The Relay module of a model file after import and lowering, as `build` makes it."""
    return passes.lower_quantization(frontend.relay_from_file(source, inputs), target)


def by_project(module: tvm.IRModule, target: tvm.target.Target) -> Compiled:
    """The build of a lowered module with the project's passes and schedules."""
    return compiler.compiled(module, target, Schedules())


def unfused(module: tvm.IRModule, target: tvm.target.Target | None = None) -> tvm.runtime.Module:
    """A build of a lowered module in which each operator is a kernel by TVM's own schedules, without new layouts."""
    with tvm.transform.PassContext(opt_level=0, config=compiler.lowering(module)):
        return relay.build(module, target=target or tvm.target.Target(PLAIN)).module


def runner(library: tvm.runtime.Module) -> Run:
    """Runs a library on named inputs, and returns all of its outputs."""
    executor = graph_executor.GraphModule(library["default"](tvm.cpu()))

    def run(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        executor.run(**inputs)
        return [executor.get_output(number).numpy() for number in range(executor.get_num_outputs())]

    return run


@dataclass(frozen=True)
class Relay:
    """Relay as the compiler under test, for a CPU."""

    target: tvm.target.Target

    def lowered(self, source: Path, inputs: Sequence[TensorSpec]) -> tvm.IRModule:
        """See `layer.Compiler`."""
        return lowered(source, inputs, self.target)

    def unfused(self, module: tvm.IRModule) -> Run:
        """See `layer.Compiler`."""
        return runner(unfused(module))

    def library(self, module: tvm.IRModule) -> Run:
        """See `layer.Compiler`."""
        return runner(by_project(module, self.target).library)
