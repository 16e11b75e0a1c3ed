"""The verb `build_relax`: compiles a model file to one `lib.so` for Relax. It runs in the environment `relax`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...backends.relax import compiler, frontend, ir_dump, library, selection, target
from ...backends.relax.compiler import Compiled
from ...backends.relax.records import Records
from ...host import cpu, manifest, packages
from ...host.files import replace_with
from ...spec.build_request import BuildRequest
from ...spec.tensors import TensorSpec, to_json
from . import _golden

if TYPE_CHECKING:
    import tvm  # at run time, only `backends.relax` imports it: see there


def run(**entries: Any) -> dict[str, Any]:
    """Build the library for the fields of a `BuildRequest`, and write `manifest.json` and `relax/*`, the IR.

    Where this CPU can run it, also `golden.npz`, as the verb `build`. Raises `UserError` without a C++ compiler.
    """
    packages.need_compiler("TVM, to link lib.so,")
    request = BuildRequest.from_dict(entries)
    folder, cpu_target = Path(request.out), target.resolve(request.target_text, request.threads)
    module = frontend.relax_from_file(Path(request.source), request.inputs)
    runs = not cpu.missing(target.features(cpu_target))
    result, tuning = _compiled(module, cpu_target, request, runs=runs)
    summary = ir_dump.of_kernels(result.fused, result.kernels)
    ir_dump.write_stage(folder, 1, "imported", module, ir_dump.of_operators(module))
    ir_dump.write_stage(folder, 2, "fused", result.fused, summary)
    ir_dump.write_stage(folder, 3, "scheduled", result.scheduled, summary)
    with replace_with(folder / manifest.LIBRARY) as path:
        result.executable.export_library(str(path))
    entry = _described(module, cpu_target, request) | {"kernels": result.kernels, "tuning": tuning}
    return _golden.finish(folder, entry, (lambda: library.opened(entry, folder)) if runs else None)


def _compiled(
    module: tvm.IRModule, cpu_target: tvm.target.Target, request: BuildRequest, *, runs: bool
) -> tuple[Compiled, dict[str, Any] | None]:
    """The build, and the measurements that selected its schedules (None without tuning records)."""
    model = compiler.fused(module, cpu_target)
    if not request.records or not request.reference:
        return compiler.built(model, cpu_target), None
    (folder,) = request.records.values()
    records = Records(Path(folder), cpu_target)
    if not runs:
        return selection.unmeasured(model, cpu_target, records)
    default = library.load(Path(request.reference), threads=request.threads)
    return selection.best(model, cpu_target, records, default)


def _described(module: tvm.IRModule, cpu_target: tvm.target.Target, request: BuildRequest) -> dict[str, Any]:
    """The manifest's entries that are known before the library runs."""
    return {
        "schema": manifest.SCHEMA,
        **asdict(request.about),
        "environment": "relax",
        "plan_mb": None,
        "inputs": to_json(request.inputs),
        "outputs": to_json(_outputs(module, request)),
        "target": str(cpu_target),
        "cpu_features": target.features(cpu_target),
        "threads": request.threads,
        "versions": packages.versions(),
        "llvm": target.llvm(),
    }


def _outputs(module: tvm.IRModule, request: BuildRequest) -> list[TensorSpec]:
    kind = module["main"].ret_ty
    types = kind.fields if hasattr(kind, "fields") else [kind]
    shapes = [tuple(int(size) for size in tensor.shape) for tensor in types]
    return _golden.outputs(request.outputs, shapes, [str(tensor.dtype) for tensor in types], request.inputs[0].shape[0])
