"""Perceptual hashes: 64 bits that stay when a picture is made smaller, blurred or compressed."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.training.features import Pixels

SIDE: Final = 32
KEPT: Final = 8
"""Coefficients kept in each direction of the cosine transform, coarsest first: 8 x 8 bits."""

Hashes = NDArray[np.uint8]


def perceptual_hashes(pictures: Pixels) -> Hashes:
    """The hashes of `pictures` (N, S, S, 3), as (N, 8) uint8.

    Each bit tells whether a coefficient of the picture's grey cosine transform is above the
    picture's median one (pHash).
    """
    grey = np.stack([_grey(picture) for picture in pictures])
    basis = _cosines()
    low = (basis @ grey @ basis.T).reshape(len(grey), -1)
    # The first coefficient is the brightness, which says nothing of the picture's shape.
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
    return np.packbits(bits, axis=1)


def differing_bits(a: Hashes, b: Hashes) -> NDArray[np.int64]:
    """In how many of the 64 bits the rows of `a` (..., 8) differ from those of `b` (..., 8)."""
    return np.asarray(np.unpackbits(a ^ b, axis=-1).sum(-1, dtype=np.int64))


def _grey(picture: Pixels) -> NDArray[np.float64]:
    image = Image.fromarray(picture).convert("L")
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), dtype=np.float64)


def _cosines() -> NDArray[np.float64]:
    """The coarsest rows of the discrete cosine transform (DCT-II), (KEPT, SIDE)."""
    k, n = np.arange(KEPT)[:, None], np.arange(SIDE)
    return np.asarray(np.cos(np.pi * k * (2 * n + 1) / (2 * SIDE)))
