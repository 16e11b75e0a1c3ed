"""The machines of a TVM RPC tracker, which tuners of both generations of TVM measure on."""

from __future__ import annotations

import socket
from typing import Any

from tvm import rpc

from ..spec.errors import UserError

TIMEOUT_S = 5.0


def servers(tracker: dict[str, Any]) -> int:
    """The number of servers that a tracker has for a key: as many schedules are measured at a time.

    `tracker` has the `host`, `port` and `key`. Raises `UserError` without a tracker or a server: otherwise every trial
    would fail, and use up the budget.
    """
    host, port, key = tracker["host"], tracker["port"], tracker["key"]
    try:
        socket.create_connection((host, port), TIMEOUT_S).close()
        found = rpc.connect_tracker(host, port).summary()["server_info"]
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"no RPC tracker answers at {host}:{port} ({error}). Start one: python -m tvm.exec.rpc_tracker."
        ) from error
    count = sum(server["key"] == f"server:{key}" for server in found)
    if not count:
        keys = sorted({server["key"].removeprefix("server:") for server in found})
        raise UserError(
            f"the RPC tracker at {host}:{port} has no server with the key '{key}', only {keys or 'none at all'}. "
            "Give another --rpc-key, or start one: python -m tvm.exec.rpc_server."
        )
    return count
