"""The command `train`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..jobs import launcher
from ..jobs.launcher import DAY, Job
from ..spec.errors import UserError
from ..spec.training import TrainingRequest
from ..spec.variant import ModelSpec

TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TORCHRUN_PREFIXES = ("TORCHELASTIC_", "NCCL_", "GLOO_")


def train(request: TrainingRequest, out: Path | None, *, threads: int, root: Path) -> dict[str, Any]:
    """Train, or resume an interrupted training. Returns the job's result and the `model`.

    In a distributed training, only the first process returns them, the others an empty dictionary.
    """
    request = request.resolved()
    kind, _, path = request.data.partition(":")
    name = Path(path).resolve().name if kind == "imagefolder" else kind
    folder = root / ModelSpec(request.model).slug / "training" / name
    environment = _torchrun() if request.distributed else {}
    label = f"train-{environment['RANK']}" if environment else "train"
    processes = int(environment.get("LOCAL_WORLD_SIZE", 1))
    # Never skipped, since the receipt does not cover the images. A finished training is only scored again.
    job = Job(
        "train",
        {"training": asdict(request), "folder": str(folder), "out": str(out or folder / f"{name}.safetensors")},
        folder,
        label,
        threads=max(1, threads // processes),
        environment=environment,
        timeout=7 * DAY,
        show=True,
        reuse=False,
    )
    result = launcher.run(job)["result"]
    return {**result, "model": request.model} if result else {}


def _torchrun() -> dict[str, str]:
    """The variables that torchrun sets. Raises `UserError` if torchrun did not start this process."""
    if not all(name in os.environ for name in TORCHRUN):
        raise UserError(
            "--distributed: this process was not started by torchrun. Run "
            "`torchrun --nproc-per-node 2 -m tvm_bench train --distributed …`."
        )
    return {name: value for name, value in os.environ.items() if name in TORCHRUN or name.startswith(TORCHRUN_PREFIXES)}
