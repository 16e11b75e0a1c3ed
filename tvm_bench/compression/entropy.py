"""An observer that torch.ao lacks: it chooses the range whose clipping loses the least information.

Method: Migacz 2017, "8-bit Inference with TensorRT" (GTC S7310): lowest Kullback-Leibler divergence between the
histogram and the quantized histogram. The search is ONNX Runtime's, so that both runtimes get the same ranges.
"""

from __future__ import annotations

import torch
from onnxruntime.quantization.calibrate import HistogramCollector
from torch.ao.quantization.observer import UniformQuantizationObserverBase

BINS, LEVELS = 2048, 128
NAME = "x"


class EntropyObserver(UniformQuantizationObserverBase):
    """Collects a histogram of all values; `calculate_qparams` searches the best range in it."""

    def __init__(self, **options: object):
        super().__init__(dtype=torch.quint8, qscheme=torch.per_tensor_affine, **options)
        self.collector = HistogramCollector("entropy", False, BINS, LEVELS, None, None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the values of `x` to the histogram, and return `x`."""
        self.collector.collect_value({NAME: x.detach().float().numpy()})
        return x

    @torch.jit.unused
    def calculate_qparams(self, **_: object) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and zero point; 1 and 0 without any value."""
        histogram = self.collector.get_histogram_dict().get(NAME)
        low, high = self.collector.get_entropy_threshold(histogram, LEVELS)[:2] if histogram else (0.0, 0.0)
        return self._calculate_qparams(torch.tensor(float(low)), torch.tensor(float(high)))
