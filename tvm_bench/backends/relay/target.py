"""TVM targets: the CPU that a library is built for."""

from __future__ import annotations

import tvm

from ...host.cpu import FEATURES, VNNI
from ...spec.backends import need_cpu
from ...spec.errors import UserError

CUDA = "device_api.cuda"  # in a TVM that can run CUDA
# Without VNNI, INT8 products are added up by instructions of their own. LLVM would reorder these sums, which takes more
# than the 16 registers of AVX2.
IN_ORDER = "-cl-opt=-x86-machine-combiner:bool=0"
# With VNNI, LLVM replaces `vpdpwssd` on some CPUs by two instructions, which shortens a chain of sums. The schedules
# have many chains, and for these it takes twice as long. TVM has schedules for AMX, but does not
# ask the system for permission to use it, and some of them do not compile.
WHOLE_PAIRS = "-mattr=+fast-dpwssd,-amx-tile,-amx-int8,-amx-bf16"


def resolve(text: str | None, threads: int) -> tvm.target.Target:
    """The target that `text` describes (None: this CPU, as LLVM names it), with the number of cores.

    Raises `UserError` for a GPU, and for a text without a known `-mcpu`: for a bare `llvm`, TVM turns INT8 convolutions
    into INT16.
    """
    cpu = tvm.target.codegen.llvm_get_system_cpu()
    text = text or f"llvm -mcpu={cpu}"
    need_cpu(text, cuda=tvm.get_global_func(CUDA, allow_missing=True) is not None, example=f"llvm -mcpu={cpu}")
    try:
        target = tvm.target.Target(text)
        known = tvm.target.codegen.llvm_get_cpu_archlist(target)
    except (tvm.TVMError, ValueError) as error:
        raise UserError(f"target '{text}': {str(error).strip().splitlines()[-1]}. Example: llvm -mcpu={cpu}") from error
    if not target.mcpu or target.mcpu not in known:
        raise UserError(f"target '{text}': give an -mcpu that LLVM knows, such as -mcpu={cpu} or -mcpu=skylake-avx512.")
    option = WHOLE_PAIRS if VNNI & set(features(target)) else IN_ORDER
    if option.partition("=")[0] not in text:
        text += f" {option}"
    return tvm.target.Target(text if "-num-cores" in text else f"{text} -num-cores={threads}")


def features(target: tvm.target.Target) -> list[str]:
    """The vector features that code for `target` may use, by LLVM's names."""
    return sorted(FEATURES.keys() & {str(name) for name in tvm.target.codegen.llvm_get_cpu_features(target)})
