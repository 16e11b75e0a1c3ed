"""MNN's own file, converted from ONNX.

The binding `_tools` is called directly: an import of `MNN.tools` installs another package, and its commands report the
machine's identity over the network.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import _tools
import onnx

from ..host.files import replace_with
from ..spec.errors import UserError
from . import mnn_int8, qdq_steps


def convert(source: Path, path: Path) -> None:
    """Convert the FP32 ONNX file `source`. Raises `UserError` if MNN cannot."""
    _convert(source, path, source)


def convert_int8(source: Path, path: Path) -> None:
    """Convert the INT8 ONNX file `source`, as floats with a table of its steps. Raises `UserError` if MNN cannot.

    MNN's own reader of QDQ files aborts the process.
    """
    floats, layers = qdq_steps.floats_of(onnx.load(source))
    with TemporaryDirectory() as folder:
        model, table = Path(folder) / "floats.onnx", Path(folder) / "steps.json"
        onnx.save(floats, model)
        table.write_text(json.dumps(mnn_int8.table(floats, layers)))
        _convert(model, path, source, "--compressionParamsFile", str(table))


def _convert(model: Path, path: Path, source: Path, *options: str) -> None:
    with replace_with(path) as temporary:
        files = ["--modelFile", str(model), "--MNNModel", str(temporary)]
        _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *files, "--bizCode", "tvm-bench", *options])
        if not temporary.exists():
            raise UserError(f"MNN cannot convert '{source}'. Give other --backends.")
