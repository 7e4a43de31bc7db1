"""A search without derivatives: CMA-ES with a diagonal covariance.

Ros & Hansen (2008), "A simple modification in CMA-ES achieving linear time and space complexity",
with the constants of Hansen (2016), https://arxiv.org/abs/1604.00772. With a few dozen numbers and
a few hundred measurements, variances alone are what can be learned.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from app.images.arrays import Floats


@dataclass(frozen=True, eq=False)
class Evolution:
    """The state of a search for the least of a function of n numbers.

    Attributes:
        mean: The middle of the next candidates, (n,).
        sigma: The step size.
        variances: Those of the candidates in units of sigma, (n,).
        path: The mean's evolution path, (n,).
        sigma_path: The same in units of the candidates' deviations, (n,).
        generation: How many generations there were.
    """

    mean: Floats
    sigma: float
    variances: Floats
    path: Floats
    sigma_path: Floats
    generation: int = 0

    @classmethod
    def starting(cls, mean: Floats, sigma: float) -> Self:
        """Start a search at `mean` (n,) with candidates of deviation `sigma`."""
        zeros = np.zeros_like(mean)
        return cls(mean, sigma, np.ones_like(mean), zeros, zeros)

    @property
    def population(self) -> int:
        """The number of candidates of a generation."""
        return 4 + int(3 * math.log(len(self.mean)))

    def candidates(self, seed: int) -> Floats:
        """Draw the generation's candidates, (population, n), from `seed` and its number alone."""
        rng = np.random.default_rng((seed, self.generation))
        drawn = rng.standard_normal((self.population, len(self.mean)))
        return np.asarray(self.mean + self.sigma * np.sqrt(self.variances) * drawn)

    def after(self, candidates: Floats, values: Sequence[float]) -> Self:
        """Return the state after the `candidates` (k, n) were found to have the `values`."""
        n, parents = len(self.mean), len(candidates) // 2
        weights = math.log(parents + 0.5) - np.log(np.arange(1, parents + 1))
        weights /= weights.sum()
        effective = 1 / float((weights**2).sum())
        best = candidates[np.argsort(values, kind="stable")[:parents]]
        steps = (best - self.mean) / self.sigma
        moved = weights @ steps

        share = (effective + 2) / (n + effective + 5)
        sigma_path = (1 - share) * self.sigma_path + math.sqrt(
            share * (2 - share) * effective
        ) * moved / np.sqrt(self.variances)
        length = float(np.linalg.norm(sigma_path))
        expected = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))
        damping = 1 + 2 * max(0.0, math.sqrt((effective - 1) / (n + 1)) - 1) + share

        kept = 1 - (1 - share) ** (2 * (self.generation + 1))
        straight = length / math.sqrt(kept) < (1.4 + 2 / (n + 1)) * expected
        along = (4 + effective / n) / (n + 4 + 2 * effective / n)
        path = (1 - along) * self.path
        if straight:
            path = path + math.sqrt(along * (2 - along) * effective) * moved

        # A diagonal has so many fewer numbers to learn that it is learned (n + 2) / 3 times faster.
        faster = (n + 2) / 3
        rank_one = min(0.5, faster * 2 / ((n + 1.3) ** 2 + effective))
        rank_mu = min(
            1 - rank_one, faster * 2 * (effective - 2 + 1 / effective) / ((n + 2) ** 2 + effective)
        )
        held = 0.0 if straight else along * (2 - along)
        variances = (
            (1 - rank_one - rank_mu + rank_one * held) * self.variances
            + rank_one * path**2
            + rank_mu * (weights @ steps**2)
        )
        return replace(
            self,
            mean=self.mean + self.sigma * moved,
            sigma=self.sigma * math.exp(share / damping * (length / expected - 1)),
            variances=variances,
            path=path,
            sigma_path=sigma_path,
            generation=self.generation + 1,
        )
