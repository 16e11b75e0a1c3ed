"""The verb `profile_onnx`: the time of each node of an ONNX file in ONNX Runtime."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ...exporters import onnx_open_sizes
from ...measure import onnx_profile
from ...spec.errors import UserError
from ...spec.sizes import Sizes


def run(
    path: str,
    image: tuple[int, int, int] | None,
    shapes: dict[str, list[int]],
    dims: dict[str, int],
    batch: int,
    threads: int,
) -> dict[str, Any]:
    """Returns `nodes`, as `onnx_profile.nodes` says, `model_ms`, `reasons` for products in floats, and `wide_weights`.

    Raises `UserError` for a file that ONNX Runtime cannot open or run, and for open sizes that nothing fixes.
    """
    try:
        model = onnx.load(path)
        sizes = Sizes(image, {name: tuple(shape) for name, shape in shapes.items()}, dims, batch)
        fixed = onnx_open_sizes.fixed_shapes(model, Path(path), sizes)
        dtypes = {value.name: onnx_open_sizes.dtype_of(value) for value in onnx_open_sizes.inputs_of(model)}
        random = np.random.default_rng(0)
        inputs = {name: random.random(shape).astype(dtypes[name]) for name, shape in fixed.items()}
        nodes, model_ms = onnx_profile.nodes(Path(path), inputs, threads)
    except UserError:
        raise
    except Exception as error:  # of any kind: both libraries raise what they like
        raise UserError(f"'{path}' does not run in ONNX Runtime: {str(error).strip().splitlines()[0]}") from error
    names = onnx_profile.source_names(model)
    return {
        "nodes": [{**asdict(node), "name": names.get(node.name, node.name)} for node in nodes],
        "model_ms": model_ms,
        "reasons": onnx_profile.reasons(model),
        "wide_weights": onnx_profile.has_wide_weights(model),
    }
