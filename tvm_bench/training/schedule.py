"""Which pictures at which size and which learning rate, as plain values: nothing here keeps state."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ..errors import UserError


@dataclass(frozen=True)
class Epoch:
    """One pass, or the part of one that `pictures` covers, at `size` x `size` pixels."""

    index: int
    size: int
    pictures: int


@dataclass(frozen=True)
class Schedule:
    """SGD with Nesterov momentum and one cosine over the whole training, counted in pixels and not in steps.

    Small pictures come first and the size of deployment last (progressive resizing, as in Tan and Le 2021,
    "EfficientNetV2", section 4): the features are learned where they are cheap.
    """

    stages: tuple[tuple[int, float], ...] = ((64, 6.0), (112, 2.0), (224, 0.5))
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.02  # share of the training
    patience: int = 3  # epochs without a better validation loss before a stage ends early
    seed: int = 0

    def epochs(self, pictures: int) -> Iterator[Epoch]:
        """All epochs in order; a stage of 2.5 epochs ends with half of one."""
        index = 0
        for size, count in self.stages:
            while count > 1e-9:
                part = min(1.0, count)
                yield Epoch(index, size, max(self.batch_size, int(pictures * part)))
                count -= part
                index += 1

    def rate(self, done: float) -> float:
        """Learning rate when the share `done` (0 to 1) of all pixels has been seen."""
        if done < self.warmup:
            return self.lr * max(done, 1e-4) / self.warmup
        return self.lr * 0.5 * (1 + math.cos(math.pi * (done - self.warmup) / (1 - self.warmup)))

    @cached_property
    def pixels(self) -> float:
        """Pixels of the whole training, for each picture of the training set."""
        return sum(size * size * count for size, count in self.stages)


def parse_stages(text: str) -> tuple[tuple[int, float], ...]:
    """`64:6,112:2,224:0.5` -> ((64, 6.0), (112, 2.0), (224, 0.5)). Raises `UserError`."""
    try:
        stages = tuple((int(size), float(count)) for size, count in (part.split(":") for part in text.split(",")))
    except ValueError as error:
        raise UserError(f"stages '{text}': give SIZE:EPOCHS,SIZE:EPOCHS,… like 64:6,112:2,224:0.5") from error
    if any(size < 8 or count <= 0 for size, count in stages):
        raise UserError(f"stages '{text}': sizes start at 8 pixels, and epochs are above 0.")
    return stages
