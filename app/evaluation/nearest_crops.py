"""How near a crop of painted detail comes to the training pictures' detail: has it been copied?

Detail is the luma less its own quarter enlarged bicubically, what a second stage has to paint. Each
crop is held against all crops of all training pictures, at every pixel, by Fourier transforms.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from app.diffusion.cascade import RATIO, enlarged, reduced
from app.evaluation.metrics import LUMA
from app.images.arrays import Floats, Pixels
from app.images.pixels import evenly_spaced

CROPS: Final = 32
"""The most crops of a set of pictures that are looked for, one from each of so many pictures."""

BATCH: Final = 64
"""The training pictures that are held against together."""

_LEAST: Final = 0.5 / 255
"""The least deviation, of a crop of detail: in less is nothing but rounding."""


def detail(pictures: Pixels) -> Tensor:
    """Compute the detail of `pictures` (N, S, S, C) uint8, grey or RGB, (N, S, S)."""
    side = pictures.shape[1] // RATIO * RATIO
    weights = torch.tensor(LUMA if pictures.shape[3] == len(LUMA) else (1.0,))
    cut = torch.from_numpy(np.ascontiguousarray(pictures[:, :side, :side])).float() / 255
    luma = (cut @ weights)[:, None]
    return (luma - enlarged(reduced(luma)))[:, 0]


def crops_of(pictures: Pixels, side: int, seed: int) -> Tensor:
    """Cut a crop of the detail of each of up to `CROPS` of `pictures`, (Q, side, side).

    Equal seeds and numbers of pictures cut at the same places.
    """
    chosen = evenly_spaced(CROPS, len(pictures))
    details = detail(pictures[list(chosen)])
    room = details.shape[1] - side + 1
    places = np.random.default_rng(seed).integers(0, room, (len(chosen), 2)).tolist()
    return torch.stack(
        [
            one[top : top + side, left : left + side]
            for one, (top, left) in zip(details, places, strict=True)
        ]
    )


def nearest_correlations(
    crops: Tensor, pictures: Pixels, step: Callable[[], object] = lambda: None
) -> Floats:
    """Find the largest correlation of each of `crops` (Q, c, c) with any crop of `pictures`.

    Args:
        crops: Crops of detail.
        pictures: (N, S, S, C) uint8, grey or RGB, with S at least c.
        step: Called after each `BATCH` of pictures.

    Returns:
        (Q,) correlation coefficients, 1 for a copy; 0 of a crop without detail.
    """
    side = crops.shape[1]
    centred = crops - crops.mean((1, 2), keepdim=True)
    norm = centred.square().sum((1, 2), keepdim=True).sqrt()
    unit = torch.where(norm > side * _LEAST, centred / norm, torch.zeros(()))
    best = torch.zeros(len(crops))
    for start in range(0, len(pictures), BATCH):
        details = detail(pictures[start : start + BATCH])
        shape = details.shape[1:]
        means = F.avg_pool2d(torch.stack([details, details.square()], 1), side, stride=1)
        spread = side * (means[:, 1] - means[:, 0].square()).clamp(min=_LEAST**2).sqrt()
        spectra, room = torch.fft.rfft2(details), spread.shape[1]
        for i, crop in enumerate(torch.fft.rfft2(unit, s=shape).conj()):
            products = torch.fft.irfft2(spectra * crop, s=shape)[:, :room, :room]
            best[i] = max(best[i], (products / spread).max())
        step()
    return np.asarray(best.double().numpy())
