"""The verb `build`: compiles a model file to one `lib.so` that plain TVM can load."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import tvm

from ...backends.relay import compiler, frontend, ir_dump, kernels, passes, selection, target
from ...backends.relay.artifact import open_verified
from ...backends.relay.compiler import Compiled, Schedules
from ...backends.relay.library import Library
from ...host import cpu, manifest, packages
from ...host.files import replace_with
from ...spec.build_request import BuildRequest
from ...spec.tensors import TensorSpec, to_json
from . import _golden


def run(**entries: Any) -> dict[str, Any]:
    """Build the library for the fields of a `BuildRequest`, and write the files that describe it.

    These are `manifest.json`, `relay/*.txt` (the IR after each stage) and `golden.npz` (`input_0`, … and
    `output_0`, …; only if this CPU can run the library). Raises `UserError` without a C++ compiler.
    """
    packages.need_compiler("TVM, to link lib.so,")
    request = BuildRequest.from_dict(entries)
    folder, cpu_target = Path(request.out), target.resolve(request.target_text, request.threads)
    module = frontend.relay_from_file(Path(request.source), request.inputs)
    ir_dump.write_stage(folder / "relay", 1, "imported", module)
    module = passes.lower_quantization(module, cpu_target)
    if request.about.precision == "bf16":
        module = compiler.in_bf16(module, cpu_target)
    ir_dump.write_stage(folder / "relay", 2, "quantization-lowered", module)
    result, tuning = _compiled(module, cpu_target, request)
    ir_dump.write_stage(folder / "relay", 3, "layouts-converted", result.module)
    ir_dump.write_stage(folder / "relay", 4, "optimized-and-fused", result.fused)
    with replace_with(folder / manifest.LIBRARY) as path:
        result.factory.export_library(str(path))
    entry = _described(result, cpu_target, request) | {"tuning": tuning}
    opened = (lambda: Library(entry, folder, request.threads)) if _runs_here(cpu_target) else None
    return _golden.finish(folder, entry, opened)


def _runs_here(cpu_target: tvm.target.Target) -> bool:
    return not cpu.missing(target.features(cpu_target))


def _compiled(
    module: tvm.IRModule, cpu_target: tvm.target.Target, request: BuildRequest
) -> tuple[Compiled, dict[str, Any] | None]:
    """The build, and the measurements that selected its schedules (None without tuning records)."""
    if not request.records or not request.reference:
        return compiler.compiled(module, cpu_target, Schedules("stock" if request.stock else "default")), None
    records = {tuner: Path(folder) for tuner, folder in request.records.items()}
    if not _runs_here(cpu_target):
        return selection.unmeasured(module, cpu_target, records)
    about, library = open_verified(Path(request.reference))
    default = selection.Reference(library, kernels.from_json(about["kernels"]))
    return selection.best(module, cpu_target, records, default)


def _described(result: Compiled, cpu_target: tvm.target.Target, request: BuildRequest) -> dict[str, Any]:
    """The manifest's entries that are known before the library runs."""
    return {
        "schema": manifest.SCHEMA,
        **asdict(request.about),
        "kernels": kernels.to_json(result.kernels),
        "plan_mb": compiler.memory_plan(result.factory),
        "inputs": to_json(request.inputs),
        "outputs": to_json(_outputs(result.module, request)),
        "target": str(cpu_target),
        "cpu_features": target.features(cpu_target),
        "threads": request.threads,
        "versions": packages.versions(),
        "llvm": tvm.target.codegen.llvm_version_major(),
    }


def _outputs(module: tvm.IRModule, request: BuildRequest) -> list[TensorSpec]:
    kind = module["main"].checked_type.ret_type
    types = kind.fields if isinstance(kind, tvm.ir.TupleType) else [kind]
    shapes = [tuple(int(size) for size in tensor.shape) for tensor in types]
    return _golden.outputs(request.outputs, shapes, [tensor.dtype for tensor in types], request.inputs[0].shape[0])
