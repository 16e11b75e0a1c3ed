"""The command `train`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..jobs import launcher
from ..jobs.launcher import DAY, Job
from ..spec.errors import UserError
from ..spec.variant import ModelSpec


def train(model: str, data: str, options: dict[str, Any], out: Path | None, *, threads: int, root: Path) -> dict:
    """Train, or go on with a training that was stopped. Returns the job's result, empty but in the first process."""
    model = _with_stem(model, data, options)
    if options["lr"] is None:
        options["lr"] = 0.1 if options["weights"] == "random" else 0.01
    kind, _, path = data.partition(":")
    name = Path(path).resolve().name if kind == "imagefolder" else kind
    folder = root / ModelSpec(model).slug / "training" / name
    out = out or folder / f"{name}.safetensors"
    request = {"model": model, "data": data, "folder": str(folder), "out": str(out), **options}
    label, environment = "train", {}
    if options["distributed"]:
        environment = _torchrun()
        label = f"train-{environment['RANK']}"
        threads = max(1, threads // int(environment["LOCAL_WORLD_SIZE"]))
    # Never skipped: pictures can change without any file that we know of. A finished training is only scored again.
    job = Job(
        "train",
        request,
        folder,
        label,
        threads=threads,
        environment=environment,
        timeout=7 * DAY,
        show=True,
        reuse=False,
    )
    result = launcher.run(job)["result"]
    return {**result, "model": model} if result else {}


def _with_stem(model: str, data: str, options: dict[str, Any]) -> str:
    """A ResNet that is to see CIFAR's pictures at their own size gets the stem for it."""
    residual = model.startswith(("resnet", "resnext", "wide_resnet")) and "-" not in model
    small = options["image_size"] in (None, 32) and not options["stages"] and options["weights"] != "imagenet"
    return f"{model}-cifar" if residual and small and data.startswith("cifar") else model


def _torchrun() -> dict[str, str]:
    """What torchrun told this process about the others. Raises `UserError` where it was not started by it."""
    told = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if not all(name in os.environ for name in told):
        raise UserError(
            "--distributed: this process was not started by torchrun. Give "
            "`torchrun --nproc-per-node 2 -m tvm_bench train --distributed …`."
        )
    prefixes = ("TORCHELASTIC_", "NCCL_", "GLOO_")
    return {name: value for name, value in os.environ.items() if name in told or name.startswith(prefixes)}
