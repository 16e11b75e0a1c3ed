"""The observer that torch.ao lacks: the range whose clipping loses least information.

Method: Migacz 2017, "8-bit Inference with TensorRT" (GTC S7310): lowest Kullback-Leibler divergence between the
histogram and its quantized form; by ONNX Runtime's search, so that both runtimes find ranges alike.
"""

from __future__ import annotations

import torch
from onnxruntime.quantization.calibrate import HistogramCollector
from torch.ao.quantization.observer import UniformQuantizationObserverBase

BINS, LEVELS = 2048, 128
NAME = "x"


class EntropyObserver(UniformQuantizationObserverBase):
    """Collects a histogram of what passes; `calculate_qparams` searches the best range in it."""

    def __init__(self, **options: object):
        super().__init__(dtype=torch.quint8, qscheme=torch.per_tensor_affine, **options)
        self.collector = HistogramCollector("entropy", False, BINS, LEVELS, None, None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Note the values of `x`, and pass it on."""
        self.collector.collect_value({NAME: x.detach().float().numpy()})
        return x

    @torch.jit.unused
    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and zero point; 1 and 0 before any value was seen."""
        found = self.collector.get_histogram_dict().get(NAME)
        low, high = self.collector.get_entropy_threshold(found, LEVELS)[:2] if found else (0.0, 0.0)
        return self._calculate_qparams(torch.tensor(float(low)), torch.tensor(float(high)))
