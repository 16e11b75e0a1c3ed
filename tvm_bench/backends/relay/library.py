"""Step 7: loads and runs a built `lib.so`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ...data.imagefolder import read_image
from ...data.preprocess import InputSpec, network_input
from ...host import huge_pages, manifest, packages
from ...spec.errors import UserError
from ...spec.tensors import Arrays, TensorSpec, from_json
from .runtime import GraphExecutor, Runtime

ALONE = "libtvm_runtime.so"


def load(artifact: str | Path, *, threads: int | None = None) -> Library:
    """Open a built library: `tvm_bench.load("artifacts/resnet18/int8-relay")`.

    `threads` defaults to the thread count of the build. Raises `UserError` for a missing or changed file, a CPU that
    cannot run it, and a library of Relax, before the library is opened.
    """
    about = manifest.verify(Path(artifact))
    manifest.need_relay(Path(artifact), about)
    return Library(about, Path(artifact), threads or about["threads"])


def _runtime_path() -> Path:
    """TVM's shared library: the one in the package `tvm`, or without that package, the one in this folder.

    One process cannot have both the runtime and the compiler, which contains it. So it is the compiler's, unless
    $TVM_USE_RUNTIME_LIB, a variable of TVM's own, asks for the runtime alone. Raises `UserError` if there is neither.
    """
    if folder := packages.folder("tvm"):
        return folder / (ALONE if os.environ.get("TVM_USE_RUNTIME_LIB") else "libtvm.so")
    if (path := Path(__file__).with_name(ALONE)).exists():
        return path
    raise UserError("TVM's runtime is missing. Install the wheel that `make dist` writes, or 'tvm-bench[workbench]'.")


RUNTIME = Runtime(str(_runtime_path()))


class Library:
    """The compiled model in `folder`. `inputs` and `outputs` are of type `TensorSpec`, in the order of a call's arrays.

    `spec` is the preprocessing of images (None: the input is no image), and `classes` names the classes.
    """

    def __init__(self, about: dict[str, Any], folder: Path, threads: int):
        if "TVM_NUM_THREADS" not in os.environ:
            RUNTIME.use_threads(threads)
        self.folder, self.manifest = folder, about
        self.inputs, self.outputs = from_json(about["inputs"]), from_json(about["outputs"])
        self.spec = InputSpec.from_dict(about["spec"]) if about["spec"] else None
        self.classes = tuple(about["classes"])
        with huge_pages.for_new_memory():
            self.executor = GraphExecutor(RUNTIME, folder / manifest.LIBRARY)

    def __call__(self, arrays: Arrays) -> Arrays:
        """The outputs, one array each. Raises `UserError` for other shapes or dtypes than the library was built for."""
        self._check(arrays)
        results = tuple(np.empty(spec.shape, spec.dtype) for spec in self.outputs)
        self.executor(arrays, results)
        return results

    def preprocess(self, image: str | Path) -> np.ndarray:
        """An image file as the input, float32 (batch, channels, height, width): resized, cropped and normalized.

        Raises `UserError` if the library takes no image.
        """
        if self.spec is None:
            raise UserError(f"this library takes no image: it takes {_listed(self.inputs)}. Call it with arrays.")
        pixels = network_input(read_image(Path(image)), self.spec)
        return np.repeat(pixels[None], self.inputs[0].shape[0], axis=0)

    def predict(self, images: Iterable[str | Path], top: int = 5) -> list[list[tuple[str, float]]]:
        """For each image file the `top` classes, the most likely first, with their softmax probabilities.

        Raises `UserError` if the library is no classifier of images.
        """
        if self.spec is None or len(self.outputs) != 1 or len(self.outputs[0].shape) != 2:
            raise UserError(
                f"this library is no classifier of images: it takes {_listed(self.inputs)} and returns "
                f"{_listed(self.outputs)}. Call it with arrays."
            )
        return [self._best(self((self.preprocess(image),))[0][0], top) for image in images]

    def _best(self, scores: np.ndarray, top: int) -> list[tuple[str, float]]:
        probabilities = np.exp(scores - scores.max())
        probabilities /= probabilities.sum()
        return [(self._class(i), float(probabilities[i])) for i in np.argsort(-probabilities)[:top]]

    def _class(self, index: int) -> str:
        return self.classes[index] if self.classes else f"class {index}"

    def _check(self, arrays: Arrays) -> None:
        if isinstance(arrays, np.ndarray) or len(arrays) != len(self.inputs):
            raise UserError(f"this library takes a tuple of {len(self.inputs)} arrays: {_listed(self.inputs)}.")
        for spec, array in zip(self.inputs, arrays, strict=True):
            if array.shape != spec.shape or array.dtype != spec.dtype:
                raise UserError(
                    f"the input {spec.name} is {array.dtype} {array.shape}; this library takes {spec.dtype} "
                    f"{spec.shape}. Convert it, or build for that shape with --input-shape and --batch-size."
                )

    def verify(self) -> dict[str, float]:
        """The largest difference of each output to that of the build, as a share of that one's range.

        Raises `UserError` for a library that was built on a machine that could not run it.
        """
        manifest.need_golden(self.folder, self.manifest)
        with np.load(self.folder / manifest.GOLDEN) as golden:
            results = self(tuple(golden[f"input_{i}"] for i in range(len(self.inputs))))
            pairs = enumerate(zip(self.outputs, results, strict=True))
            return {spec.name: _difference(result, golden[f"output_{i}"]) for i, (spec, result) in pairs}

    def time_evaluator(self, runs: int) -> list[float]:
        """Milliseconds of each of `runs` runs by TVM's clock: kernels only, warm caches, without NumPy's copies."""
        return self.executor.time_evaluator(runs)


def _difference(result: np.ndarray, built: np.ndarray) -> float:
    if np.array_equal(result, built, equal_nan=True):
        return 0.0
    largest = np.abs(result.astype(np.float64) - built).max()
    return float(largest / (np.ptp(built.astype(np.float64)) or 1.0))


def _listed(specs: Iterable[TensorSpec]) -> str:
    return ", ".join(spec.text for spec in specs)
