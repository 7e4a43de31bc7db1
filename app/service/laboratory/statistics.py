"""What can be counted on an x_t: its mean, its spread, its values' histogram."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from app.service.pictures import Pixels, picture_pixels

BINS: Final = 64
REACH: Final = 4.0


@dataclass(frozen=True)
class Histogram:
    """How often x_t has which value.

    Attributes:
        centres: Of the bins, from -4 to 4.
        density: Per unit of value; what lies outside the bins counts in no bin.
        normal: N(0, 1)'s density at the centres.
    """

    centres: tuple[float, ...]
    density: tuple[float, ...]
    normal: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Sample:
    """One x_t and its statistics.

    Attributes:
        pixels: (H, W, 3) uint8.
        mean: Over all values.
        std: Over all values.
        correlation: Pearson's, with sqrt(alpha_bar_t) x_0; None where x_0 is of one value.
        histogram: Of all values.
    """

    pixels: Pixels
    mean: float
    std: float
    correlation: float | None
    histogram: Histogram


def sample_of(x_t: Tensor, x_0: Tensor) -> Sample:
    """The statistics of `x_t` (1, C, H, W), noised from `x_0`."""
    values, clean = x_t.double().flatten().numpy(), x_0.double().flatten().numpy()
    flat = clean.std() == 0 or values.std() == 0
    return Sample(
        pixels=picture_pixels(x_t)[0],
        mean=float(values.mean()),
        std=float(values.std()),
        # The factor sqrt(alpha_bar_t) changes no correlation.
        correlation=None if flat else float(np.corrcoef(values, clean)[0, 1]),
        histogram=histogram_of(values),
    )


def histogram_of(values: NDArray[np.float64]) -> Histogram:
    """The histogram of `values`, of any shape."""
    counts, edges = np.histogram(values, bins=BINS, range=(-REACH, REACH))
    centres = (edges[:-1] + edges[1:]) / 2
    density = counts / (values.size * (edges[1] - edges[0]))
    normal = np.exp(-(centres**2) / 2) / math.sqrt(2 * math.pi)
    return Histogram(tuple(centres.tolist()), tuple(density.tolist()), tuple(normal.tolist()))
