"""The request of one tuning step, for all tuners."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tvm
from tvm import rpc

from ....spec.errors import UserError
from ....spec.tensors import from_json
from .. import frontend, passes, target

TRACKER_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class TuningStep:
    """Measure up to `trials` new schedules of the tasks with the keys `tasks`; without tasks, only read the records.

    `source` is the model's file, `inputs` its inputs as dictionaries, `records` the tuner's folder and
    `reference` the library that was built without tuning. `candidate` is the index of the candidate that templates
    measure for each task. `cost_model` is `xgboost`, which learns but can abort, or `random`. `rpc` has the `host`,
    `port` and `key` of a tracker; None: measure on this machine.
    """

    source: str
    inputs: list[dict[str, Any]]
    threads: int
    target_text: str | None
    records: str
    reference: str
    tasks: tuple[str, ...] = ()
    candidate: int | None = None
    trials: int = 0
    cost_model: str = "xgboost"
    rpc: dict[str, Any] | None = None

    @property
    def folder(self) -> Path:
        """The folder of the tuner's records."""
        return Path(self.records)

    def servers(self) -> int:
        """The number of servers that the tracker of `rpc` has for its key: as many schedules are measured at a time.

        Raises `UserError` without a tracker or a server: otherwise every trial would fail, and use up the budget.
        """
        assert self.rpc
        host, port, key = self.rpc["host"], self.rpc["port"], self.rpc["key"]
        try:
            socket.create_connection((host, port), TRACKER_TIMEOUT_S).close()
            servers = rpc.connect_tracker(host, port).summary()["server_info"]
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"no RPC tracker answers at {host}:{port} ({error}). Start one: python -m tvm.exec.rpc_tracker."
            ) from error
        count = sum(server["key"] == f"server:{key}" for server in servers)
        if not count:
            keys = sorted({server["key"].removeprefix("server:") for server in servers})
            raise UserError(
                f"the RPC tracker at {host}:{port} has no server with the key '{key}', only {keys or 'none at all'}. "
                "Give another --rpc-key, or start one: python -m tvm.exec.rpc_server."
            )
        return count

    def open_model(self, layout: str = "NCHW") -> tuple[tvm.target.Target, tvm.IRModule]:
        """The target, and the model before scheduling, with its convolutions in `layout`."""
        cpu = target.resolve(self.target_text, self.threads)
        imported = frontend.relay_from_file(Path(self.source), from_json(self.inputs))
        module = passes.lower_quantization(imported, cpu)
        return cpu, passes.convert_layouts(module, layout)
