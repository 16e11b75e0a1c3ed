"""How a training goes: which pictures at which size and which learning rate. Plain values: nothing here keeps state."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ..spec.errors import UserError


@dataclass(frozen=True)
class Epoch:
    """One pass, or the first `steps` batches of one, at `size` x `size` pixels."""

    index: int
    size: int
    steps: int
    stage: int


@dataclass(frozen=True)
class Options:
    """SGD with Nesterov momentum and one cosine over the whole training, counted in pixels and not in steps.

    `stages` of (size, epochs), where given, stand in the place of `epochs`: small pictures first and the size of
    deployment last (progressive resizing, as in Tan and Le 2021, "EfficientNetV2", section 4).
    """

    epochs: float = 10.0  # at the input's own size
    batch_size: int = 128  # of all processes together
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.02  # share of the training
    patience: int = 3  # epochs without a better validation loss before a stage ends early
    seed: int = 0
    stages: tuple[tuple[int, float], ...] = ()

    def plan(self, pictures: int, size: int) -> list[Epoch]:
        """All epochs for so many training pictures. A stage of 2.5 epochs ends with half of one."""
        return [Epoch(index, *rest) for index, rest in enumerate(self._epochs(pictures, size))]

    def _epochs(self, pictures: int, size: int) -> Iterator[tuple[int, int, int]]:
        for stage, (side, count) in enumerate(self.stages or ((size, self.epochs),)):
            while count > 1e-9:
                # A last, smaller batch would weigh its pictures more, and one of a single picture has no batch norm.
                yield side, max(1, int(pictures * min(1.0, count)) // self.batch(pictures)), stage
                count -= 1.0

    def batch(self, pictures: int) -> int:
        """The batch size, which is never more than there are pictures."""
        return min(self.batch_size, pictures)

    def rate(self, done: float) -> float:
        """Learning rate when the share `done` (0 to 1) of all pixels has been seen."""
        if done < self.warmup:
            return self.lr * max(done, 1e-4) / self.warmup
        return self.lr * 0.5 * (1 + math.cos(math.pi * (done - self.warmup) / (1 - self.warmup)))


def parse_stages(text: str) -> tuple[tuple[int, float], ...]:
    """`64:6,112:2,224:0.5` -> ((64, 6.0), (112, 2.0), (224, 0.5)). Raises `UserError`."""
    try:
        stages = tuple((int(size), float(count)) for size, count in (part.split(":") for part in text.split(",")))
    except ValueError as error:
        raise UserError(f"stages '{text}': give SIZE:EPOCHS,SIZE:EPOCHS,… like 64:6,112:2,224:0.5") from error
    if any(size < 8 or not 0 < count < math.inf for size, count in stages):
        raise UserError(f"stages '{text}': sizes start at 8 pixels, and epochs are above 0.")
    return stages
