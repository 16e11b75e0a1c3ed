"""What one round of tuning is asked for, whichever tuner does it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tvm
from tvm import rpc

from ....spec.errors import UserError
from .. import frontend, passes, target

ANSWER_S = 5.0


@dataclass(frozen=True)
class Round:
    """Measure up to `trials` new schedules of the task with the key `task` (None: only look at what there is).

    `source` is the model's file, for inputs of `shape`; `records` the tuner's folder; `reference` the library that was
    built without tuning. `cost_model` is `xgboost`, which learns but can abort, or `random`; `rpc` has `host`, `port`
    and `key` of a tracker to measure by, None measures here.
    """

    source: str
    shape: list[int]
    threads: int
    target_text: str | None
    records: str
    reference: str
    task: str | None = None
    trials: int = 0
    cost_model: str = "xgboost"
    rpc: dict[str, Any] | None = None

    @property
    def folder(self) -> Path:
        """Where the tuner's records are."""
        return Path(self.records)

    def servers(self) -> int:
        """How many servers the tracker of `rpc` has for its key, which is how many schedules it measures at a time.

        Raises `UserError` when there is no tracker or no server: else each trial would fail, and count as spent.
        """
        assert self.rpc
        host, port, key = self.rpc["host"], self.rpc["port"], self.rpc["key"]
        try:
            socket.create_connection((host, port), ANSWER_S).close()
            servers = rpc.connect_tracker(host, port).summary()["server_info"]
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"no RPC tracker answers at {host}:{port} ({error}). Start one: python -m tvm.exec.rpc_tracker."
            ) from error
        count = sum(each["key"] == f"server:{key}" for each in servers)
        if not count:
            keys = sorted({each["key"].removeprefix("server:") for each in servers})
            raise UserError(
                f"the RPC tracker at {host}:{port} has no server with the key '{key}', only {keys or 'none at all'}. "
                "Give another --rpc-key, or start one: python -m tvm.exec.rpc_server."
            )
        return count

    def opened(self, layout: str = "NCHW") -> tuple[tvm.target.Target, tvm.IRModule]:
        """The target, and the model as it is before scheduling, its convolutions in `layout`."""
        chosen = target.resolve(self.target_text, self.threads)
        module = passes.lower_quantization(frontend.relay_from_file(Path(self.source), tuple(self.shape)), chosen)
        return chosen, passes.convert_layouts(module, layout)
