"""Did it copy? An index of the training pictures that finds the nearest one to any picture.

The index holds no pixel: for each picture a direction in the bottleneck of the model's own
U-Net (its principal components, each scaled to equal variance, as a unit vector of bytes) and a
perceptual hash. How near is near is told by pictures that the model has never seen: their
distances to their own nearest training pictures are kept as the control.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from app.training.features import FeatureSpace, Pixels
from app.training.hashes import Hashes, differing_bits, perceptual_hashes
from app.training.intervals import Floats
from app.training.reference import Painting

Control = Literal["held-out", "leave-one-out"]

LEAST: Final = 16
"""Pictures below which nearness means nothing."""

COMPONENTS: Final = 128
PICTURES_A_COMPONENT: Final = 4
"""Fewer pictures than this for each component, and its scale would be their noise."""

PCA_PICTURES: Final = 2048
LEAVE_ONE_OUT: Final = 512

COPY_RATIO: Final = 0.6
"""Nearest over second-nearest distance. Pictures that are no copies of either have about 1; a
training picture that was blurred, darkened or made noisy stays below this."""

COPY_DISTANCE: Final = 0.5
"""Of the control's median; finds a copy of what the training set has twice, whose ratio is 1."""

COPY_BITS: Final = 6
"""Of 64, differing bits of the perceptual hash, which knows nothing of the network."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest training picture of each of Q pictures.

    Attributes:
        nearest: (Q,) its place in the index.
        distance: (Q,) in [0, 2], between unit vectors; of the picture or its mirror image.
        second: (Q,) the distance of the nearest but it.
        mirrored: (Q,) whether the mirror image was nearer.
        bits: (Q,) how many bits of its hash differ, of 64.
        copies: (Q,) whether the picture is taken for a copy, by any of the three rules above.
    """

    nearest: NDArray[np.int64]
    distance: Floats
    second: Floats
    mirrored: NDArray[np.bool_]
    bits: NDArray[np.int64]
    copies: NDArray[np.bool_]

    @property
    def ratio(self) -> Floats:
        """(Q,) nearest over second-nearest distance: about 1, or near 0 for a copy."""
        return self.distance / self.second


@dataclass(frozen=True)
class Nearest:
    """The nearest training picture to one picture, and how near that is.

    Attributes:
        row: The training picture's place in the index.
        title: What it is called.
        artist: Who painted it; empty where nobody is named.
        distance: In [0, 2]; 0 is the same.
        percentile: The share of pictures never seen, in percent, that are as near to theirs.
            50 is ordinary, 0 is nearer than all of them.
        ratio: Its distance over that of the second-nearest.
        bits: How many of 64 bits of their perceptual hashes differ.
        mirrored: Whether its mirror image is meant.
        is_copy: Whether the picture is taken for a copy of it.
        control: What the percentile is of: pictures held out, or training pictures against all
            the others where none were held out.
    """

    row: int
    title: str
    artist: str
    distance: float
    percentile: float
    ratio: float
    bits: int
    mirrored: bool
    is_copy: bool
    control: Control


