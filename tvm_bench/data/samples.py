"""The user's samples: arrays by the name of the input, in one .npz file or in a folder of them, one sample each."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..spec.errors import UserError, unknown
from ..spec.tensors import TensorSpec


def files(path: Path) -> list[Path]:
    """The .npz files. Raises `UserError` if there is none."""
    found = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if not found or not found[0].is_file():
        raise UserError(
            f"no samples at '{path}'. --inputs takes an .npz file (arrays by input name, first axis = sample), a "
            "folder of .npz files with one sample each, or synthetic."
        )
    return found


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays by name, their first axis the samples. Raises `UserError` for files that hold anything else."""
    one_each = path.is_dir()
    parts = [_arrays(file) for file in files(path)]
    names = parts[0].keys()
    for file, part in zip(files(path), parts, strict=True):
        if part.keys() != names:
            raise UserError(f"'{file}' has the arrays {_listed(part)}, and '{files(path)[0]}' {_listed(names)}.")
    if not one_each:
        return parts[0]
    try:
        return {name: np.stack([part[name] for part in parts]) for name in names}
    except ValueError as error:
        raise UserError(
            f"the samples in '{path}' have different shapes: {error}. Give samples of one shape."
        ) from error


def _arrays(file: Path) -> dict[str, np.ndarray]:
    try:
        stored = np.load(file, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise ValueError("it holds one array without a name")
        with stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"'{file}' is not an .npz file of arrays: {error}. Write it with numpy.savez.") from error


def fitted(arrays: Mapping[str, np.ndarray], inputs: Sequence[TensorSpec], path: Path) -> dict[str, np.ndarray]:
    """An array (samples, …) for each input, in the order and the dtypes of `inputs`.

    Raises `UserError` for names, shapes, dtypes and values that do not fit; only safe casts are made.
    """
    names = [spec.name for spec in inputs]
    for name in arrays:
        if name not in names:
            raise unknown(f"input in '{path}'", name, names)
    if missing := [name for name in names if name not in arrays]:
        raise UserError(f"'{path}' has no array for the input '{missing[0]}', only {_listed(arrays)}. Add one.")
    fits = {spec.name: _fitted(arrays[spec.name], spec, path) for spec in inputs}
    counts = {name: len(array) for name, array in fits.items()}
    if len(set(counts.values())) > 1 or not min(counts.values()):
        raise UserError(
            f"'{path}' has samples {counts}: give at least one, and the same number for each input; the first axis is "
            "the sample."
        )
    return fits


def casts(arrays: Mapping[str, np.ndarray], inputs: Sequence[TensorSpec]) -> str:
    """The casts of `fitted` as text, `x uint8 to float32`; empty if there are none."""
    pairs = ((spec, arrays[spec.name].dtype) for spec in inputs)
    return ", ".join(f"{spec.name} {dtype} to {spec.dtype}" for spec, dtype in pairs if dtype != spec.dtype)


def _fitted(array: np.ndarray, spec: TensorSpec, path: Path) -> np.ndarray:
    if spec.batched and array.ndim == len(spec.shape) + 1 and array.shape[1] == 1:
        array = array[:, 0]  # each sample with a batch size of its own
    if array.shape[1:] != spec.sample_shape or not array.ndim:
        wanted = ("samples", *spec.sample_shape)
        raise UserError(
            f"'{path}': array '{spec.name}' is {array.shape}; the model takes ({', '.join(map(str, wanted))}). Reshape "
            "it, or give another --input-shape."
        )
    if not np.can_cast(array.dtype, spec.dtype, "safe"):
        raise UserError(
            f"'{path}': array '{spec.name}' is {array.dtype}; the model takes {spec.dtype}, and this cast may change "
            f"values. Convert it: array.astype('{spec.dtype}')."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        sample = int(np.argwhere(~np.isfinite(array))[0][0])
        raise UserError(f"'{path}': array '{spec.name}' has NaN or infinity in sample {sample}. Remove that sample.")
    return array.astype(spec.dtype, copy=False)


def _listed(names: object) -> str:
    return ", ".join(map(repr, names))  # type: ignore[call-overload]  # any iterable of names
