"""Paths of the files in the package: weights of default models, and images. Standard library only."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
IMAGES = PACKAGE / "data" / "embedded" / "fashion-mnist.npz"
WEIGHTS_FOLDER = PACKAGE / "models" / "embedded"
WEIGHTS_SUFFIX = "-fashion-mnist.safetensors"


def weights(model: str) -> Path:
    """The path of the embedded weights of `model`, which exists only for default models."""
    return WEIGHTS_FOLDER / f"{model}{WEIGHTS_SUFFIX}"
