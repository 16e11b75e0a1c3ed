"""Step 7: loads and runs a built `lib.so`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm.contrib import graph_executor

from ...data.preprocess import InputSpec
from ...spec.errors import UserError
from ...spec.tensors import Arrays, from_json
from .artifact import open_verified

SHARED_CPUS = -3  # of TVM's `AffinityMode`: no thread is bound to one CPU


def load(artifact: Path, *, threads: int | None = None) -> Library:
    """Check the manifest, then open the library. `threads` defaults to the thread count of the build.

    Raises `UserError` for a missing or changed file and for a CPU that cannot run it, before the library is opened.
    """
    about, factory = open_verified(artifact)
    return Library(about, factory, threads or about["threads"])


class Library:
    """A compiled model. `inputs` and `outputs` are its `TensorSpec`s, in the order of the arrays of a call.

    `spec` is the preprocessing of images (None: the input is no image), and `classes` names the classes.
    """

    def __init__(self, about: dict[str, Any], factory: tvm.runtime.Module, threads: int):
        if "TVM_NUM_THREADS" not in os.environ:
            # TVM starts half as many threads as there are logical cores. Only a list of CPUs makes it start more.
            cpus = [str(number) for number in os.sched_getaffinity(0)]
            tvm.get_global_func("runtime.config_threadpool")(SHARED_CPUS, threads, cpus)
        self.manifest = about
        self.inputs, self.outputs = from_json(about["inputs"]), from_json(about["outputs"])
        self.spec = InputSpec.from_dict(about["spec"]) if about["spec"] else None
        self.classes = tuple(about["classes"])
        self.device = tvm.cpu()
        self.executor = graph_executor.GraphModule(factory["default"](self.device))

    def __call__(self, arrays: Arrays) -> Arrays:
        """The outputs, one array each. Raises `UserError` for other shapes or dtypes than the library was built for."""
        self._check(arrays)
        for i, array in enumerate(arrays):
            self.executor.set_input(i, array)
        self.executor.run()
        return tuple(self.executor.get_output(i).numpy() for i in range(len(self.outputs)))

    def _check(self, arrays: Arrays) -> None:
        if isinstance(arrays, np.ndarray) or len(arrays) != len(self.inputs):
            raise UserError(
                f"this library takes a tuple of {len(self.inputs)} arrays: "
                f"{', '.join(spec.text for spec in self.inputs)}."
            )
        for spec, array in zip(self.inputs, arrays, strict=True):
            if array.shape != spec.shape or array.dtype != spec.dtype:
                raise UserError(
                    f"the input {spec.name} is {array.dtype} {array.shape}; this library takes {spec.dtype} "
                    f"{spec.shape}. Convert it, or build for that shape with --input-shape and --batch."
                )

    def time_evaluator(self, runs: int) -> list[float]:
        """Milliseconds of each of `runs` runs by TVM's clock: kernels only, warm caches, without NumPy's copies."""
        clock = self.executor.module.time_evaluator("run", self.device, number=1, repeat=runs)
        return [seconds * 1e3 for seconds in clock().results]
