"""Distances between two sets of pictures: MMD, precision and recall, spectra, and patches.

Pure functions. The kernel of MMD and its unbiased estimator, on features (N, D) float64, are those
of KID: Binkowski et al. (2018), https://arxiv.org/abs/1801.01401. Precision and recall are
Kynkaanniemi et al. (2019), https://arxiv.org/abs/1904.06991. The spectrum tells whether samples
have as much coarse and fine detail as paintings.

Patches are compared by the sliced Wasserstein distance on a Laplacian pyramid, after Karras et
al. (2018), https://arxiv.org/abs/1710.10196, section 5: 7x7 patches of each level of the pyramid
along random directions. Two things differ. Both sets are scaled by the reference's mean and
deviation, not each by its own, so that wrong contrast counts. And a direction's Wasserstein-1
distance is taken as the area between the two distribution functions, so that the sets need not be
equally large and every picture can have a weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from app.evaluation.bootstrap import Interval, Statistic, bootstrap_all
from app.images.arrays import Floats, Pixels

NEIGHBOURS: Final = 5
"""k: a picture's ball reaches to its k-th nearest neighbour."""


def polynomial_kernel(a: Floats, b: Floats) -> Floats:
    """Compute (a . b / D + 1)^3 of each row of `a` (N, D) with each of `b` (M, D), as (N, M)."""
    return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)


def squared_mmd(a: Floats, b: Floats) -> Statistic:
    """Return the unbiased squared MMD of `a` (N, D) and `b` (M, D), which may be below 0.

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
    """Average `kernel` (N, N) off its diagonal, weighted by each row of `weights` (R, N)."""
    own = weights**2 @ np.diagonal(kernel)
    pairs = weights.sum(1) ** 2 - (weights**2).sum(1)
    return np.asarray((((weights @ kernel) * weights).sum(1) - own) / pairs)


def manifolds(samples: Floats, reference: Floats, k: int = NEIGHBOURS) -> tuple[Floats, Floats]:
    """Compute precision and recall of `samples` (N, D) against `reference` (M, D), by picture.

    A set's manifold is the union of its pictures' balls.

    Returns:
        (N,) 1 where a sample lies in the reference's manifold, else 0, and (M,) 1 where a
        reference picture lies in the samples' manifold, else 0.

    Raises:
        ValueError: If a set has no k-th neighbour.
    """
    if min(len(samples), len(reference)) <= k:
        raise ValueError(f"precision and recall with k = {k} need more than {k} pictures a set")
    between = distances(samples, reference)
    in_reference = np.any(between <= _radii(reference, k), axis=1)
    in_samples = np.any(between <= _radii(samples, k)[:, None], axis=0)
    return np.asarray(in_reference, np.float64), np.asarray(in_samples, np.float64)


def _radii(features: Floats, k: int) -> Floats:
    """Measure the distance of each row to its k-th nearest other row, (N,)."""
    within = distances(features, features)
    # Rounding may leave a row a little way from itself; -1 keeps it first all the same.
    np.fill_diagonal(within, -1)
    return np.asarray(np.partition(within, k, axis=1)[:, k])


def distances(a: Floats, b: Floats) -> Floats:
    """Measure the Euclidean distances (N, M) of the rows of `a` (N, D) from those of `b` (M, D)."""
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squared, 0)))


LUMA: Final = (0.299, 0.587, 0.114)
NO_POWER: Final = 1e-9
"""The least power, given to pictures of one colour; one pixel in the middle that is a grey level
off already has 1.5e-5."""


@dataclass(frozen=True)
class Spectrum:
    """The samples' mean power against the paintings', in decibels; 0 is equal.

    Attributes:
        error: The root of the mean squared difference over the bands.
        bands: The difference in each octave; below 0 the samples have less power.
        edges: The octaves' edges in cycles a picture, one more than there are bands.
    """

    error: Interval
    bands: tuple[Interval, ...]
    edges: tuple[float, ...]


def octaves(size: int) -> tuple[float, ...]:
    """Return the edges of the bands of pictures of `size` pixels: 1, 2, 4, ... cycles a picture."""
    edges = [1.0]
    while edges[-1] * 2 < size / 2:
        edges.append(edges[-1] * 2)
    return (*edges, size / 2)


def band_powers(pictures: Pixels, edges: Sequence[float] = ()) -> Floats:
    """Compute each picture's mean power in each octave, (N, bands), from (N, S, S, 3) uint8.

    The octaves are between `edges` in cycles a picture, else between those of `octaves`.

    The power is the luma's, less its mean, under a Hann window: without the window the jump from
    one edge of the picture to the opposite one would count as detail.
    """
    size = pictures.shape[1]
    luma = pictures / 255 @ np.array(LUMA)
    window = np.hanning(size + 2)[1:-1]
    luma = (luma - luma.mean((1, 2), keepdims=True)) * window[:, None] * window
    power = np.abs(np.fft.fft2(luma)) ** 2
    frequency = np.fft.fftfreq(size, 1 / size)
    radius = np.hypot(frequency[:, None], frequency)
    edges = edges or octaves(size)
    inside = [(radius >= low) & (radius < high) for low, high in pairwise(edges)]
    powers = np.stack([power[:, mask].mean(1) for mask in inside], axis=1)
    return np.asarray(np.maximum(powers, NO_POWER))


def spectrum(samples: Pixels, reference: Pixels, *, seed: int = 0) -> Spectrum:
    """Compare the spectrum of `samples` (N, S, S, 3) with that of `reference` (M, S, S, 3)."""
    a, b = band_powers(samples), band_powers(reference)

    def error_and_bands(w_a: Floats, w_b: Floats) -> Floats:
        mean_a, mean_b = w_a @ a / w_a.sum(1)[:, None], w_b @ b / w_b.sum(1)[:, None]
        decibels = 10 * np.log10(mean_a / mean_b)
        error = np.sqrt((decibels**2).mean(1, keepdims=True))
        return np.concatenate([error, decibels], axis=1)

    error, *bands = bootstrap_all(error_and_bands, len(a), len(b), seed=seed)
    return Spectrum(error, tuple(bands), octaves(samples.shape[1]))


PATCH: Final = 7
SMALLEST_LEVEL: Final = 16
LEVELS: Final = 3
PATCHES: Final = 64
"""The number of patches cut from each picture at each level."""

DIRECTIONS: Final = 128
EDGES: Final = 128
"""Points at which a direction's distribution functions are compared."""

