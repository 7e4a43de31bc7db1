"""The radial power spectrum: whether samples have as much coarse and fine detail as paintings."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from app.training.features import Pixels
from app.training.intervals import Floats, Interval, bootstrap_all

LUMA: Final = (0.299, 0.587, 0.114)
NO_POWER: Final = 1e-9
"""Stands for that of one colour all over; a pixel a grey level off, in the middle, has 1.5e-5."""


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
    """The edges of the bands of pictures of `size` pixels: 1, 2, 4, ... cycles a picture."""
    edges = [1.0]
    while edges[-1] * 2 < size / 2:
        edges.append(edges[-1] * 2)
    return (*edges, size / 2)


def band_powers(pictures: Pixels) -> Floats:
    """Each picture's mean power in each octave, (N, bands), from (N, S, S, 3) uint8.

    Of the luma, its mean taken off, under a Hann window: without one the jump from one edge of
    the picture to the opposite one would count as detail.
    """
    size = pictures.shape[1]
    luma = pictures / 255 @ np.array(LUMA)
    window = np.hanning(size + 2)[1:-1]
    luma = (luma - luma.mean((1, 2), keepdims=True)) * window[:, None] * window
    power = np.abs(np.fft.fft2(luma)) ** 2
    frequency = np.fft.fftfreq(size, 1 / size)
    radius = np.hypot(frequency[:, None], frequency)
    edges = octaves(size)
    inside = [(radius >= low) & (radius < high) for low, high in pairwise(edges)]
    powers = np.stack([power[:, mask].mean(1) for mask in inside], axis=1)
    return np.asarray(np.maximum(powers, NO_POWER))


def spectrum(samples: Pixels, reference: Pixels, *, seed: int = 0) -> Spectrum:
    """The samples' spectrum (N, S, S, 3) against that of the reference (M, S, S, 3)."""
    a, b = band_powers(samples), band_powers(reference)

    def error_and_bands(w_a: Floats, w_b: Floats) -> Floats:
        mean_a, mean_b = w_a @ a / w_a.sum(1)[:, None], w_b @ b / w_b.sum(1)[:, None]
        decibels = 10 * np.log10(mean_a / mean_b)
        error = np.sqrt((decibels**2).mean(1, keepdims=True))
        return np.concatenate([error, decibels], axis=1)

    error, *bands = bootstrap_all(error_and_bands, len(a), len(b), seed=seed)
    return Spectrum(error, tuple(bands), octaves(samples.shape[1]))
