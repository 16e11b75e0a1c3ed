"""`torch.compile` with Inductor: weights frozen into the code, as its documentation advises for inference on a CPU.

It compiles in its first call, for the shape of that call. The compiled code is cached in a folder beside the module's
file: only the first process runs the C++ compiler; later ones trace the module and load the code.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
import torch._inductor.compile_fx  # imported here, so that its time does not count as loading the model
from torch._inductor import config

from ..exporters import module_file, pt2e_file
from ..exporters.module_call import call, tensors
from ..host import packages
from ..host.deployment_size import compiled_folder
from ..spec.tensors import Arrays


def load(artifact: Path, *, threads: int, mode: str = "default") -> Callable[[Arrays], Arrays]:
    """Open a module file, or an exported program in INT8. Raises `UserError` without a C++ compiler."""
    torch.set_num_threads(threads)
    backend = "inductor" if mode == "default" else f"inductor-{mode}"
    module = compiled(_opened(artifact), backend, artifact, mode=mode)

    def run(inputs: Arrays) -> Arrays:
        with torch.no_grad():  # Inductor freezes no weights under inference_mode
            return tuple(output.numpy() for output in call(module, tensors(inputs)))

    return run


def compiled(
    module: torch.nn.Module, backend: str, artifact: Path, *, mode: str = "default"
) -> Callable[..., torch.Tensor]:
    """The `module`, which is compiled in its first call. `backend` names the cache beside `artifact`.

    Raises `UserError` without a C++ compiler.
    """
    config.cpp.cxx = (packages.need_compiler("torch.compile"),)  # type: ignore[assignment]  # typed by its default
    config.freezing = True
    config.compile_threads = 1  # otherwise a pool of processes, outside the thread budget
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(compiled_folder(backend, artifact).absolute())
    return torch.compile(module, mode=mode, dynamic=False)


def _opened(artifact: Path) -> torch.nn.Module:
    return pt2e_file.load_program(artifact) if artifact.suffix == ".pt2" else module_file.load(artifact)
