"""Folders on this machine with data sets that are not part of the package. Standard library only."""

from pathlib import Path

FASHION_MNIST = (
    Path("/usr/share/datasets/fashion-mnist"),  # Debian's package dataset-fashion-mnist
    Path("data/FashionMNIST/raw"),  # where torchvision.datasets.FashionMNIST("data", download=True) puts it
)


def fashion_mnist() -> Path | None:
    """The folder of the full Fashion-MNIST set; None if there is none."""
    return next((folder for folder in FASHION_MNIST if (folder / "train-images-idx3-ubyte.gz").exists()), None)
