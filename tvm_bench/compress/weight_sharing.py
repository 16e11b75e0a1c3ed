"""Weight sharing: each layer keeps so many different weights, the centres of a k-means clustering.

Method: Han et al. 2016 (Deep Compression), arXiv:1510.00149, section 3, with its linear initialization.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from .layers import weighted

BINS = 8192


def share_weights(module: nn.Module, *, clusters: int = 256) -> nn.Module:
    """A copy of `module` with at most `clusters` different weights in each layer; zeros stay zeros."""
    shared = copy.deepcopy(module)
    with torch.no_grad():
        for layer in weighted(shared).values():
            layer.weight.copy_(torch.from_numpy(_clustered(layer.weight.numpy(), clusters)))
    return shared.eval()


def _clustered(weights: np.ndarray, clusters: int) -> np.ndarray:
    """`weights` with each value replaced by its cluster's mean."""
    from sklearn.cluster import KMeans

    kept = weights[weights != 0]
    clusters -= kept.size < weights.size  # what was pruned has a cluster of its own
    if np.unique(kept).size <= clusters:
        return weights
    # In one dimension a histogram stands for the weights: millions of points become thousands with a count.
    counts, edges = np.histogram(kept, BINS)
    points = ((edges[:-1] + edges[1:]) / 2)[counts > 0, None]
    start = np.linspace(kept.min(), kept.max(), clusters)[:, None]
    if len(points) > clusters:
        start = KMeans(clusters, init=start, n_init=1).fit(points, sample_weight=counts[counts > 0]).cluster_centers_
    centres = np.sort(start[:, 0])
    nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, kept)
    sums, sizes = (np.bincount(nearest, each, minlength=clusters) for each in (kept, None))
    result = weights.copy()
    result[weights != 0] = (sums / np.maximum(sizes, 1))[nearest]
    return result
