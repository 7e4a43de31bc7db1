"""Figures with an interval: the bootstrap, written for statistics of weighted pictures.

Every figure of the panel is a function of two sets of pictures in which each picture has a
weight. With all weights 1 it is the estimate; with the counts of a draw with replacement it is
one bootstrap replicate. A statistic that takes many rows of weights at once turns a thousand
replicates into a few matrix products, and one that knows weights knows which pairs are a picture
with itself, which a copied row would hide.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.images.arrays import Floats

Statistic = Callable[[Floats, Floats], Floats]
"""(R, N) weights of the samples and (R, M) of the reference to (R,) values, or to (R, K)."""

REPLICATES: Final = 500
CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95% bootstrap interval."""

    value: float
    low: float
    high: float


def bootstrap(statistic: Statistic, samples: int, reference: int, *, seed: int = 0) -> Interval:
    """Estimate `statistic` with its interval, drawing both sets again with replacement.

    The percentile interval is moved so that the replicates' mean falls on the estimate: a drawn
    set has fewer different pictures than the set itself, which some distances take for distance.

    There are `samples` pictures in the first set and `reference` in the second; equal seeds and
    sizes draw equal sets.
    """
    return bootstrap_all(
        lambda w_a, w_b: statistic(w_a, w_b)[:, None], samples, reference, seed=seed
    )[0]


def bootstrap_all(
    statistics: Statistic, samples: int, reference: int, *, seed: int = 0
) -> tuple[Interval, ...]:
    """Bootstrap K figures of the same draws, as `bootstrap` does one: `statistics` gives (R, K)."""
    estimates = statistics(np.ones((1, samples)), np.ones((1, reference)))[0]
    rng = np.random.default_rng(seed)
    drawn_reference = _counts(rng, reference, REPLICATES)
    values = statistics(_counts(rng, samples, REPLICATES), drawn_reference)
    tail = (1 - CONFIDENCE) / 2
    spread = np.quantile(values - values.mean(0), [tail, 1 - tail], axis=0)
    low, high = estimates + spread
    return tuple(map(Interval, estimates.tolist(), low.tolist(), high.tolist()))


def bootstrap_mean(values: Floats, *, seed: int = 0) -> Interval:
    """Estimate the mean of `values` (N,) with its interval."""
    return bootstrap_means(values[:, None], seed=seed)[0]


def bootstrap_means(values: Floats, *, seed: int = 0) -> tuple[Interval, ...]:
    """Estimate the means of the columns of `values` (N, K), each with its interval."""
    return bootstrap_all(
        lambda weights, _: weights @ values / weights.sum(1)[:, None], len(values), 1, seed=seed
    )


def _counts(rng: np.random.Generator, size: int, draws: int) -> Floats:
    """Draw how often each of `size` pictures occurs in a replicate, (draws, size)."""
    return rng.multinomial(size, np.full(size, 1 / size), draws).astype(np.float64)
