"""The request of `tvm-bench train`. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, replace

RESNETS = ("resnet", "resnext", "wide_resnet")
CIFAR_STEM = "-cifar"  # the ending of models whose stem is for 32x32 images


@dataclass(frozen=True)
class TrainingRequest:
    """The model, its initial weights, the data, and the training settings. `resolved` replaces None by the defaults."""

    model: str
    data: str
    weights: str = "random"
    epochs: float = 10.0
    batch_size: int = 128  # of all processes together
    lr: float | None = None
    image_size: int | None = None
    stages: str | None = None
    patience: int = 3
    device: str = "auto"
    amp: bool = True
    distributed: bool = False
    seed: int = 0

    def resolved(self) -> TrainingRequest:
        """The request with the stem and the learning rate that fit the model, the data and the weights."""
        lr = self.lr or (0.1 if self.weights == "random" else 0.01)
        return replace(self, model=self.model + (CIFAR_STEM if self._needs_cifar_stem() else ""), lr=lr)

    def _needs_cifar_stem(self) -> bool:
        """Whether a plain ResNet is trained on CIFAR images at their own size: its stem is too coarse for them."""
        plain_resnet = self.model.startswith(RESNETS) and "-" not in self.model
        own_size = self.image_size in (None, 32) and not self.stages and self.weights != "imagenet"
        return plain_resnet and own_size and self.data.startswith("cifar")
