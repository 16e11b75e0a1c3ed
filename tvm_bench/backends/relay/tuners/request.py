"""One tuning step of Relay: its model, and the machines that it measures on."""

from __future__ import annotations

import socket
from pathlib import Path

import tvm
from tvm import rpc

from ....spec.errors import UserError
from ....spec.tensors import from_json
from ....spec.tuning_step import StepRequest
from .. import frontend, passes, target

TRACKER_TIMEOUT_S = 5.0


class TuningStep(StepRequest):
    """A step of a tuner of Relay."""

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
