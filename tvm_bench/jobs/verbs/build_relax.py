"""The verb `build_relax`: compiles a model file to one `lib.so` for Relax. It runs in the environment `relax`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import tvm
from tvm.target import codegen

from ...backends.relax import compiler, frontend, target
from ...backends.relax.library import Library
from ...host import cpu, manifest, packages
from ...host.files import replace_with
from ...spec.build_request import BuildRequest
from ...spec.tensors import TensorSpec, to_json
from . import _golden


def run(**entries: Any) -> dict[str, Any]:
    """Build the library for the fields of a `BuildRequest`, and write `manifest.json` and `relax/*.txt`, the IR.

    Where this CPU can run it, also `golden.npz`, as the verb `build`. Raises `UserError` without a C++ compiler.
    """
    packages.need_compiler("TVM, to link lib.so,")
    request = BuildRequest.from_dict(entries)
    folder, cpu_target = Path(request.out), target.resolve(request.target_text, request.threads)
    module = frontend.relax_from_onnx(Path(request.source), request.inputs)
    result = compiler.compiled(module, cpu_target)
    stages = {"1-imported": module, "2-fused-and-scheduled": result.kernels}
    for name, stage in stages.items():
        path = folder / "relax" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(stage.script(show_meta=False))
    with replace_with(folder / manifest.LIBRARY) as path:
        result.executable.export_library(str(path))
    entry = _described(module, cpu_target, request)
    runs = not cpu.missing(target.features(cpu_target))
    return _golden.finish(folder, entry, (lambda: Library(entry, folder)) if runs else None)


def _described(module: tvm.IRModule, cpu_target: tvm.target.Target, request: BuildRequest) -> dict[str, Any]:
    """The manifest's entries that are known before the library runs."""
    return {
        "schema": manifest.SCHEMA,
        **asdict(request.about),
        "kernels": {},
        "plan_mb": None,
        "inputs": to_json(request.inputs),
        "outputs": to_json(_outputs(module, request)),
        "target": str(cpu_target),
        "cpu_features": target.features(cpu_target),
        "threads": request.threads,
        "versions": packages.versions(),
        "llvm": codegen.llvm_version_major(),
        "tuning": None,
    }


def _outputs(module: tvm.IRModule, request: BuildRequest) -> list[TensorSpec]:
    kind = module["main"].ret_ty
    types = kind.fields if hasattr(kind, "fields") else [kind]
    shapes = [tuple(int(size) for size in tensor.shape) for tensor in types]
    return _golden.outputs(request.outputs, shapes, [str(tensor.dtype) for tensor in types], request.inputs[0].shape[0])
