"""The second stage of a cascade: from a small picture to one of four times its side.

Cascaded Diffusion Models (Ho et al. 2021, https://arxiv.org/abs/2106.15282), with two changes.
What diffuses is not the large picture but what bicubic enlargement misses of it, the residual.
And it is not pixels but bands: an orthonormal 4 x 4 block DCT, so that each pixel of the small
picture has 24 numbers, 16 of its luma and the lowest 2 x 2 of each chroma, and the network computes
at the small picture's size. Small pictures are (B, 3, h, w), large ones (B, 3, 4h, 4w), both in
[-1, 1].
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

RATIO: Final = 4
"""A large picture's side over the small one's."""

LUMA_BANDS: Final = RATIO**2
CHROMA_BANDS: Final = 4
BANDS: Final = LUMA_BANDS + 2 * CHROMA_BANDS
"""Numbers for each pixel of the small picture."""

_YCBCR: Final = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)
"""RGB to luma and the two chromas (BT.601)."""


@cache
def _basis() -> tuple[Tensor, Tensor]:
    """Return the 16 patterns of the block DCT, (16, 1, 4, 4), and the lowest 2 x 2 of them."""
    k = torch.arange(RATIO, dtype=torch.float64)
    rows = torch.cos(math.pi * (k + 0.5) * k[:, None] / RATIO) * math.sqrt(2 / RATIO)
    rows[0] /= math.sqrt(2)
    patterns = torch.einsum("ai,bj->abij", rows, rows).float()
    low = patterns[:2, :2].reshape(CHROMA_BANDS, 1, RATIO, RATIO)
    return patterns.reshape(LUMA_BANDS, 1, RATIO, RATIO), low


@dataclass(frozen=True, eq=False)
class Bands:
    """Residuals as bands, each divided by its deviation.

    Attributes:
        std: (24,), the deviation of each band over paintings: 16 of luma, 4 and 4 of chroma.
    """

    std: Tensor

    def of(self, residual: Tensor) -> Tensor:
        """Return the bands z (B, 24, h, w) of a `residual` (B, 3, 4h, 4w)."""
        planes = torch.einsum("ij,bjhw->bihw", _YCBCR, residual).split(1, dim=1)
        luma, low = _basis()
        parts = [
            F.conv2d(plane, patterns, stride=RATIO)
            for plane, patterns in zip(planes, (luma, low, low), strict=True)
        ]
        return torch.cat(parts, 1) / self._std

    def residual(self, z: Tensor) -> Tensor:
        """Return the residual (B, 3, 4h, 4w) of bands `z` (B, 24, h, w).

        This is exactly `of`'s inverse but for the chroma's fine bands, which `of` leaves out.
        """
        luma, low = _basis()
        planes = [
            F.conv_transpose2d(part, patterns, stride=RATIO)
            for part, patterns in zip(
                (z * self._std).split((LUMA_BANDS, CHROMA_BANDS, CHROMA_BANDS), 1),
                (luma, low, low),
                strict=True,
            )
        ]
        return torch.einsum("ij,bjhw->bihw", torch.linalg.inv(_YCBCR), torch.cat(planes, 1))

    @property
    def luma_std(self) -> float:
        """The deviation of a residual's luma: of the residual of bands of unit variance."""
        return float(self.std[:LUMA_BANDS].square().mean().sqrt())

    @property
    def _std(self) -> Tensor:
        return self.std.view(1, -1, 1, 1)


def enlarged(low_res: Tensor) -> Tensor:
    """Enlarge pictures (B, C, h, w) bicubically to (B, C, 4h, 4w), as the stage begins."""
    return F.interpolate(low_res, scale_factor=RATIO, mode="bicubic", align_corners=False)


def reduced(x: Tensor) -> Tensor:
    """Reduce pictures (B, C, 4h, 4w) to (B, C, h, w) by Pillow's Lanczos filter, in exact numbers.

    It is the filter by which the first stage's training pictures were made small.
    """
    down, across = (_lanczos(side // RATIO).to(x) for side in x.shape[2:])
    return down @ x @ across.T


@cache
def _lanczos(side: int) -> Tensor:
    """Return the weights (side, 4 side) by which Pillow reduces a row of 4 `side` pixels."""
    support = 3 * RATIO
    weights = torch.zeros(side, RATIO * side, dtype=torch.float64)
    for i in range(side):
        centre = (i + 0.5) * RATIO
        first = max(0, int(centre - support + 0.5))
        last = min(RATIO * side, int(centre + support + 0.5))
        x = (torch.arange(first, last, dtype=torch.float64) + 0.5 - centre) / RATIO
        row = torch.sinc(x) * torch.sinc(x / 3)
        weights[i, first:last] = row / row.sum()
    return weights


def back_projected(x: Tensor, low_res: Tensor, times: int = 2) -> Tensor:
    """Add to `x` (B, 3, 4h, 4w) what it lacks to be reduced to `low_res` (B, 3, h, w), `times`."""
    for _ in range(times):
        x = x + enlarged(low_res - reduced(x))
    return x
