"""Patches: the sliced Wasserstein distance on a Laplacian pyramid.

After Karras et al. (2018), https://arxiv.org/abs/1710.10196, section 5: 7x7 patches of each
level of the pyramid are compared along random directions. Two things differ. Both sets are
scaled by the reference's mean and deviation, not each by its own, so that wrong contrast counts.
And a direction's Wasserstein-1 distance is taken as the area between the two distribution
functions, so that the sets need not be equally large and every picture can have a weight.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.training.features import Pixels
from app.training.intervals import Floats, Interval, Statistic, bootstrap_all

PATCH: Final = 7
SMALLEST_LEVEL: Final = 16
LEVELS: Final = 3
PATCHES: Final = 64
"""Patches of a picture and level."""

DIRECTIONS: Final = 128
EDGES: Final = 128
"""Points at which a direction's distribution functions are compared."""

_CHUNK: Final = 64

KERNEL: Final = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


@dataclass(frozen=True)
class PatchDistance:
    """The mean sliced Wasserstein distance, in deviations of the reference's patches.

    Attributes:
        mean: Over the levels.
        levels: Of each level, finest first.
        sizes: The levels' sides in pixels.
    """

    mean: Interval
    levels: tuple[Interval, ...]
    sizes: tuple[int, ...]


def laplacian_pyramid(pictures: Floats) -> tuple[Floats, ...]:
    """Up to three levels of `pictures` (N, S, S, C), each half as large; the last is low-pass.

    Raises:
        ValueError: If the pictures are smaller than a patch.
    """
    if pictures.shape[1] < PATCH:
        raise ValueError(f"patches of {PATCH} px need pictures of at least that size")
    levels: list[Floats] = []
    current = pictures
    while len(levels) < LEVELS - 1 and current.shape[1] >= 2 * SMALLEST_LEVEL:
        smaller = _blur(current)[:, ::2, ::2]
        levels.append(current - _enlarge(smaller, current.shape[1]))
        current = smaller
    return (*levels, current)


def patch_distance(samples: Pixels, reference: Pixels, *, seed: int = 0) -> PatchDistance:
    """The patches' distance between `samples` (N, S, S, 3) and `reference` (M, S, S, 3)."""
    ours, theirs = laplacian_pyramid(samples / 255), laplacian_pyramid(reference / 255)
    statistics = []
    for level, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        rng = np.random.default_rng((seed, level))
        corners = rng.integers(0, b.shape[1] - PATCH + 1, (PATCHES, 2))
        patches_a, patches_b = _patches(a, corners), _patches(b, corners)
        mean, deviation = patches_b.mean((0, 1, 2, 3)), patches_b.std((0, 1, 2, 3))
        deviation = np.where(deviation > 0, deviation, 1)
        directions = random_directions(rng, PATCH * PATCH * b.shape[-1])
        statistics.append(
            sliced_wasserstein(
                _rows((patches_a - mean) / deviation),
                _rows((patches_b - mean) / deviation),
                directions,
            )
        )

    def mean_and_levels(w_a: Floats, w_b: Floats) -> Floats:
        levels = np.stack([one(w_a, w_b) for one in statistics], axis=1)
        return np.concatenate([levels.mean(1, keepdims=True), levels], axis=1)

    mean, *levels = bootstrap_all(mean_and_levels, len(samples), len(reference), seed=seed)
    return PatchDistance(mean, tuple(levels), tuple(level.shape[1] for level in theirs))


def random_directions(rng: np.random.Generator, dimensions: int, count: int = DIRECTIONS) -> Floats:
    """`count` unit vectors of `dimensions` entries, uniform on the sphere, (dimensions, count)."""
    directions = rng.standard_normal((dimensions, count))
    return np.asarray(directions / np.linalg.norm(directions, axis=0))


def sliced_wasserstein(a: Floats, b: Floats, directions: Floats) -> Statistic:
    """The mean Wasserstein-1 distance along `directions` (D, P).

    Args:
        a: (N, m, D): m points of each of N pictures.
        b: (M, m', D).
        directions: Unit vectors, as columns.
    """
    along_a, along_b = a @ directions, b @ directions
    low = np.minimum(along_a.min((0, 1)), along_b.min((0, 1)))
    high = np.maximum(along_a.max((0, 1)), along_b.max((0, 1)))
    width = (high - low) / (EDGES - 1)
    width = np.where(width > 0, width, 1)
    cdf_a, cdf_b = _distribution(along_a, low, width), _distribution(along_b, low, width)

    def statistic(w_a: Floats, w_b: Floats) -> Floats:
        share_a = (w_a / w_a.sum(1, keepdims=True)).astype(np.float32) @ cdf_a
        share_b = (w_b / w_b.sum(1, keepdims=True)).astype(np.float32) @ cdf_b
        gaps = np.abs(share_a - share_b).reshape(len(w_a), -1, EDGES).sum(2, dtype=np.float64)
        return np.asarray((gaps * width).mean(1))

    return statistic


def _distribution(along: Floats, low: Floats, width: Floats) -> NDArray[np.float32]:
    """Each picture's distribution function along each direction, (N, P * EDGES).

    Args:
        along: (N, m, P) positions of its points.
        low: (P,) where the edges begin.
        width: (P,) how far apart they are.
    """
    parts = (along[i : i + _CHUNK] for i in range(0, len(along), _CHUNK))
    return np.concatenate([_distribution_of_few(part, low, width) for part in parts])


def _distribution_of_few(along: Floats, low: Floats, width: Floats) -> NDArray[np.float32]:
    count, points, directions = along.shape
    # A point counts from the nearest edge on, which errs by as much up as down.
    first = np.rint((along - low) / width).astype(np.int64)
    place = first + EDGES * np.arange(directions)
    place += directions * EDGES * np.arange(count)[:, None, None]
    found = np.bincount(place.ravel(), minlength=count * directions * EDGES)
    shares = found.reshape(count, directions, EDGES).cumsum(2) / points
    return np.asarray(shares.reshape(count, -1), dtype=np.float32)


def _patches(level: Floats, corners: NDArray[np.int64]) -> Floats:
    """(N, patches, PATCH, PATCH, C) of `level` (N, S, S, C)."""
    cut = [level[:, y : y + PATCH, x : x + PATCH] for y, x in corners]
    return np.stack(cut, axis=1)


def _rows(patches: Floats) -> Floats:
    return patches.reshape(*patches.shape[:2], -1)


def _blur(pictures: Floats) -> Floats:
    return _along(_along(pictures, 1), 2)


def _along(pictures: Floats, axis: int) -> Floats:
    """The binomial filter along `axis`, mirrored at the edges."""
    pad = [(2, 2) if i == axis else (0, 0) for i in range(4)]
    padded = np.pad(pictures, pad, mode="reflect")
    size = pictures.shape[axis]
    parts = (w * padded.take(range(i, i + size), axis) for i, w in enumerate(KERNEL))
    return np.asarray(sum(parts))


def _enlarge(pictures: Floats, size: int) -> Floats:
    """Twice as large, by zeros in between and the filter."""
    spread = np.zeros((len(pictures), size, size, pictures.shape[-1]))
    spread[:, ::2, ::2] = pictures
    return 4 * _blur(spread)
