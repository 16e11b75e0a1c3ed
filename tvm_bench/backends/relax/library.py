"""A built library of Relax, run by its virtual machine."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tvm
from tvm import relax

from ...host import manifest
from ...spec.tensors import Arrays, from_json

if TYPE_CHECKING:
    from .compiler import Compiled

MAIN = "main"


def load(artifact: Path, *, threads: int) -> Library:
    """Open a built library, whose files are checked first. `threads` is that of the process.

    Raises `UserError` as `manifest.verify` does.
    """
    return opened(manifest.verify(artifact), artifact)


def opened(about: dict[str, Any], folder: Path) -> Library:
    """The library in `folder`, whose manifest has the entries `about`."""
    return Library(about, tvm.runtime.load_module(str(folder / manifest.LIBRARY)))


def arrays_of(results: Any) -> Arrays:
    """What a call of a virtual machine gave, one tensor or several, as arrays."""
    return tuple(result.numpy() for result in ([results] if hasattr(results, "numpy") else results))


class Library:
    """A compiled model: a library that was loaded, or the executable of a build. `about` is its manifest.

    `inputs` and `outputs` are in the order of a call's arrays.
    """

    def __init__(self, about: dict[str, Any], module: tvm.runtime.Module | relax.VMExecutable):
        self.about, self.kernels = about, about["kernels"]
        self.inputs, self.outputs = from_json(about["inputs"]), from_json(about["outputs"])
        self.module, self.device = module, tvm.cpu()
        self.machine = relax.VirtualMachine(self.module, self.device)
        self.given = [tvm.runtime.tensor(np.zeros(spec.shape, spec.dtype)) for spec in self.inputs]

    def __call__(self, arrays: Arrays) -> Arrays:
        """The outputs, one array each."""
        for tensor, array in zip(self.given, arrays, strict=True):
            tensor.copyfrom(array)
        results = self.machine[MAIN](*self.given)
        return arrays_of(results)

    def rebuilt(self, build: Compiled) -> Library:
        """Another `build` of the same model."""
        return Library(self.about | {"kernels": build.kernels}, build.executable)

    @cached_property
    def _instrumented(self) -> relax.VirtualMachine:
        """A machine of its own, since an instrument stays, and costs time."""
        return relax.VirtualMachine(self.module, self.device)

    def kernel_ms(self) -> dict[str, float]:
        """Milliseconds of each kernel in one run, all its calls together. A run before it warms the caches."""
        started, times = 0.0, dict.fromkeys(self.kernels, 0.0)

        def clock(_: Any, name: str, before: bool, *__: Any) -> None:
            nonlocal started
            if name in times and not before:
                times[name] += 1e3 * (time.perf_counter() - started)
            started = time.perf_counter()

        self._instrumented.set_instrument(lambda *_: None)
        self._instrumented[MAIN](*self.given)
        self._instrumented.set_instrument(clock)
        self._instrumented[MAIN](*self.given)
        return times

    def time_evaluator(self, runs: int) -> list[float]:
        """Milliseconds of each of `runs` runs by TVM's clock, without NumPy's copies."""
        clock = self.machine.time_evaluator(MAIN, self.device, number=1, repeat=runs)
        return [1e3 * seconds for seconds in clock(*self.given).results]
