"""The files that come with the package: weights of a default model, and images. Standard library only."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
IMAGES = PACKAGE / "data" / "embedded" / "fashion-mnist.npz"
WEIGHTS_FOLDER = PACKAGE / "models" / "embedded"
WEIGHTS_SUFFIX = "-fashion-mnist.safetensors"


def weights(model: str) -> Path:
    """Where the embedded weights of `model` would be; most models have none."""
    return WEIGHTS_FOLDER / f"{model}{WEIGHTS_SUFFIX}"