_CHUNK: Final = 64

KERNEL: Final = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


@dataclass(frozen=True)
class PatchDistance:
    """The mean sliced Wasserstein distance, in deviations of the reference's patches.

    Attributes:
        mean: The mean over the levels.
        levels: The distance at each level, finest first.
        sizes: The levels' sides in pixels.
    """

    mean: Interval
    levels: tuple[Interval, ...]
    sizes: tuple[int, ...]


def laplacian_pyramid(pictures: Floats) -> tuple[Floats, ...]:
    """Split `pictures` (N, S, S, C) into up to three levels, each half as large, the last low-pass.

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
    """Measure the patches' distance of `samples` (N, S, S, 3) from `reference` (M, S, S, 3)."""
    ours, theirs = laplacian_pyramid(samples / 255), laplacian_pyramid(reference / 255)
    statistics = []
    for level, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        rng = np.random.default_rng((seed, level))
        corners = rng.integers(0, b.shape[1] - PATCH + 1, (PATCHES, 2))
        patches_a, patches_b = patches_at(a, corners), patches_at(b, corners)
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
    """Draw `count` unit vectors, uniform on the sphere, as columns: (dimensions, count)."""
    directions = rng.standard_normal((dimensions, count))
    return np.asarray(directions / np.linalg.norm(directions, axis=0))


def sliced_wasserstein(a: Floats, b: Floats, directions: Floats) -> Statistic:
    """Return the statistic of the mean Wasserstein-1 distance along `directions` (D, P).

    Args:
        a: (N, m, D): m points of each of N pictures.
        b: (M, m', D): m' points of each of M pictures.
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
    """Compute each picture's distribution function along each direction, (N, P * EDGES).

    Args:
        along: (N, m, P) positions of the pictures' points.
        low: (P,) where the edges begin.
        width: (P,) how far apart the edges are.
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


def patches_at(level: Floats, corners: NDArray[np.int64]) -> Floats:
    """Cut the patches at `corners` out of `level` (N, S, S, C): (N, patches, PATCH, PATCH, C)."""
    cut = [level[:, y : y + PATCH, x : x + PATCH] for y, x in corners]
    return np.stack(cut, axis=1)


def _rows(patches: Floats) -> Floats:
    return patches.reshape(*patches.shape[:2], -1)


def _blur(pictures: Floats) -> Floats:
    """Apply the binomial filter along both sides, mirrored at the edges."""
    rows = correlate1d(pictures, KERNEL, axis=1, mode="mirror")
    return np.asarray(correlate1d(rows, KERNEL, axis=2, mode="mirror"))


def _enlarge(pictures: Floats, size: int) -> Floats:
    """Double the pictures' side by putting zeros in between and filtering."""
    spread = np.zeros((len(pictures), size, size, pictures.shape[-1]))
    spread[:, ::2, ::2] = pictures
    return 4 * _blur(spread)
