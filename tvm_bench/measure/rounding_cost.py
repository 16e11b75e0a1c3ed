"""What rounding in a model costs at its outputs. NumPy and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime

from ..spec.mixed_precision import Cost, noise
from ..spec.tensors import Arrays, TensorSpec
from . import comparison
from .scoring import SCORING

MOST_BYTES = 512e6  # of all outputs together
MAIN_SCORES = ("top1", "miou")


def affordable(specs: Sequence[TensorSpec], samples: int) -> int:
    """The number of samples, at most `samples`, whose outputs fit into memory."""
    size = sum(4 * int(np.prod(spec.shape)) for spec in specs)
    return max(1, min(samples, int(MOST_BYTES // size)))


def outputs(model: onnx.ModelProto, inputs: Iterable[Arrays], threads: int) -> list[np.ndarray]:
    """Each output, (samples, …), of a model with batch size 1. Quantizers round, and all else is computed in floats."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # no integer kernels, which round otherwise
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    answers = [session.run(None, dict(zip(names, arrays, strict=True))) for arrays in inputs]
    return [np.concatenate(values) for values in zip(*answers, strict=True)]


def cost(task: str, specs: Sequence[TensorSpec], rounded: Sequence[np.ndarray], exact: Sequence[np.ndarray]) -> Cost:
    """What the outputs `rounded` lost of the outputs `exact`."""
    rows: list[dict[str, Any]] = comparison.compared(task, specs, rounded, exact)
    agreement = next((row["argmax_agreement"] for row in rows if row["argmax_agreement"] is not None), None)
    return Cost(
        noise=float(np.mean([_noise(row["sqnr_db"]) for row in rows])),
        divergence=_divergence(rounded[0], exact[0]) if exact[0].ndim == 2 and agreement is not None else None,
        changed=None if agreement is None else 1 - agreement,
    )


def score(task: str, answers: Sequence[np.ndarray], labels: np.ndarray | None) -> float | None:
    """Top-1 of a classifier or the mean IoU of a segmentation network, 0 to 1; None without labels."""
    if labels is None:
        return None
    scores = SCORING[task](answers, labels[: len(answers[0])])
    return next((float(scores[name]) for name in MAIN_SCORES if name in scores), None)


def _noise(sqnr: float) -> float:
    return 0.0 if sqnr == comparison.EQUAL_DB else noise(sqnr)


def _divergence(rounded: np.ndarray, exact: np.ndarray) -> float:
    """The mean Kullback-Leibler divergence of the softmax of scores (samples, classes), in nats."""
    first, second = _log_softmax(exact), _log_softmax(rounded)
    return float((np.exp(first) * (first - second)).sum(axis=1).mean())


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