@dataclass(frozen=True, eq=False)
class NoveltyIndex:
    """What is kept of N training pictures; `app.training.novelty_files` writes and reads it.

    Attributes:
        weights: sha256 of the weights file whose features these are.
        mean: (F,) float16, the features' mean.
        basis: (F, D) float16, from features to scaled components.
        codes: (N, D) int8, unit vectors times a common factor.
        hashes: (N, 8) uint8.
        control: (M,) float32, the distances of pictures never seen, ascending.
        control_ratio: (M,) float32, their ratios to the second-nearest, in the same order.
        control_kind: Where those come from.
        paintings: The N pictures' titles and artists.
    """

    weights: str
    mean: NDArray[np.float16]
    basis: NDArray[np.float16]
    codes: NDArray[np.int8]
    hashes: Hashes
    control: NDArray[np.float32]
    control_ratio: NDArray[np.float32]
    control_kind: Control
    paintings: tuple[Painting, ...]

    def neighbours(self, pictures: Pixels, features: FeatureSpace) -> Neighbours:
        """The nearest training picture of each of `pictures` (Q, S, S, 3), or of its mirror image.

        Args:
            pictures: Of the model's size.
            features: The bottleneck of the model that the index was built with.
        """
        count = len(pictures)
        both = np.concatenate([pictures, pictures[:, :, ::-1]])
        units = _project(features(both), self.mean, self._wide_basis)
        hashes = perceptual_hashes(both)
        bits = _fewest_bits(hashes[:count], hashes[count:], self.hashes)
        # A copy that the network doesn't know again is the one that its hash tells.
        alike = bits.argmin(1)
        told = bits[np.arange(count), alike] <= COPY_BITS
        apart = _apart(units[:count], units[count:], self._units, named=np.where(told, alike, -1))
        copies = (
            (apart.first < COPY_RATIO * apart.second)
            | (apart.first < COPY_DISTANCE * np.median(self.control))
            | told
        )
        own_bits = bits[np.arange(count), apart.nearest]
        return Neighbours(
            apart.nearest, apart.first, apart.second, apart.mirrored, own_bits, copies
        )

    def nearest(self, pictures: Pixels, features: FeatureSpace) -> tuple[Nearest, ...]:
        """The nearest training picture to each of `pictures` (Q, S, S, 3), of the model's size."""
        found = self.neighbours(pictures, features)
        percentiles = self.percentiles(found.distance)
        return tuple(
            Nearest(
                row=int(row),
                title=self.paintings[row].title,
                artist=self.paintings[row].artist,
                distance=float(found.distance[i]),
                percentile=float(percentiles[i]),
                ratio=float(found.ratio[i]),
                bits=int(found.bits[i]),
                mirrored=bool(found.mirrored[i]),
                is_copy=bool(found.copies[i]),
                control=self.control_kind,
            )
            for i, row in enumerate(found.nearest)
        )

    def percentiles(self, distance: Floats) -> Floats:
        """The share in percent of the control that is as near as `distance` (Q,) or nearer."""
        at_most = np.searchsorted(self.control, distance, side="right")
        return np.asarray(100 * at_most / len(self.control))

    @cached_property
    def _wide_basis(self) -> NDArray[np.float32]:
        return self.basis.astype(np.float32)

    @cached_property
    def _units(self) -> NDArray[np.float32]:
        return _normalised(self.codes.astype(np.float32))


def build_index(
    pictures: Pixels,
    paintings: Sequence[Painting],
    features: FeatureSpace,
    *,
    weights: str,
    held_out: Pixels | None = None,
) -> NoveltyIndex:
    """Index the training `pictures` (N, S, S, 3), without their pixels.

    Args:
        pictures: At least LEAST, of the model's size.
        paintings: What they are called.
        features: The model's own bottleneck, see `bottleneck_space`.
        weights: sha256 of the model's weights file, so that a stale index is noticed.
        held_out: (M, S, S, 3) never trained on, for the control. Without any, up to 512 training
            pictures are each compared with all the others.

    Raises:
        ValueError: If there are too few pictures, or not as many names.
    """
    if len(pictures) < LEAST or len(pictures) != len(paintings):
        raise ValueError(f"need {LEAST} pictures, a name each: {len(pictures)}, {len(paintings)}")
    seen = features(pictures)
    mean = seen.mean(0).astype(np.float16)
    basis = _whitening(seen[_spread(len(seen), PCA_PICTURES)] - mean).astype(np.float16)
    units = _project(seen, mean, basis)
    codes = np.rint(units * (127 / np.abs(units).max())).astype(np.int8)
    stored = _normalised(codes.astype(np.float32))
    own: NDArray[np.int64] | None = None
    if held_out is None:
        own = _spread(len(pictures), LEAVE_ONE_OUT)
    control = pictures[own] if held_out is None else held_out
    mirrored = features(np.ascontiguousarray(control[:, :, ::-1]))
    plain = seen[own] if held_out is None else features(held_out)
    apart = _apart(_project(plain, mean, basis), _project(mirrored, mean, basis), stored, own=own)
    order = np.argsort(apart.first)
    return NoveltyIndex(
        weights=weights,
        mean=mean,
        basis=basis,
        codes=codes,
        hashes=perceptual_hashes(pictures),
        control=apart.first[order].astype(np.float32),
        control_ratio=(apart.first / apart.second)[order].astype(np.float32),
        control_kind="held-out" if held_out is not None else "leave-one-out",
        paintings=tuple(paintings),
    )


