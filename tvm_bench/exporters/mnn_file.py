"""MNN's own file, converted from ONNX.

The binding `_tools` is called directly: the package's command `mnnconvert` installs another package, and reports the
machine's identity over the network.
"""

from __future__ import annotations

from pathlib import Path

import _tools

from ..host.files import replace_with
from ..spec.errors import UserError


def convert(source: Path, path: Path) -> None:
    """Convert the FP32 ONNX file `source`. Raises `UserError` if MNN cannot."""
    with replace_with(path) as temporary:
        files = ["--modelFile", str(source), "--MNNModel", str(temporary)]
        _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *files, "--bizCode", "tvm-bench"])
        if not temporary.exists():
            raise UserError(f"MNN cannot convert '{source}'. Give other --backends.")
