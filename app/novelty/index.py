"""Did it copy? An index of the training pictures that finds the nearest one to any picture.

The index holds no pixel: for each picture a direction in the bottleneck of the model's own
U-Net (its principal components, each scaled to equal variance, as a unit vector of bytes) and a
perceptual hash, 64 bits that stay when a picture is made smaller, blurred or compressed. How near
is near is told by pictures that the model has never seen: their distances to their own nearest
training pictures are kept as the control.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from app.datasets.labels import Painting
from app.errors import StudioError
from app.files import write_bytes
from app.images.arrays import Floats, Pixels
from app.images.encoding import image_of
from app.images.reading import square

FeatureSpace = Callable[[Pixels], Floats]
"""The features (N, F) of pictures (N, S, S, 3)."""

SIDE: Final = 32
KEPT: Final = 8
"""Coefficients kept in each direction of the cosine transform, coarsest first: 8 x 8 bits."""

Hashes = NDArray[np.uint8]


def perceptual_hashes(pictures: Pixels) -> Hashes:
    """Compute the hashes of `pictures` (N, S, S, 3), as (N, 8) uint8.

    Each bit tells whether a coefficient of the grey picture's cosine transform is above the
    median of its coefficients (pHash).
    """
    small = [square(image_of(picture).convert("L"), SIDE) for picture in pictures]
    grey = np.stack([np.asarray(each, dtype=np.float64) for each in small])
    basis = _cosines()
    low = (basis @ grey @ basis.T).reshape(len(grey), -1)
    # The first coefficient is the brightness, which says nothing of the picture's shape.
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
    return np.packbits(bits, axis=1)


def differing_bits(a: Hashes, b: Hashes) -> NDArray[np.int64]:
    """Count in how many of 64 bits the rows of `a` (..., 8) differ from those of `b` (..., 8)."""
    return np.asarray(np.unpackbits(a ^ b, axis=-1).sum(-1, dtype=np.int64))


def _cosines() -> NDArray[np.float64]:
    """Return the coarsest rows of the discrete cosine transform (DCT-II), (KEPT, SIDE)."""
    k, n = np.arange(KEPT)[:, None], np.arange(SIDE)
    return np.asarray(np.cos(np.pi * k * (2 * n + 1) / (2 * SIDE)))


Control = Literal["held-out", "leave-one-out"]

LEAST: Final = 16
"""The fewest training pictures for which nearness means anything."""

COMPONENTS: Final = 128
PICTURES_A_COMPONENT: Final = 4
"""The fewest pictures for each component; with fewer, the component's scale would be noise."""

PCA_PICTURES: Final = 2048
LEAVE_ONE_OUT: Final = 512

COPY_RATIO: Final = 0.6
"""The ratio of nearest to second-nearest distance below which a picture is taken for a copy. The
ratio is about 1 for pictures that are no copies, and below this for training pictures that were
blurred, darkened or made noisy."""

COPY_DISTANCE: Final = 0.5
"""The distance, over the control's median, below which a picture is taken for a copy. It finds
copies of a picture that the training set has twice, whose ratio is 1."""

COPY_BITS: Final = 6
"""The most bits of 64 in which a copy's perceptual hash differs; the network has no part in it."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest training picture of each of Q pictures.

    Attributes:
        nearest: (Q,) the training picture's place in the index.
        distance: (Q,) in [0, 2], between unit vectors; of the picture or its mirror image.
        second: (Q,) the distance of the second-nearest training picture.
        copies: (Q,) whether the picture is taken for a copy, by any of the three rules above.
    """

    nearest: NDArray[np.int64]
    distance: Floats
    second: Floats
    copies: NDArray[np.bool_]

    @property
    def ratio(self) -> Floats:
        """The nearest over the second-nearest distance, (Q,): about 1, or near 0 for a copy."""
        return self.distance / self.second

    def of(self, which: NDArray[np.bool_]) -> "Neighbours":
        """Return the neighbours of some of the pictures."""
        nearest, distance = self.nearest[which], self.distance[which]
        return Neighbours(nearest, distance, self.second[which], self.copies[which])