@dataclass(frozen=True, eq=False)
class _Apart:
    """(Q,) each: the nearest row, its distance, that of the nearest but it, where mirrored."""

    nearest: NDArray[np.int64]
    first: Floats
    second: Floats
    mirrored: NDArray[np.bool_]


def _apart(
    plain: NDArray[np.float32],
    mirrored: NDArray[np.float32],
    stored: NDArray[np.float32],
    *,
    own: NDArray[np.int64] | None = None,
    named: NDArray[np.int64] | None = None,
) -> _Apart:
    """Search `stored` (N, D) for the rows of `plain` (Q, D) or `mirrored`.

    Args:
        plain: Of the pictures.
        mirrored: Of their mirror images.
        stored: The index.
        own: (Q,) the row that is the picture itself, which isn't looked at.
        named: (Q,) the row that is the nearest for another reason; -1 to search.
    """
    cosine, cosine_mirrored = plain @ stored.T, mirrored @ stored.T
    best = np.maximum(cosine, cosine_mirrored)
    rows = np.arange(len(best))
    if own is not None:
        best[rows, own] = -np.inf
    nearest = best.argmax(1)
    if named is not None:
        nearest = np.where(named < 0, nearest, named)
    flipped = cosine_mirrored[rows, nearest] > cosine[rows, nearest]
    first = _distance(best[rows, nearest])
    best[rows, nearest] = -np.inf
    return _Apart(nearest, first, _distance(best.max(1)), flipped)


def _distance(cosine: NDArray[np.float32]) -> Floats:
    """Between unit vectors."""
    return np.sqrt(np.maximum(2 - 2 * cosine, 1e-12)).astype(np.float64)


def _fewest_bits(plain: Hashes, mirrored: Hashes, stored: Hashes) -> NDArray[np.int64]:
    """(Q, N): in how many bits `plain` (Q, 8) or `mirrored` differs from `stored` (N, 8)."""
    return np.stack(
        [
            np.minimum(differing_bits(a, stored), differing_bits(b, stored))
            for a, b in zip(plain, mirrored, strict=True)
        ]
    )


def _whitening(centred: Floats) -> Floats:
    """(F, D): onto the principal components of `centred` (N, F), scaled to equal variance."""
    count = len(centred)
    components = min(COMPONENTS, count // PICTURES_A_COMPONENT)
    # The Gram matrix has the same eigenvalues as the covariance and is the smaller one.
    values, vectors = np.linalg.eigh(centred @ centred.T / count)
    order = np.argsort(-values)[:components]
    order = order[values[order] > 1e-9 * values[order[0]]]
    basis = centred.T @ (vectors[:, order] / values[order])
    # Only directions matter later, so the common factor is free to suit 16 bits.
    return np.asarray(basis / np.abs(basis).max())


def _project(
    features: Floats, mean: NDArray[np.float16], basis: NDArray[np.float16] | NDArray[np.float32]
) -> NDArray[np.float32]:
    """The unit vectors (N, D) of `features` (N, F)."""
    centred = (features - mean).astype(np.float32)
    return _normalised(centred @ basis.astype(np.float32, copy=False))


def _normalised(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def _spread(total: int, most: int) -> NDArray[np.int64]:
    """At most `most` of the indices [0, total), evenly spread."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(np.int64))
