"""ncnn's own files, converted from ONNX by pnnx: `.param` for the graph, `.bin` for the weights."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from ..host import packages
from ..host.files import replace_with
from ..spec.errors import UserError


def convert(source: Path, path: Path) -> None:
    """Convert the FP32 ONNX file `source`, of batch size 1. Raises `UserError` if pnnx cannot."""
    converter = packages.folder("pnnx")
    assert converter, "it was checked that the package is installed"
    with TemporaryDirectory(dir=path.parent) as folder:  # pnnx writes seven files beside its input
        model = Path(folder) / "model.onnx"
        model.symlink_to(source.absolute())
        command = [str(converter / "pnnx"), model.name, "fp16=0"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        graph, weights = (model.with_suffix(f".ncnn{suffix}") for suffix in (".param", ".bin"))
        print(done.stdout, done.stderr)  # into the log
        if done.returncode or not graph.exists():
            raise UserError(f"pnnx cannot convert '{source}' for ncnn. Give other --backends.")
        with replace_with(path) as new_graph, replace_with(path.with_suffix(".bin")) as new_weights:
            shutil.move(graph, new_graph)
            shutil.move(weights, new_weights)