@dataclass(frozen=True)
class Nearest:
    """The nearest training picture to one picture, and how near that is.

    Attributes:
        row: The training picture's place in the index.
        title: The training picture's title.
        artist: The training picture's painter; empty where nobody is named.
        percentile: The share of pictures never seen, in percent, that are as near to their own
            nearest training picture. 50 is ordinary, 0 is nearer than all of them.
        is_copy: Whether the picture is taken for a copy of the training picture.
        control: The pictures that the percentile counts: pictures held out, or training pictures
            against all the others where none were held out.
    """

    row: int
    title: str
    artist: str
    percentile: float
    is_copy: bool
    control: Control


@dataclass(frozen=True, eq=False)
class NoveltyIndex:
    """The features and hashes of N training pictures.

    Attributes:
        weights: sha256 of the weights file whose features these are.
        mean: (F,) float16, the features' mean.
        basis: (F, D) float16, from features to scaled components.
        codes: (N, D) int8, unit vectors times a common factor.
        hashes: (N, 8) uint8.
        control: (M,) float32, the distances of pictures never seen, ascending.
        control_ratio: (M,) float32, their ratios to the second-nearest, in the same order.
        control_kind: Where the control's pictures come from.
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
        """Find the nearest training picture of each of `pictures` (Q, S, S, 3) or its mirror image.

        Args:
            pictures: uint8, of the model's size.
            features: The bottleneck of the model that the index was built with.
        """
        count = len(pictures)
        both = np.concatenate([pictures, pictures[:, :, ::-1]])
        units = _project(features(both), self.mean, self._wide_basis)
        hashes = perceptual_hashes(both)
        pairs = zip(hashes[:count], hashes[count:], strict=True)
        either = [differing_bits(np.stack(pair)[:, None], self.hashes).min(0) for pair in pairs]
        bits = np.stack(either)
        # A copy that the network doesn't recognise is found by its hash.
        alike = bits.argmin(1)
        told = bits[np.arange(count), alike] <= COPY_BITS
        nearest, first, second = _apart(
            units[:count], units[count:], self._units, named=np.where(told, alike, -1)
        )
        copies = (
            (first < COPY_RATIO * second) | (first < COPY_DISTANCE * np.median(self.control)) | told
        )
        return Neighbours(nearest, first, second, copies)

    def nearest(self, pictures: Pixels, features: FeatureSpace) -> tuple[Nearest, ...]:
        """Describe the training picture nearest to each of `pictures` (Q, S, S, 3)."""
        found = self.neighbours(pictures, features)
        percentiles = self.percentiles(found.distance)
        return tuple(
            Nearest(
                row=int(row),
                title=self.paintings[row].title,
                artist=self.paintings[row].artist,
                percentile=float(percentiles[i]),
                is_copy=bool(found.copies[i]),
                control=self.control_kind,
            )
            for i, row in enumerate(found.nearest)
        )

    def percentiles(self, distance: Floats) -> Floats:
        """Return the share of the control, in percent, that is at most `distance` (Q,) away."""
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
        paintings: The pictures' titles and artists.
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
    own = _spread(len(pictures), LEAVE_ONE_OUT) if held_out is None else None
    control = pictures[own] if held_out is None else held_out
    mirrored = features(np.ascontiguousarray(control[:, :, ::-1]))
    plain = seen[own] if held_out is None else features(held_out)
    _, first, second = _apart(
        _project(plain, mean, basis), _project(mirrored, mean, basis), stored, own=own
    )
    order = np.argsort(first)
    return NoveltyIndex(
        weights=weights,
        mean=mean,
        basis=basis,
        codes=codes,
        hashes=perceptual_hashes(pictures),
        control=first[order].astype(np.float32),
        control_ratio=(first / second)[order].astype(np.float32),
        control_kind="held-out" if held_out is not None else "leave-one-out",
        paintings=tuple(paintings),
    )


def _apart(
    plain: NDArray[np.float32],
    mirrored: NDArray[np.float32],
    stored: NDArray[np.float32],
    *,
    own: NDArray[np.int64] | None = None,
    named: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Find the rows of `stored` (N, D) nearest to those of `plain` (Q, D) or `mirrored` (Q, D).

    Returns the nearest row, its distance, and that of the second-nearest, (Q,) each.

    Args:
        plain: The unit vectors of the pictures.
        mirrored: The unit vectors of the pictures' mirror images.
        stored: The unit vectors of the index.
        own: (Q,) the row that is the picture itself, which is left out.
        named: (Q,) the row to take for the nearest, or -1 to search for it.
    """
    best = np.maximum(plain @ stored.T, mirrored @ stored.T)
    rows = np.arange(len(best))
    if own is not None:
        best[rows, own] = -np.inf
    nearest = best.argmax(1)
    if named is not None:
        nearest = np.where(named < 0, nearest, named)
    first = _distance(best[rows, nearest])
    best[rows, nearest] = -np.inf
    return nearest, first, _distance(best.max(1))


