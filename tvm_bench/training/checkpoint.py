"""Training checkpoints: written atomically, loaded with `weights_only=True`."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn

from ..host.files import replace_with
from ..models.weights import DAMAGED
from ..spec.errors import UserError
from .device import Device
from .history import EpochRecord

Stateful = nn.Module | torch.optim.Optimizer | torch.amp.GradScaler


@dataclass
class State:
    """What changes from step to step, besides the states of model and optimizer."""

    epoch: int = 0
    step: int = 0
    pixels: int = 0
    ended_stage: int = -1  # the last stage that early stopping ended
    losses: list[float] = field(default_factory=list)  # of this epoch
    history: list[EpochRecord] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """The file of one training. `identity` has all that determines the result; `parts` are the objects with a state."""

    path: Path | None
    identity: dict[str, str]
    parts: dict[str, Stateful]
    device: Device

    def save(self, state: State) -> None:
        """Write the file, in the first process only."""
        if self.path is None or not self.device.first:
            return
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        buffer = io.BytesIO()  # torch's own file writer does not report a full disk as OSError
        torch.save({"identity": self.identity, "state": vars(state), **parts}, buffer)
        with replace_with(self.path) as beside:
            beside.write_bytes(buffer.getbuffer())

    def restore(self) -> State:
        """Load the parts and return the state from the file; a new state if there is no file of this training."""
        shared = [self._read() if self.device.first else None]
        if self.device.world > 1:
            distributed.broadcast_object_list(shared, 0)
        if (stored := shared[0]) is None:
            return State()
        for name, part in self.parts.items():
            part.load_state_dict(stored[name])
        return State(**stored["state"])

    def _read(self) -> dict[str, Any] | None:
        if self.path is None or not self.path.exists():
            return None
        try:
            stored: dict[str, Any] = torch.load(self.path, "cpu", weights_only=True)
            differing = [name for name, value in self.identity.items() if stored["identity"].get(name) != value]
        except DAMAGED as error:
            raise UserError(f"the checkpoint '{self.path}' is damaged. Delete it to start from scratch.") from error
        if differing:
            names = ", ".join(differing)
            print(f"{self.path} is of another training (different: {names}). Starting from scratch.", file=sys.stderr)
            return None
        return stored
