"""Weight sharing: a k-means clustering replaces each weight of a layer by the mean of its cluster.

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
    """A copy of `module` with at most `clusters` different weights in each layer; zeros stay zero."""
    shared = copy.deepcopy(module)
    with torch.no_grad():
        for layer in weighted(shared).values():
            layer.weight.copy_(torch.from_numpy(_clustered(layer.weight.numpy(), clusters)))
    return shared.eval()


def _clustered(weights: np.ndarray, clusters: int) -> np.ndarray:
    """`weights` with each value replaced by its cluster's mean."""
    from sklearn.cluster import KMeans

    nonzero = weights[weights != 0]
    clusters -= nonzero.size < weights.size  # pruned weights are a cluster of their own
    if np.unique(nonzero).size <= clusters:
        return weights
    # The histogram replaces millions of weights by thousands of weighted points.
    counts, edges = np.histogram(nonzero, BINS)
    points = ((edges[:-1] + edges[1:]) / 2)[counts > 0, None]
    start = np.linspace(nonzero.min(), nonzero.max(), clusters)[:, None]
    if len(points) > clusters:
        start = KMeans(clusters, init=start, n_init=1).fit(points, sample_weight=counts[counts > 0]).cluster_centers_
    centres = np.sort(start[:, 0])
    nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, nonzero)
    sums = np.bincount(nearest, nonzero, minlength=clusters)
    sizes = np.bincount(nearest, minlength=clusters)
    result = weights.copy()
    result[weights != 0] = (sums / np.maximum(sizes, 1))[nearest]
    return result
