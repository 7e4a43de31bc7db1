"""Many small pictures in one JPEG: what a player's messages carry its frames in."""

import base64
import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

BLOCK: Final = 8
"""JPEG's block: a tile that isn't a multiple of it is padded, lest its neighbours bleed in."""


def sheet_quality(tiles: int, tile: tuple[int, int]) -> int:
    """The JPEG quality at which a run's `tiles` of noisy pictures stay within 15 MB."""
    bytes_per_pixel = 15e6 / (tiles * tile[0] * tile[1])
    # Measured on noise at 4:4:4, where JPEG is at its worst: bytes per pixel at each quality.
    for quality, cost in ((85, 1.10), (80, 0.96), (75, 0.86)):
        if cost <= bytes_per_pixel:
            return quality
    return 70


def frame_sheet(views: Sequence[Pixels | None], quality: int = 85) -> str:
    """One frame's pictures as a JPEG data-URI: a row for each view, a column for each picture.

    Args:
        views: x_t, x_0_hat and eps_hat, each (B, H, W, 3); those that are None (eps_hat at the
            end) must come last and are left out.
        quality: JPEG's.
    """
    rows = [
        np.concatenate([_padded(tile) for tile in view], axis=1)
        for view in views
        if view is not None
    ]
    return _jpeg(np.concatenate(rows, axis=0), quality)


def data_uri(data: bytes, media_type: str) -> str:
    """Bytes as a data-URI: `data_uri(png, "image/png")`."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def _padded(tile: Pixels) -> Pixels:
    height, width = tile.shape[:2]
    if height % BLOCK == width % BLOCK == 0:
        return tile
    return np.pad(tile, ((0, -height % BLOCK), (0, -width % BLOCK), (0, 0)), mode="edge")


def _jpeg(pixels: Pixels, quality: int) -> str:
    buffer = io.BytesIO()
    # Without optimize: Pillow's buffer is too small for optimised noise ("Suspension not allowed").
    Image.fromarray(pixels).save(buffer, "jpeg", quality=quality, subsampling=0)
    return data_uri(buffer.getvalue(), "image/jpeg")
