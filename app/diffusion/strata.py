"""A sum over all timesteps estimated from a few of them, with an error that is earned.

The steps 1 to T - 1 are cut into strata, narrow where t is small and the bound's terms change
fast. Two steps are drawn from each: their difference shows how much the stratum varies.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Stratum:
    """`width` neighbouring timesteps, represented by those of them that are in `steps`."""

    width: int
    steps: tuple[int, ...]

    @property
    def weight(self) -> float:
        """How many timesteps each of `steps` stands for."""
        return self.width / len(self.steps)

    def variance(self, values: Sequence[float], noise: Sequence[float]) -> float:
        """The variance of weight * sum(values) as an estimate of the stratum's sum.

        Args:
            values: The mean over noise draws at each of `steps`.
            noise: That mean's own variance, from the spread of the draws.

        Two-stage sampling (Cochran 1977, eq. 11.24): the first part is the choice of steps, and
        vanishes where all were taken; the second is the noise.
        """
        taken = len(values)
        drawn = self.weight * sum(noise)
        if taken == self.width:
            return drawn
        spread = float(np.var(values, ddof=1))
        return self.width**2 / taken * (1 - taken / self.width) * spread + drawn


def all_steps(num_timesteps: int) -> tuple[Stratum, ...]:
    """Every step from T - 1 down to 1, each for itself."""
    return tuple(Stratum(1, (t,)) for t in range(num_timesteps - 1, 0, -1))


def strata(num_timesteps: int, terms: int, seed: int) -> tuple[Stratum, ...]:
    """About `terms` steps out of T - 1, two from each stratum, latest first.

    Raises:
        ValueError: If not 2 <= terms < T.
    """
    if not 2 <= terms < num_timesteps:
        raise ValueError(f"need 2 <= terms < {num_timesteps}, got {terms}")
    count = terms // 2
    random = np.random.default_rng(seed)
    edges = [1]
    for i in range(1, count + 1):
        wanted = round(math.exp(i / count * math.log(num_timesteps)))
        latest = num_timesteps - 2 * (count - i)
        edges.append(min(max(wanted, edges[-1] + 2), latest))
    found = []
    for low, high in pairwise(edges):
        steps = sorted(random.choice(np.arange(low, high), 2, replace=False).tolist(), reverse=True)
        found.append(Stratum(high - low, tuple(steps)))
    return tuple(reversed(found))