def _distance(cosine: NDArray[np.float32]) -> Floats:
    """Return the distances between unit vectors whose cosines are `cosine`."""
    return np.sqrt(np.maximum(2 - 2 * cosine, 1e-12)).astype(np.float64)


def _whitening(centred: Floats) -> Floats:
    """Find the map (F, D) to the principal components of `centred` (N, F), with equal variances."""
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
    """Project `features` (N, F) to unit vectors (N, D)."""
    centred = (features - mean).astype(np.float32)
    return _normalised(centred @ basis.astype(np.float32, copy=False))


def _normalised(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def _spread(total: int, most: int) -> NDArray[np.int64]:
    """Choose at most `most` of the indices [0, total), evenly spread."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(np.int64))


ARRAYS: Final = "novelty.safetensors"
NAMES: Final = "novelty.json"
FORMAT: Final = "plein-air-novelty/1"

SHAPES: Final[Mapping[str, tuple[str, str]]] = {
    "mean": ("float16", "F"),
    "basis": ("float16", "FD"),
    "codes": ("int8", "ND"),
    "hashes": ("uint8", "N8"),
    "control": ("float32", "M"),
    "control_ratio": ("float32", "M"),
}


def save_index(index: NoveltyIndex, folder: Path) -> None:
    """Write `index` into the model's `folder`; an older index stays whole until it is replaced."""
    artists = sorted({painting.artist for painting in index.paintings})
    place = {artist: i for i, artist in enumerate(artists)}
    names = {
        "artists": artists,
        "paintings": [[place[p.artist], p.title] for p in index.paintings],
    }
    text = json.dumps(names, ensure_ascii=False, separators=(",", ":")) + "\n"
    arrays = {name: np.ascontiguousarray(getattr(index, name)) for name in SHAPES}
    said = {"format": FORMAT, "weights": index.weights, "control": index.control_kind}
    unfinished = [folder / (name + ".tmp") for name in (NAMES, ARRAYS)]
    for path, data in zip(unfinished, (text.encode(), save(arrays, said)), strict=True):
        write_bytes(path, data)
    for path in unfinished:
        path.replace(path.with_suffix(""))


def load_index(folder: Path, weights: str) -> NoveltyIndex | None:
    """Load the index in the model's `folder`; None where there is none.

    Raises:
        StudioError: If the index is broken, or was built with other weights than `weights`.
    """
    path = folder / ARRAYS
    if not path.is_file():
        return None
    hint = f"Build it again with python -m app index {folder.name}."
    try:
        with safe_open(path, framework="np") as file:
            said = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in SHAPES}
        names = json.loads((folder / NAMES).read_text(encoding="utf-8"))
        paintings = tuple(
            Painting(str(title), str(names["artists"][artist]))
            for artist, title in names["paintings"]
        )
        if said.get("format") != FORMAT or said.get("control") not in get_args(Control):
            raise ValueError("another format")
        _check_shapes(arrays, len(paintings))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, IndexError) as error:
        raise StudioError(f"The novelty index in {folder} can't be read.", hint) from error
    if said["weights"] != weights:
        raise StudioError(f"The novelty index in {folder} was built with other weights.", hint)
    kind: Any = said["control"]
    return NoveltyIndex(weights=weights, control_kind=kind, paintings=paintings, **arrays)


def _check_shapes(arrays: Mapping[str, NDArray[Any]], count: int) -> None:
    """Raise ValueError where two arrays disagree about a size, or a dtype is wrong."""
    sizes = {"N": count, "8": 8}
    for name, (dtype, axes) in SHAPES.items():
        array = arrays[name]
        if array.dtype.name != dtype or array.ndim != len(axes) or 0 in array.shape:
            raise ValueError(name)
        for axis, size in zip(axes, array.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise ValueError(name)
