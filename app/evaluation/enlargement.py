"""What an enlargement has beside the original, and beside the small picture it was made from.

Pure functions, each with a figure for each picture, so that the bootstrap can weight them. A figure
in decibels is the mean over pictures of each one's own: a few strong pictures don't hide that the
others are dull.
"""

from typing import Final

import numpy as np
import torch
from torch import Tensor

from app.diffusion.cascade import reduced
from app.evaluation.bootstrap import Interval, bootstrap_all
from app.evaluation.metrics import LUMA, NO_POWER, band_powers
from app.images.arrays import Floats, Pixels
from app.images.pixels import HALF_RANGE

OCTAVES: Final = 6
"""Octaves of frequency, the highest of which ends at two pixels a cycle."""

NEIGHBOURS_OF_A_PEAK: Final = (-5, -4, -3, 3, 4, 5)
"""The frequencies, from a peak's own in cycles a picture, that it is held against."""


def octave_edges(size: int) -> tuple[float, ...]:
    """Return the edges of up to six octaves, in cycles a picture of `size` pixels."""
    edges = [size / 2**i for i in range(OCTAVES + 1, 0, -1)]
    return tuple(edge for edge in edges if edge >= 1)


def octave_decibels(pictures: Pixels, originals: Pixels) -> Floats:
    """Compare the lumas' power, (N, octaves) dB, coarsest first; both are (N, S, S, 3)."""
    edges = octave_edges(pictures.shape[1])
    return _decibels(band_powers(pictures, edges), band_powers(originals, edges))


def band_decibels(z: Tensor, originals: Tensor) -> Floats:
    """Compare the power of bands (N, 24, h, w) with the original residuals', (N, 24) dB."""
    return _decibels(power(z), power(originals))


def power(z: Tensor) -> Floats:
    """Compute the mean square of each band of `z` (N, 24, h, w), as (N, 24)."""
    return np.asarray(z.square().mean((2, 3)).double().numpy())


def relative_deviation(deviation: Floats, own: Floats, seed: int = 0) -> tuple[Interval, ...]:
    """Return, of the mean of the powers `deviation` (N, K) over that of `own` (N, K), the roots."""

    def roots(weights: Floats, _: Floats) -> Floats:
        return np.asarray(np.sqrt((weights @ deviation) / (weights @ own)))

    return bootstrap_all(roots, len(own), 1, seed=seed)


def psnr(x: Tensor, originals: Tensor) -> Floats:
    """Compute the peak signal-to-noise ratio of pictures (N, C, H, W) in [-1, 1], (N,) dB."""
    error = (x - originals).square().mean((1, 2, 3)).double().numpy()
    return _decibels(np.full(len(error), 4.0), error)


def consistency(x: Tensor, low_res: Tensor) -> Floats:
    """Compute the PSNR of `x` (N, 3, 4h, 4w), once reduced, against `low_res`, (N,) dB."""
    return psnr(reduced(x.clamp(-1, 1)), low_res)


def colour_offset(x: Tensor, low_res: Tensor) -> Floats:
    """Measure how far mean colours are off: the mean over the channels, (N,) levels of 255."""
    off = x.clamp(-1, 1).mean((2, 3)) - low_res.mean((2, 3))
    return np.asarray(off.abs().mean(1).double().numpy() * HALF_RANGE)


def grid_peak(pictures: Pixels, cycles: int, *, seed: int = 0) -> Interval:
    """Measure how far a grid of `cycles` a picture stands out in `pictures` (N, S, S, 3); 1 is not.

    After Wang, Bovik & Evans (2000), https://doi.org/10.1109/ICIP.2000.899622: the luma's absolute
    differences from column to column, averaged over the rows, have a spectrum, in which a grid is
    a peak; and likewise from row to row. The figure is that of amplitudes, the peak over its
    neighbours, in the geometric mean over neighbours and pictures.
    """
    ratios = np.array([_log_peak(one, cycles) for one in pictures])

    def amplitude(weights: Floats, _: Floats) -> Floats:
        return np.asarray(np.exp(weights @ ratios / weights.sum(1)))[:, None]

    return bootstrap_all(amplitude, len(ratios), 1, seed=seed)[0]


def _log_peak(picture: Pixels, cycles: int) -> float:
    """Compute the logarithm of the ratio of one `picture` (S, S, 3)."""
    luma = picture / 255 @ np.array(LUMA)
    total: Floats = np.zeros(len(luma) // 2)
    for axis in (0, 1):
        profile = np.abs(np.diff(luma, axis=axis)).mean(1 - axis)
        window = np.hanning(len(profile) + 2)[1:-1]
        # One difference fewer than pixels: a zero makes up for it, so that cycles fall on a bin.
        found = np.fft.rfft((profile - profile.mean()) * window, len(luma))
        total += np.abs(found[: len(total)]) ** 2
    logs = np.log(np.maximum(total, NO_POWER**2)) / 2
    around = [cycles + k for k in NEIGHBOURS_OF_A_PEAK if 0 < cycles + k < len(total)]
    return float(logs[cycles] - logs[around].mean())


def variance_over_seeds(z: Tensor) -> Floats:
    """Compute the variance of `z` (V, 24, h, w), one picture painted V times, by band, (24,)."""
    return np.asarray(torch.var(z, dim=0).mean((1, 2)).double().numpy())


def _decibels(ours: Floats, theirs: Floats) -> Floats:
    return np.asarray(10 * np.log10(np.maximum(ours, NO_POWER) / np.maximum(theirs, NO_POWER)))
