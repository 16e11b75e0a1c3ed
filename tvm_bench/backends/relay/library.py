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
from .artifact import open_verified


def load(artifact: Path, *, threads: int | None = None) -> Library:
    """Check the manifest, then open the library. `threads` defaults to the thread count of the build.

    Raises `UserError` for a missing or changed file and for a CPU that cannot run it, before the library is opened.
    """
    about, factory = open_verified(artifact)
    return Library(about, factory, threads or about["threads"])


class Library:
    """A compiled classifier. Input float32 (batch, channels, height, width), output float32 (batch, classes)."""

    def __init__(self, about: dict[str, Any], factory: tvm.runtime.Module, threads: int):
        if "TVM_NUM_THREADS" not in os.environ:
            # TVM's default is half of the logical cores.
            tvm.get_global_func("runtime.config_threadpool")(1, threads)
        self.manifest = about
        self.shape = tuple(about["input"]["shape"])
        self.spec = InputSpec.from_dict(about["spec"])
        self.classes = tuple(about["classes"])
        self.device = tvm.cpu()
        self.executor = graph_executor.GraphModule(factory["default"](self.device))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Class scores before softmax. Raises `UserError` for another shape or dtype than the library was built for."""
        if images.shape != self.shape or images.dtype != np.float32:
            raise UserError(
                f"the input is {images.dtype} {images.shape}; this library takes float32 {self.shape}. "
                "Convert it, or build for that shape with --input-shape and --batch."
            )
        self.executor.set_input(0, images)
        self.executor.run()
        return self.executor.get_output(0).numpy()

    def time_evaluator(self, runs: int) -> list[float]:
        """Milliseconds of each of `runs` runs by TVM's clock: kernels only, warm caches, without NumPy's copies."""
        clock = self.executor.module.time_evaluator("run", self.device, number=1, repeat=runs)
        return [seconds * 1e3 for seconds in clock().results]
