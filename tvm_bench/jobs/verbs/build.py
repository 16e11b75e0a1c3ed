"""The verb `build`: a model file becomes one `lib.so` that plain TVM loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tvm

from ...backends.relay import compiler, frontend, ir_dump, passes, target
from ...backends.relay.artifact import open_verified
from ...backends.relay.library import Library
from ...host import cpu, manifest, packages
from ...host.files import replace_with, sha256, write_json

REPEATS_WHEN_BUILT = 30


def run(
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
    packages.need_compiler("TVM, to link lib.so,")
    folder, chosen = Path(out), target.resolve(target_text, threads)
    module = frontend.relay_from_file(Path(source), tuple(shape))
    ir_dump.write_stage(folder / "relay", 1, "imported", module)
    module = passes.lower_quantization(module, chosen)
    ir_dump.write_stage(folder / "relay", 2, "quantization-lowered", module)
    tuning = None
    if records and reference:
        folders = {tuner: Path(each) for tuner, each in records.items()}
        _, default = open_verified(Path(reference))
        result, tuning = compiler.best(module, chosen, folders, default)
    else:
        result = compiler.compiled(module, chosen, compiler.Schedules("stock" if stock else "default"))
    ir_dump.write_stage(folder / "relay", 3, "layouts-converted", result.module)
    ir_dump.write_stage(folder / "relay", 4, "optimized-and-fused", result.fused)
    with replace_with(folder / "lib.so") as path:
        result.factory.export_library(str(path))
    about |= {"kernels": result.kernels, "tuning": tuning, "plan_mb": compiler.memory_plan(result.factory)}
    _describe(folder, result.module, chosen, threads, about)
    return {"outputs": [str(folder / name) for name in ("lib.so", "golden.npz", manifest.NAME)]}


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
        "versions": packages.versions(),
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
