"""How near two sets of pictures are in a feature space: MMD, precision and recall.

Pure functions of features (N, D) float64. The kernel and its unbiased estimator are those of
KID: Binkowski et al. (2018), https://arxiv.org/abs/1801.01401. Precision and recall are
Kynkaanniemi et al. (2019), https://arxiv.org/abs/1904.06991.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.training.intervals import Floats, Statistic

NEIGHBOURS: Final = 5
"""k: a picture's ball reaches to its k-th nearest neighbour."""


def polynomial_kernel(a: Floats, b: Floats) -> Floats:
    """(a . b / D + 1)^3 of each row of `a` (N, D) with each of `b` (M, D), as (N, M)."""
    return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)


def squared_mmd(a: Floats, b: Floats) -> Statistic:
    """The unbiased squared MMD of `a` (N, D) and `b` (M, D), which may come out below 0.

    Pairs of a picture with itself are left out, also where a bootstrap draws it twice, so that
    the replicates stay unbiased as well.

    Raises:
        ValueError: If a set has fewer than two rows.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError("the unbiased MMD needs at least two pictures in each set")
    within_a, within_b = polynomial_kernel(a, a), polynomial_kernel(b, b)
    between = polynomial_kernel(a, b)

    def statistic(w_a: Floats, w_b: Floats) -> Floats:
        cross = ((w_a @ between) * w_b).sum(1) / (w_a.sum(1) * w_b.sum(1))
        return np.asarray(_mean_of_pairs(within_a, w_a) + _mean_of_pairs(within_b, w_b) - 2 * cross)

    return statistic


def _mean_of_pairs(kernel: Floats, weights: Floats) -> Floats:
    """The weighted mean of `kernel` (N, N) off its diagonal, for each row of weights (R, N)."""
    own = weights**2 @ np.diagonal(kernel)
    pairs = weights.sum(1) ** 2 - (weights**2).sum(1)
    return np.asarray((((weights @ kernel) * weights).sum(1) - own) / pairs)


@dataclass(frozen=True, eq=False)
class Manifolds:
    """Which pictures of each set lie in the other's manifold, the union of its pictures' balls.

    Attributes:
        precision: (N,) 1 where a sample lies in the reference's manifold, else 0.
        recall: (M,) 1 where a reference picture lies in the samples' manifold, else 0.
    """

    precision: Floats
    recall: Floats


def manifolds(samples: Floats, reference: Floats, k: int = NEIGHBOURS) -> Manifolds:
    """Precision and recall of `samples` (N, D) against `reference` (M, D), picture by picture.

    Raises:
        ValueError: If a set has no k-th neighbour.
    """
    if min(len(samples), len(reference)) <= k:
        raise ValueError(f"precision and recall with k = {k} need more than {k} pictures a set")
    between = distances(samples, reference)
    in_reference = np.any(between <= _radii(reference, k), axis=1)
    in_samples = np.any(between <= _radii(samples, k)[:, None], axis=0)
    return Manifolds(np.asarray(in_reference, np.float64), np.asarray(in_samples, np.float64))


def _radii(features: Floats, k: int) -> Floats:
    """The distance of each row to its k-th nearest other row, (N,)."""
    within = distances(features, features)
    # Rounding may leave a row a little way from itself; it is its own nearest all the same.
    np.fill_diagonal(within, -1)
    return np.asarray(np.partition(within, k, axis=1)[:, k])


def distances(a: Floats, b: Floats) -> Floats:
    """The Euclidean distances of the rows of `a` (N, D) from those of `b` (M, D), (N, M)."""
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squared, 0)))
