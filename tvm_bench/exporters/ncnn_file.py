"""ncnn's own files, converted from ONNX by pnnx: `.param` for the graph, `.bin` for the weights."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from ..host import packages
from ..host.files import replace_with
from ..spec.errors import UserError
from . import ncnn_int8, qdq_steps


def convert(source: Path, path: Path) -> None:
    """Convert the FP32 ONNX file `source`, of batch size 1. Raises `UserError` if pnnx cannot."""
    with TemporaryDirectory(dir=path.parent) as folder:
        model = Path(folder) / "model.onnx"
        model.symlink_to(source.absolute())
        _move(*_converted(model, source), path)


def convert_int8(source: Path, path: Path) -> None:
    """Convert the INT8 ONNX file `source` (QDQ), of batch size 1, with its steps. Raises `UserError` if pnnx cannot."""
    floats, layers = qdq_steps.floats_of(onnx.load(source))
    with TemporaryDirectory(dir=path.parent) as folder:
        model = Path(folder) / "model.onnx"
        onnx.save(floats, model)
        graph, weights = _converted(model, source)
        ncnn_int8.quantize(graph, weights, floats, layers)
        _move(graph, weights, path)


def _converted(model: Path, source: Path) -> tuple[Path, Path]:
    """The graph and the weights that pnnx writes beside `model`, with five other files."""
    converter = packages.folder("pnnx")
    assert converter, "it was checked that the package is installed"
    command = [str(converter / "pnnx"), model.name, "fp16=0"]
    done = subprocess.run(command, cwd=model.parent, capture_output=True, text=True)
    graph, weights = (model.with_suffix(f".ncnn{suffix}") for suffix in (".param", ".bin"))
    print(done.stdout, done.stderr)  # into the log
    if done.returncode or not graph.exists():
        raise UserError(f"pnnx cannot convert '{source}' for ncnn. Give other --backends.")
    return graph, weights


def _move(graph: Path, weights: Path, path: Path) -> None:
    with replace_with(path) as new_graph, replace_with(path.with_suffix(".bin")) as new_weights:
        shutil.move(graph, new_graph)
        shutil.move(weights, new_weights)
