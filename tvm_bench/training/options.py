"""The plan of a training: image sizes, steps, and learning rates. Values only, no state."""

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

    `stages` of (size, epochs) replace `epochs`: small images first and the size of deployment last (progressive
    resizing, as in Tan and Le 2021, "EfficientNetV2", section 4).
    """

    epochs: float = 10.0  # at the size of the model's input
    batch_size: int = 128  # of all processes together
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.02  # share of the training
    patience: int = 3  # epochs without a better validation loss before a stage ends early
    seed: int = 0
    stages: tuple[tuple[int, float], ...] = ()

    def plan(self, images: int, size: int) -> list[Epoch]:
        """All epochs for a number of training `images`. A stage of 2.5 epochs ends with half an epoch."""
        return [Epoch(index, *rest) for index, rest in enumerate(self._epochs(images, size))]

    def _epochs(self, images: int, size: int) -> Iterator[tuple[int, int, int]]:
        for stage, (side, count) in enumerate(self.stages or ((size, self.epochs),)):
            while count > 1e-9:
                # A smaller last batch would give its images more weight, and a batch of one image has no batch norm.
                yield side, max(1, int(images * min(1.0, count)) // self.batch(images)), stage
                count -= 1.0

    def batch(self, images: int) -> int:
        """The batch size, at most the number of `images`."""
        return min(self.batch_size, images)

    def rate(self, done: float) -> float:
        """The learning rate after the share `done` (0 to 1) of all pixels."""
        if done < self.warmup:
            return self.lr * max(done, 1e-4) / self.warmup
        return self.lr * 0.5 * (1 + math.cos(math.pi * (done - self.warmup) / (1 - self.warmup)))


def parse_stages(text: str) -> tuple[tuple[int, float], ...]:
    """`64:6,112:2,224:0.5` -> ((64, 6.0), (112, 2.0), (224, 0.5)). Raises `UserError`."""
    try:
        stages = tuple((int(size), float(count)) for size, count in (part.split(":") for part in text.split(",")))
    except ValueError as error:
        raise UserError(f"stages '{text}': give SIZE:EPOCHS,SIZE:EPOCHS,…, such as 64:6,112:2,224:0.5.") from error
    if any(size < 8 or not 0 < count < math.inf for size, count in stages):
        raise UserError(f"stages '{text}': give sizes of at least 8 pixels, and epochs above 0.")
    return stages
