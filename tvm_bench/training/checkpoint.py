"""Where a training stands, on disk: written whole, read without running what a file may carry."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import distributed, nn

from ..host.files import replace_with
from ..models.weights import DAMAGED
from ..spec.errors import UserError
from .device import Device


@dataclass
class State:
    """What changes from step to step, besides weights and optimizer."""

    epoch: int = 0
    step: int = 0
    pixels: int = 0
    ended_stage: int = -1  # the stage that early stopping ended
    losses: list[float] = field(default_factory=list)  # of this epoch
    history: list[dict] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """The file of one training. `identity` is all that decides its outcome; `parts` have a state of their own."""

    path: Path | None
    identity: dict[str, str]
    parts: dict[str, nn.Module | torch.optim.Optimizer | torch.amp.GradScaler]
    device: Device

    def save(self, state: State) -> None:
        """Write the file; in the first process only."""
        if self.path is None or not self.device.first:
            return
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        buffer = io.BytesIO()  # torch's own writer hides a full disk behind an error of its own
        torch.save({"identity": self.identity, "state": vars(state), **parts}, buffer)
        with replace_with(self.path) as beside:
            beside.write_bytes(buffer.getbuffer())

    def restore(self) -> State:
        """The state in the file, its parts put back in place; a new one where there is none of this training."""
        found = [self._read() if self.device.first else None]
        if self.device.world > 1:
            distributed.broadcast_object_list(found, 0)
        if found[0] is None:
            return State()
        for name, part in self.parts.items():
            part.load_state_dict(found[0][name])
        return State(**found[0]["state"])

    def _read(self) -> dict | None:
        if self.path is None or not self.path.exists():
            return None
        try:
            found = torch.load(self.path, "cpu", weights_only=True)
            others = [name for name, value in self.identity.items() if found["identity"].get(name) != value]
        except DAMAGED as error:
            raise UserError(f"the checkpoint '{self.path}' is damaged. Delete it to begin again.") from error
        if others:
            print(f"{self.path} is of another training ({', '.join(others)} differ): begun again", file=sys.stderr)
            return None
        return found
