"""`compile`, `tune` and `export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ..pipeline import application, compilation, tuning
from .options import Names, Options, spec_of

if TYPE_CHECKING:
    from torch import nn

    from ..backends.relay.library import Library


def compile(
    model: str | Path | nn.Module, *, precision: str = "fp32", tuned: bool = True, **options: Unpack[Options]
) -> Library:
    """Compile a model by TVM, and open its library. What was compiled before is opened at once.

    `model` is a name such as "resnet50", a path to an ONNX file, "package.module:callable", or a module, which needs
    `input_shape`. INT8 needs `data` or `inputs` for its calibration. With `tuned`, it is the tuned library if there are
    tuning records. The other options are those of `Options`. Raises `UserError` for bad input.
    """
    from ..backends.relay import library

    spec = spec_of(model, precision, options)
    built = compilation.build(spec, None)
    folders = [folder for folder, coverage in built if tuned or coverage is None]
    return library.load(folders[-1])


def tune(
    model: str | Path | nn.Module,
    *,
    precision: Names = ("fp32", "int8"),
    tuner: str = "auto",
    backend: str = "relay",
    trials: int = 400,
    minutes: float | None = None,
    **options: Unpack[Options],
) -> list[tuning.Tuned]:
    """Search faster kernels. Interruptible: the same call resumes. Afterwards `compile` returns the tuned library.

    `backend` is `relay` or `relax`; a library of Relax is raced by `bench`.
    """
    budget = tuning.Budget(trials, minutes)
    return tuning.tune(spec_of(model, precision, options), tuner, budget, None, backend=backend)


def export(artifact: str | Path, folder: str | Path) -> None:
    """Write a built library to `folder` as an application: `tvm_bench.export(library.folder, "app")`.

    It needs neither this package nor PyTorch. Raises `UserError` for a folder with files in it.
    """
    application.write(Path(artifact), Path(folder))
