"""A linear probe: is a class to be recognised, in real paintings and in samples of it?

For each class a ridge regression on features, this class against all others, both with half of the
weight. Paintings may have several classes, a painter and a genre, so each class has a probe of its
own. A sample may be recognised as often as a real painting is by a probe that hasn't seen it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.evaluation.bootstrap import Interval, bootstrap, bootstrap_mean
from app.images.arrays import Floats

FOLDS: Final = 5

RIDGE: Final = 0.1
"""The penalty on a weight, of features that have unit variance."""

LEAST_OF_CLASS: Final = 2 * FOLDS
"""The fewest paintings of a class, and of all others, by which it can be told from them."""

Members = NDArray[np.bool_]


@dataclass(frozen=True)
class ProbeFigures:
    """How well a class is recognised.

    Attributes:
        paintings: How many real ones of it there are.
        real: The share of them that are recognised, each by a probe that hasn't seen it.
        others: The share of other paintings that are taken for the class, likewise.
        samples: The share of the class's samples that are recognised.
        ratio: The samples' share over the real ones'.
    """

    paintings: int
    real: Interval
    others: Interval
    samples: Interval
    ratio: Interval


class ClassProbe:
    """The probes of K classes.

    Args:
        features: (N, D), of real paintings.
        members: (N, K), which classes each of them has.
        seed: The seed of the folds and the bootstrap.
    """

    def __init__(self, features: Floats, members: Members, seed: int = 0) -> None:
        self._seed, self._members = seed, members
        counts = members.sum(0)
        self._known = np.minimum(counts, len(members) - counts) >= LEAST_OF_CLASS
        self._centre, spread = features.mean(0), features.std(0)
        self._spread = np.where(spread > 0, spread, 1)
        x = self._rows(features)
        self._weights = _fit(x, members)
        self._unseen = np.zeros(members.shape, dtype=bool)
        folds = np.random.default_rng(seed).permutation(len(x)) % FOLDS
        for fold in range(FOLDS):
            out = folds == fold
            self._unseen[out] = x[out] @ _fit(x[~out], members[~out]) > 0

    def figures(self, features: Floats, k: int) -> ProbeFigures | None:
        """Judge the samples of class `k` by their `features` (M, D); None if it has too few."""
        if not self._known[k]:
            return None
        member = self._members[:, k]
        real, others = (self._unseen[rows, k].astype(np.float64) for rows in (member, ~member))
        found = (self._rows(features) @ self._weights[:, k] > 0).astype(np.float64)

        def ratio(of_samples: Floats, of_real: Floats) -> Floats:
            shares = (of_samples @ found / len(found), of_real @ real / len(real))
            return np.asarray(shares[0] / np.maximum(shares[1], 1 / len(real)))

        return ProbeFigures(
            paintings=len(real),
            real=bootstrap_mean(real, seed=self._seed),
            others=bootstrap_mean(others, seed=self._seed),
            samples=bootstrap_mean(found, seed=self._seed),
            ratio=bootstrap(ratio, len(found), len(real), seed=self._seed),
        )

    def _rows(self, features: Floats) -> Floats:
        """Bring features to unit variance, with a constant beside them."""
        scaled = (features - self._centre) / self._spread
        return np.column_stack([scaled, np.ones(len(scaled))])


def _fit(x: Floats, members: Members) -> Floats:
    """Return the weights (D + 1, K) of a ridge regression for each class; none on the constant."""
    penalty = RIDGE * np.eye(x.shape[1])
    penalty[-1, -1] = 0
    fitted = []
    for member in members.T:
        share = member.mean()
        weights = np.where(member, 0.5 / max(share, 1e-9), 0.5 / max(1 - share, 1e-9)) / len(x)
        weighted = x * weights[:, None]
        # A class without paintings in a fold, or with nothing else, has a singular system.
        solved = np.linalg.lstsq(weighted.T @ x + penalty, weighted.T @ np.where(member, 1, -1))
        fitted.append(solved[0])
    return np.stack(fitted, axis=1)
