"""The results of `compress` and `operators`, as jobs write them and the report reads them. Standard library only."""

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
    """One layer before and after. `…_noise` is the power of the difference over that of the signal: 0 if nothing
    changed, None if the shapes differ."""

    name: str
    before: LayerNumbers
    after: LayerNumbers
    weights_noise: float | None
    outputs_noise: float | None


class ModelNumbers(TypedDict):
    """One model: sizes in MB (10^6 bytes), and totals over its layers."""

    name: str
    file: str
    mb: float
    zipped_mb: float
    parameters: int
    nonzero: int
    flops: int
    top1: NotRequired[float]  # 0 to 1, with labels
    top5: NotRequired[float]
    images: NotRequired[int]


class CompressionResult(TypedDict):
    """The original model first. `labelled` says whether the data has labels of the model's own classes."""

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
    """One operator in one call of the model: its own CPU time, its share of all (0 to 1), and the MB it allocates."""

    name: str
    calls: float
    ms: float
    share: float
    mb: float
