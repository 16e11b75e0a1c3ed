"""TVM targets: the CPU that a library is built for."""

from __future__ import annotations

import re

import tvm
from tvm.target import codegen

from ...host.cpu import FEATURES
from ...spec.backends import need_cpu
from ...spec.errors import UserError

CUDA = "device_api.cuda"  # in a TVM that can run CUDA


def resolve(text: str | None, threads: int) -> tvm.target.Target:
    """The target that `text` describes, as for Relay (None: this CPU, as LLVM names it), with the number of cores.

    Raises `UserError` for a GPU, and for a text without a known `-mcpu`.
    """
    here = codegen.llvm_get_system_cpu()
    can_cuda = tvm.get_global_func(CUDA, allow_missing=True) is not None
    need_cpu(text or "", cuda=can_cuda, example=f"llvm -mcpu={here}")
    named = re.search(r"-mcpu=(\S+)", text) if text else None
    cpu = named[1] if named else here if text is None else None
    if cpu not in codegen.llvm_get_cpu_archlist(tvm.target.Target("llvm")):
        raise UserError(f"target '{text}': give an -mcpu that LLVM knows, such as llvm -mcpu={here}.")
    return tvm.target.Target({"kind": "llvm", "mcpu": cpu, "num-cores": threads})


def features(target: tvm.target.Target) -> list[str]:
    """The vector features that code for `target` may use, by LLVM's names."""
    return sorted(FEATURES.keys() & {str(name) for name in codegen.llvm_get_cpu_features(target)})


def llvm() -> int:
    """The major version of LLVM in this TVM."""
    return codegen.llvm_version_major()
