"""The second stage's mathematics: bands and back, and what a picture is when it is reduced."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from app.diffusion.cascade import (
    BANDS,
    LUMA_BANDS,
    RATIO,
    Bands,
    back_projected,
    enlarged,
    reduced,
)
from app.images.pixels import to_unit

STD = torch.linspace(0.3, 0.01, BANDS)
UNIT = Bands(torch.ones(BANDS))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def picture(side: int) -> Tensor:
    """A picture with structure at every scale, of middling contrast: nothing is clipped."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    planes = [torch.sin(x / a + y / b) for a, b in ((3, 5), (9, -7), (2.2, 31))]
    return (torch.stack(planes)[None] * 0.4).clamp(-1, 1)


def test_bands_are_what_makes_their_residual() -> None:
    z = noise(2, BANDS, 5, 7)
    assert torch.allclose(Bands(STD).of(Bands(STD).residual(z)), z, atol=1e-4)


def test_a_residual_comes_back_but_for_the_chromas_fine_bands() -> None:
    grey = noise(1, 1, 32, 32).expand(-1, 3, -1, -1)
    assert torch.allclose(UNIT.residual(UNIT.of(grey)), grey, atol=1e-5)
    colours = noise(1, 3, 32, 32, seed=1)
    once = UNIT.residual(UNIT.of(colours))
    assert not torch.allclose(once, colours, atol=0.1)
    assert torch.allclose(UNIT.residual(UNIT.of(once)), once, atol=1e-5)


def test_lumas_bands_keep_its_power_and_the_first_is_the_blocks_mean() -> None:
    grey = noise(1, 1, 32, 32).expand(-1, 3, -1, -1)
    z = UNIT.of(grey)[:, :LUMA_BANDS]
    assert float((z**2).sum()) == pytest.approx(float((grey[:, :1] ** 2).sum()), rel=1e-4)
    means = torch.nn.functional.avg_pool2d(grey[:, :1], RATIO)
    assert torch.allclose(z[:, :1], RATIO * means, atol=1e-5)


def test_each_band_is_in_units_of_its_deviation() -> None:
    residual = noise(1, 3, 16, 16)
    ratio = UNIT.of(residual) / Bands(STD).of(residual)
    assert torch.allclose(ratio, STD.view(1, -1, 1, 1).expand_as(ratio), rtol=1e-4)


@pytest.mark.parametrize("side", [16, 64, 208])
def test_reduced_is_what_pillow_makes_of_it(side: int) -> None:
    levels = np.asarray(((picture(side)[0].permute(1, 2, 0) + 1) * 127.5).round(), dtype=np.uint8)
    small = Image.fromarray(levels).resize((side // RATIO,) * 2, Image.Resampling.LANCZOS)
    ours = reduced(to_unit(levels[None]))
    assert ((ours - to_unit(np.asarray(small)[None])) * 127.5).abs().max() <= 1


def test_what_is_flat_stays_as_it_is() -> None:
    flat = torch.full((1, 3, 8, 8), 0.25)
    assert torch.allclose(enlarged(flat), torch.full((1, 3, 32, 32), 0.25), atol=1e-6)
    assert torch.allclose(reduced(enlarged(flat)), flat, atol=1e-6)


def test_back_projection_brings_the_small_picture_nearer_each_time() -> None:
    low_res = reduced(picture(64))
    x = enlarged(low_res) + 0.1 * noise(1, 3, 64, 64)

    def off(times: int) -> float:
        return float((reduced(back_projected(x, low_res, times)) - low_res).square().mean())

    decibels = [10 * math.log10(off(times)) for times in range(4)]
    assert all(later < earlier - 3 for earlier, later in pairwise(decibels))
