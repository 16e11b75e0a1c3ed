"""JSON types of the results of `compress` and `operators`, from jobs to the report. Standard library only."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class LayerNumbers(TypedDict):
    """One layer: `bytes`, `parameters` and `nonzero` of weights and bias, `sparsity` (0 to 1) of the weights; `flops`
    for one image, where a multiply and an add are two."""

    bytes: int
    parameters: int
    nonzero: int
    sparsity: float
    flops: int


class LayerChange(TypedDict):
    """One layer before and after compression. `…_noise` is the power of the difference divided by the power of the
    original: 0 if nothing changed, None if the shapes differ."""

    name: str
    before: LayerNumbers
    after: LayerNumbers
    weights_noise: float | None
    outputs_noise: float | None


class ModelNumbers(TypedDict):
    """One model: file sizes in MB (10^6 bytes), and totals over its layers."""

    name: str
    file: str
    mb: float
    zipped_mb: float
    parameters: int
    nonzero: int
    flops: int
    top1: NotRequired[float]  # 0 to 1; only with labels
    top5: NotRequired[float]
    images: NotRequired[int]


class CompressionResult(TypedDict):
    """The models, the original first, and their layers. `labelled`: the data has labels of the model's own classes."""

    name: str
    models: list[ModelNumbers]
    layers: list[LayerChange]
    labelled: bool


class ModelFiles(TypedDict):
    """The files of one model: its module, the file to deploy, and the FP32 module of the same shapes."""

    name: str
    module: str
    file: str
    fp32: str


class Operator(TypedDict):
    """One operator in one call of the model: self CPU time, its share of the total (0 to 1), and allocated MB."""

    name: str
    calls: float
    ms: float
    share: float
    mb: float
