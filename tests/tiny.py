"""A network that compiles in seconds: convolutions with batch norm, a shortcut, pooling, a dense layer."""

import torch
from torch import nn

from tvm_bench.data.preprocess import InputSpec


class Tiny(nn.Module):
    input_spec = InputSpec(shape=(3, 32, 32), resize=32, mean=(0.286,) * 3, std=(0.353,) * 3, grey=True)

    def __init__(self, classes=10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(16, classes)

    def forward(self, images):
        features = self.stem(images)
        features = nn.functional.relu(features + self.block(features))
        return self.head(self.pool(features).flatten(1))


def cnn():
    return Tiny()


def grouped():
    """Two classes, and group norm: the answer for an image does not depend on the rest of the batch."""
    module = Tiny(classes=2)
    module.stem[1], module.block[1] = nn.GroupNorm(4, 16), nn.GroupNorm(4, 16)
    return module


def nan():
    module = Tiny()
    nn.init.constant_(module.head.bias, float("nan"))
    return module


def untraceable():
    class Branching(Tiny):
        def forward(self, images):
            logits = super().forward(images)
            return logits if images.sum() > 0 else -logits

    return Branching()


def unsupported():
    """Determinants have no operator in Relay, by either front end."""

    class Determinant(Tiny):
        def forward(self, images):
            return super().forward(images) * images[:, 0].det()[:, None]

    return Determinant()


def unvarying():
    """The biases decide: the scores of two images differ by less than a rounding of INT8."""
    module = Tiny()
    nn.init.normal_(module.head.weight, std=1e-6)
    return module


def silent():
    """Answers zeros, which the model is checked with, and fails on images: in PyTorch, not once it is exported."""

    class Silent(Tiny):
        def forward(self, images):
            if not torch.onnx.is_in_onnx_export() and images.any():
                raise RuntimeError("no answer")
            return super().forward(images)

    return Silent()


def not_a_module():
    return "resnet18"


def three_classes():
    return Tiny(classes=3)
