"""Distances of many sets of samples from the same paintings, whose side is computed once.

They are the panel's (app/evaluation/metrics), without its intervals: a search compares hundreds of
sets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.evaluation.bootstrap import Interval, bootstrap
from app.evaluation.metrics import (
    PATCH,
    PATCHES,
    laplacian_pyramid,
    patch_distance,
    patches_at,
    polynomial_kernel,
    random_directions,
    squared_mmd,
)
from app.images.arrays import Floats, Pixels
from app.novelty.index import FeatureSpace

QUANTILES: Final = 512
"""At how many quantiles two distributions along a direction are compared."""


class KernelDistance:
    """The unbiased squared MMD of samples from one reference, `features` (M, D)."""

    def __init__(self, features: Floats) -> None:
        self._reference, self._within = features, _mean_of_pairs(features)

    def __call__(self, features: Floats) -> float:
        """Compute it for samples of the `features` (N, D)."""
        between = float(polynomial_kernel(features, self._reference).mean())
        return _mean_of_pairs(features) + self._within - 2 * between


def _mean_of_pairs(features: Floats) -> float:
    kernel, count = polynomial_kernel(features, features), len(features)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


class PatchQuantiles:
    """The mean sliced Wasserstein distance of samples' patches from one reference's.

    Both are cut at the places and seen along the directions of `patch_distance`. The reference is
    (M, S, S, 3) uint8.
    """

    def __init__(self, reference: Pixels, *, seed: int = 0) -> None:
        self._levels = []
        for level, pictures in enumerate(laplacian_pyramid(reference / 255)):
            rng = np.random.default_rng((seed, level))
            corners = rng.integers(0, pictures.shape[1] - PATCH + 1, (PATCHES, 2))
            patches = patches_at(pictures, corners)
            mean, deviation = patches.mean((0, 1, 2, 3)), patches.std((0, 1, 2, 3))
            deviation = np.where(deviation > 0, deviation, 1)
            directions = random_directions(rng, PATCH * PATCH * pictures.shape[-1])
            quantiles = _quantiles((patches - mean) / deviation, directions)
            self._levels.append((corners, mean, deviation, directions, quantiles))

    def __call__(self, samples: Pixels) -> float:
        """Compute it for `samples` (N, S, S, 3) uint8, in deviations of the reference's patches."""
        distances = []
        pyramid = laplacian_pyramid(samples / 255)
        for pictures, level in zip(pyramid, self._levels, strict=True):
            corners, mean, deviation, directions, theirs = level
            ours = _quantiles((patches_at(pictures, corners) - mean) / deviation, directions)
            distances.append(np.abs(ours - theirs).mean())
        return float(np.mean(distances))


def _quantiles(patches: Floats, directions: Floats) -> Floats:
    """Compute quantiles of `patches` (N, m, P, P, C) along each of `directions` (D, K)."""
    along = np.sort(patches.reshape(-1, len(directions)) @ directions, axis=0)
    places = (np.arange(QUANTILES) + 0.5) / QUANTILES * (len(along) - 1)
    return np.asarray(along[np.rint(places).astype(np.int64)])


@dataclass(frozen=True)
class Score:
    """How far samples are from paintings: the least is best.

    Attributes:
        parts: Each distance by its name, in widths of its floor's 95% interval.
    """

    parts: Mapping[str, float]

    @property
    def total(self) -> float:
        """The sum of the parts."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        """Write it: "3.10 (style 1.00, random 1.20, patches 0.90)"."""
        parts = ", ".join(f"{name} {value:.2f}" for name, value in self.parts.items())
        return f"{self.total:.3f} ({parts})"


class QuickJudge:
    """Scores sets of samples against the same paintings.

    The unit of each distance is the width of the 95% interval that it has between two sets of
    paintings, of as many as the samples have: what chance alone may do to it.

    Args:
        paintings: (M, S, S, 3) uint8.
        spaces: The feature spaces, by name.
        count: How many samples a set has.
        seed: The seed of the bootstrap, the patches and the directions.
    """

    def __init__(
        self, paintings: Pixels, spaces: Mapping[str, FeatureSpace], count: int, seed: int = 0
    ) -> None:
        self._spaces, self._kernels = dict(spaces), dict[str, KernelDistance]()
        order = np.random.default_rng(seed).permutation(len(paintings))
        half = min(count, len(paintings) // 2)
        one, other = order[:half], order[half : 2 * half]
        self.units = dict[str, float]()
        for name, space in self._spaces.items():
            features = space(paintings)
            self._kernels[name] = KernelDistance(features)
            floor = squared_mmd(features[one], features[other])
            self.units[name] = _width(bootstrap(floor, half, half, seed=seed))
        self._patches = PatchQuantiles(paintings, seed=seed)
        floor_patches = patch_distance(paintings[one], paintings[other], seed=seed)
        self.units["patches"] = _width(floor_patches.mean)

    def score(self, samples: Pixels) -> Score:
        """Score `samples` (N, S, S, 3) uint8."""
        found = {
            name: kernel(self._spaces[name](samples)) for name, kernel in self._kernels.items()
        }
        found["patches"] = self._patches(samples)
        return Score({name: value / self.units[name] for name, value in found.items()})


def _width(interval: Interval) -> float:
    """Return an interval's width, or 1 where it has none."""
    return interval.high - interval.low or 1.0
