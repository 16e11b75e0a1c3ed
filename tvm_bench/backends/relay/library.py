"""Steps 6 and 7: a Relay module becomes one `lib.so` that plain TVM loads; and the way back, from Python."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm.contrib import graph_executor

from ... import cpu, manifest, toolchains
from ...data.preprocess import InputSpec
from ...errors import UserError
from ...files import replace_with, sha256, write_json
from . import compiler, frontend, passes, stages, target
from .artifact import open_verified

REPEATS_WHEN_BUILT = 30


def build(
    source: str,
    out: str,
    shape: list[int],
    threads: int,
    target_text: str | None,
    records: dict[str, str] | None,
    reference: str | None,
    stock: bool,
    about: dict,
) -> dict:
    """Build `out/lib.so` from the file `source` for inputs of `shape`, and everything that explains it.

    Beside it: `manifest.json`, `golden.npz` (an input and its output), `relay/*.txt` (the IR after each stage).
    `records` has the folder of each tuner's, and `reference` the folder of the library that has to be beaten; without
    them, `stock` keeps to TVM's own default schedules. `about` is what the manifest repeats of the model. Raises
    `UserError` without a C++ compiler.
    """
    toolchains.need_compiler("TVM, to link lib.so,")
    folder, chosen = Path(out), target.resolve(target_text, threads)
    module = frontend.relay_from_file(Path(source), tuple(shape))
    stages.write_stage(folder / "relay", 1, "imported", module)
    module = passes.lower_quantization(module, chosen)
    stages.write_stage(folder / "relay", 2, "quantization-lowered", module)
    tuning = None
    if records and reference:
        folders = {tuner: Path(each) for tuner, each in records.items()}
        _, default = open_verified(Path(reference))
        result, tuning = compiler.best(module, chosen, folders, default)
    else:
        result = compiler.compiled(module, chosen, compiler.Schedules("stock" if stock else "default"))
    stages.write_stage(folder / "relay", 3, "layouts-converted", result.module)
    stages.write_stage(folder / "relay", 4, "optimized-and-fused", result.fused)
    with replace_with(folder / "lib.so") as path:
        result.factory.export_library(str(path))
    about |= {"kernels": result.kernels, "tuning": tuning, "plan_mb": compiler.memory_plan(result.factory)}
    _describe(folder, result.module, chosen, threads, about)
    return {"outputs": [str(folder / name) for name in ("lib.so", "golden.npz", manifest.NAME)]}


def load(artifact: Path, *, threads: int | None = None) -> Library:
    """Check the manifest, then open the library. `threads` defaults to those that it was built for.

    Raises `UserError` for a missing or changed file and for a CPU that cannot run it, before the library is opened.
    """
    found, factory = open_verified(artifact)
    return Library(found, factory, threads or found["threads"])


class Library:
    """A compiled classifier: float32 (batch, channels, height, width) in, float32 (batch, classes) out."""

    def __init__(self, found: dict[str, Any], factory: tvm.runtime.Module, threads: int):
        if "TVM_NUM_THREADS" not in os.environ:
            # TVM's own default is half of the hardware threads.
            tvm.get_global_func("runtime.config_threadpool")(1, threads)
        self.manifest = found
        self.shape = tuple(found["input"]["shape"])
        self.spec = InputSpec.from_dict(found["spec"])
        self.classes = tuple(found["classes"])
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
        """Milliseconds of each of `runs` single runs by TVM's clock: kernels only, hot cache, no copies of NumPy."""
        clock = self.executor.module.time_evaluator("run", self.device, number=1, repeat=runs)
        return [seconds * 1e3 for seconds in clock().results]


def _describe(
    folder: Path, module: tvm.IRModule, chosen: tvm.target.Target, threads: int, about: dict[str, Any]
) -> None:
    """Run the library once on a seeded input, and write what it answered and what it is."""
    parameter = module["main"].params[0]
    shape = [int(size) for size in parameter.checked_type.shape]
    entry = {
        "schema": manifest.SCHEMA,
        **about,
        "input": {"name": parameter.name_hint, "shape": shape, "dtype": parameter.checked_type.dtype},
        "target": str(chosen),
        "cpu_features": target.features(chosen),
        "threads": threads,
        "versions": toolchains.versions(),
        "llvm": tvm.target.codegen.llvm_version_major(),
        "files": {"lib.so": sha256(folder / "lib.so")},
    }
    if not cpu.missing(entry["cpu_features"]):
        library = Library(entry, tvm.runtime.load_module(str(folder / "lib.so")), threads)
        images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        with replace_with(folder / "golden.npz") as path:
            np.savez_compressed(path, input=images, output=library(images))
        entry["files"]["golden.npz"] = sha256(folder / "golden.npz")
        entry["latency_ms_when_built"] = float(np.median(library.time_evaluator(REPEATS_WHEN_BUILT)))
    write_json(folder / manifest.NAME, entry)
