"""Run the compiled model.

    python predict.py IMAGE [IMAGE ...]     the most likely classes of each image
    python predict.py INPUTS.npz            the outputs, to outputs.npz; one array for each input, by its name
    python predict.py --check               whether the outputs are those of the build

Images are resized, cropped and normalized as model/manifest.json says under "spec".
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tvm_runtime import GraphExecutor, Runtime

HERE = Path(__file__).parent
MODEL = HERE / "model"
TOLERANCE = 1e-3  # of the range of an output: another CPU may add in another order


class Model:
    """The compiled model: `model(inputs)` takes and returns one array for each input and output."""

    def __init__(self) -> None:
        self.about = json.loads((MODEL / "manifest.json").read_text())
        verify(self.about)
        runtime = Runtime(str(HERE / "libtvm_runtime.so"))
        runtime.use_threads(min(self.about["threads"], len(os.sched_getaffinity(0))))
        self.executor = GraphExecutor(runtime, MODEL / "lib.so")

    def __call__(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Run the model. Exits with a message for arrays of another shape or dtype."""
        for spec, array in zip(self.about["inputs"], inputs, strict=True):
            if list(array.shape) != spec["shape"] or array.dtype != spec["dtype"]:
                sys.exit(f"{spec['name']} must be {spec['dtype']} {spec['shape']}, not {array.dtype} {array.shape}.")
        outputs = [np.empty(spec["shape"], spec["dtype"]) for spec in self.about["outputs"]]
        self.executor(tuple(inputs), tuple(outputs))
        return outputs

    def classify(self, path: str, top: int = 5) -> list[tuple[str, float]]:
        """The `top` classes of an image file with their softmax probabilities."""
        if not self.about["spec"] or [len(spec["shape"]) for spec in self.about["outputs"]] != [2]:
            sys.exit("This model is no classifier of images. Give an .npz file with its inputs.")
        try:
            image = preprocess(Image.open(path), self.about["spec"])
        except OSError as error:
            sys.exit(f"{path} cannot be read as an image: {error}")
        batch = np.repeat(image[None], self.about["inputs"][0]["shape"][0], axis=0)
        scores = self([batch])[0][0]
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        names = self.about["classes"] or [f"class {i}" for i in range(len(shares))]
        return [(names[i], float(shares[i])) for i in np.argsort(-shares)[:top]]


def verify(about: dict) -> None:
    """Stop before the library is opened, which runs code, if a file has changed or this CPU cannot run it."""
    for name, digest in about["files"].items():
        if hashlib.sha256((MODEL / name).read_bytes()).hexdigest() != digest:
            sys.exit(f"model/{name} is not the file that was built. Export the application again.")
    flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")).split()
    if missing := set(about["cpu_flags"]) - set(flags):
        sys.exit(f"The library was built for {about['target']}. This CPU lacks {', '.join(sorted(missing))}.")


def preprocess(image: Image.Image, spec: dict) -> np.ndarray:
    """An image as float32 (channels, height, width)."""
    channels, height, width = spec["shape"]
    image = image.convert("L" if spec["grey"] or channels == 1 else "RGB")
    scale = spec["resize"] / min(image.size)
    size = max(width, round(scale * image.width)), max(height, round(scale * image.height))
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    pixels = np.atleast_3d(np.asarray(image.crop((left, top, left + width, top + height))))
    values = np.broadcast_to(pixels.astype(np.float32) / 255, (height, width, channels))
    return ((values - np.float32(spec["mean"])) / np.float32(spec["std"])).transpose(2, 0, 1)


def check(model: Model) -> None:
    """Compare the outputs with those of the build. Exits with 1 if they differ."""
    if "golden.npz" not in model.about["files"]:
        sys.exit("The library was built on a machine that cannot run it, so there are no outputs to compare with.")
    golden = np.load(MODEL / "golden.npz")
    outputs = model([golden[f"input_{i}"] for i in range(len(model.about["inputs"]))])
    for i, (spec, output) in enumerate(zip(model.about["outputs"], outputs, strict=True)):
        built = golden[f"output_{i}"].astype(np.float64)
        difference = np.abs(output - built).max() / (np.ptp(built) or 1)
        print(f"{spec['name']}: differs by {difference:.2g} of its range")
        if not difference <= TOLERANCE:
            sys.exit(1)


def main(arguments: list[str]) -> None:
    """What the text at the top of this file says."""
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.exit(__doc__)
    model = Model()
    if arguments == ["--check"]:
        check(model)
    elif arguments[0].endswith(".npz"):
        inputs = np.load(arguments[0])
        if missing := [spec["name"] for spec in model.about["inputs"] if spec["name"] not in inputs]:
            sys.exit(f"{arguments[0]} has no array '{missing[0]}'; it has {', '.join(inputs)}.")
        outputs = model([inputs[spec["name"]] for spec in model.about["inputs"]])
        names = [spec["name"] for spec in model.about["outputs"]]
        np.savez("outputs.npz", **dict(zip(names, outputs, strict=True)))
        print("outputs.npz:", ", ".join(names))
    else:
        for path in arguments:
            print(path, *(f"  {share:6.1%} {name}" for name, share in model.classify(path)), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
