"""Conversions between tensors in [-1, 1] and pixels in 0..255, and pixels side by side."""

import math
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from app.images.arrays import Pixels

HALF_RANGE: Final = 127.5
"""Half the range of the levels 0 to 255, onto which x_0 in [-1, 1] is scaled."""

NOISE_RANGE: Final = 3.0
"""Noise is shown from -3 to 3 standard deviations."""


def picture_pixels(x: Tensor) -> Pixels:
    """Turn pictures (B, C, H, W) in [-1, 1] into (B, H, W, 3) uint8; values outside are clipped."""
    return to_bytes(x.expand(-1, 3, -1, -1))


def noise_pixels(eps: Tensor) -> Pixels:
    """Turn noise (B, C, H, W) of unit variance into (B, H, W, 3) uint8, grey at 0."""
    return picture_pixels(eps / NOISE_RANGE)


def channel_pixels(z: Tensor, side: int) -> Pixels:
    """Show the channels of latents (B, L, h, w) of about unit variance, as (B, side, side, 3).

    They lie in a square, row by row, each in grey; an empty place is grey as 0 is.
    """
    pictures, channels, height, width = z.shape
    across = math.ceil(math.sqrt(channels))
    cells = z.new_zeros(pictures, across**2, height, width)
    cells[:, :channels] = z
    mosaic = cells.unflatten(1, (across, across)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return noise_pixels(F.interpolate(mosaic[:, None], (side, side)))


def evenly_spaced(count: int, total: int) -> tuple[int, ...]:
    """Choose `count` of the indices [0, total), both ends included; all if there are fewer."""
    if total <= count:
        return tuple(range(total))
    return tuple(round(i * (total - 1) / (count - 1)) for i in range(count))


def to_unit(pixels: Pixels, channels: int | None = None) -> Tensor:
    """Turn pixels (B, H, W, C) into (B, C, H, W) float32 in [-1, 1]; C may be cut to `channels`."""
    # A mirrored or a read-only array can't become a tensor as it is.
    levels = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(0, 3, 1, 2)
    return levels_to_unit(levels[:, :channels])


def levels_to_unit(levels: Tensor) -> Tensor:
    """Turn whole numbers from 0 to 255 into float32 in [-1, 1]."""
    return levels.float().div_(HALF_RANGE).sub_(1)


def to_bytes(x: Tensor) -> Pixels:
    """Turn (B, C, H, W) in [-1, 1] into (B, H, W, C) uint8; values outside are clipped."""
    levels = ((x / 2 + 0.5).clamp(0, 1) * 255).round().byte()
    return np.asarray(levels.permute(0, 2, 3, 1).contiguous().numpy(), dtype=np.uint8)


def joined(cells: Pixels) -> Pixels:
    """Join cells (rows, columns, H, W, C) without gaps into (rows * H, columns * W, C)."""
    rows, columns, height, width, channels = cells.shape
    return cells.swapaxes(1, 2).reshape(rows * height, columns * width, channels)


def parted(sheet: Pixels, rows: int, columns: int) -> Pixels:
    """Cut a sheet into the cells (rows, columns, H, W, C) that were `joined`."""
    height, width = sheet.shape[0] // rows, sheet.shape[1] // columns
    cells = sheet.reshape(rows, height, columns, width, -1).swapaxes(1, 2)
    return np.ascontiguousarray(cells)
