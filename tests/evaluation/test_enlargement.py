"""Figures of enlargements against independent formulas and known cases."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from app.diffusion.cascade import BANDS, back_projected, enlarged, reduced
from app.evaluation.enlargement import (
    band_decibels,
    colour_offset,
    consistency,
    grid_peak,
    octave_decibels,
    octave_edges,
    power,
    psnr,
    relative_deviation,
    variance_over_seeds,
)
from app.images.arrays import Pixels
from app.images.pixels import to_unit
from tests.training.pictures import landscapes

HALF = -20 * np.log10(2)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def grain(count: int, size: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(64, 192, (count, size, size, 3), dtype=np.uint8)


def test_octaves_end_at_two_pixels_a_cycle_whatever_the_size() -> None:
    assert octave_edges(208) == (1.625, 3.25, 6.5, 13, 26, 52, 104)
    assert octave_edges(48) == (1.5, 3, 6, 12, 24)


def test_an_output_like_its_original_is_at_no_decibels() -> None:
    pictures, z = grain(3, 48), noise(3, BANDS, 6, 6)
    assert np.all(octave_decibels(pictures, pictures) == 0)
    assert np.all(band_decibels(z, z) == 0)


def test_half_the_contrast_is_six_decibels_less_of_each_picture_alike() -> None:
    pictures = grain(3, 48)
    soft = ((pictures.astype(int) - 128) // 2 + 128).astype(np.uint8)
    assert octave_decibels(soft, pictures) == pytest.approx(np.full((3, 4), HALF), abs=0.2)


def test_a_weak_band_shows_in_its_own_place_alone() -> None:
    z = noise(2, BANDS, 5, 7)
    weak = z.clone()
    weak[:, 17] *= 0.5
    expected = np.zeros((2, BANDS))
    expected[:, 17] = HALF
    assert band_decibels(weak, z) == pytest.approx(expected, abs=1e-5)
    assert power(z)[1, 3] == pytest.approx(float((z[1, 3] ** 2).mean()), rel=1e-6)


def test_psnr_is_that_of_levels_of_255() -> None:
    a, b = grain(4, 16, 1), grain(4, 16, 2)
    squared = ((a.astype(float) - b) ** 2).mean((1, 2, 3))
    assert psnr(to_unit(a), to_unit(b)) == pytest.approx(10 * np.log10(255**2 / squared), abs=1e-3)


def test_consistency_is_perfect_of_what_is_reduced_and_grows_by_back_projection() -> None:
    x = noise(2, 3, 64, 64).clamp(-1, 1) * 0.5
    small = to_unit(landscapes(2, 16))
    assert consistency(x, reduced(x)).min() > 80
    once, twice = (consistency(back_projected(x, small, times), small) for times in (1, 2))
    assert (consistency(x, small) < once).all()
    assert (once < twice).all()


def test_the_colour_is_off_by_the_levels_that_were_added() -> None:
    small = to_unit(landscapes(2, 16)) * 0.5
    x = enlarged(small)
    assert colour_offset(x + 3 / 127.5, small) == pytest.approx([3, 3], abs=0.1)


def test_variance_over_seeds_is_that_of_what_differs_between_them() -> None:
    fixed, scale = noise(1, BANDS, 20, 20), torch.linspace(0.1, 2, BANDS).view(1, -1, 1, 1)
    found = variance_over_seeds(fixed + scale * noise(8, BANDS, 20, 20, seed=1))
    assert found == pytest.approx(scale.flatten().double().numpy() ** 2, rel=0.15)


def test_a_relative_deviation_is_the_root_of_the_mean_powers_ratio() -> None:
    found = relative_deviation(np.array([[1.0, 8], [3, 10]]), np.array([[4.0, 1], [12, 1]]))
    assert [one.value for one in found] == pytest.approx([0.5, 3])
    assert (found[0].low, found[0].high) == pytest.approx((0.5, 0.5))


def test_lines_every_four_pixels_are_a_peak_there_and_nowhere_else() -> None:
    plain = grain(40, 64)
    lined = plain.copy()
    lined[:, :, ::4] += 30
    without, there, elsewhere = (
        grid_peak(pictures, cycles)
        for pictures, cycles in ((plain, 16), (lined, 16), (lined, 7))
    )  # fmt: skip
    assert without.low < 1 < without.high
    assert there.low > 3
    assert elsewhere.low < 1 < elsewhere.high


def test_a_jpegs_blocks_are_a_peak_at_eight_pixels() -> None:
    def saved(picture: Pixels, quality: int) -> Pixels:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    pictures = landscapes(12, 96, seed=3)
    coarse = np.stack([saved(one, 10) for one in pictures])
    assert grid_peak(coarse, 96 // 8).low > 1.5
    assert grid_peak(coarse, 96 // 8).low > grid_peak(pictures, 96 // 8).high


def test_a_flat_picture_has_no_peak() -> None:
    assert grid_peak(np.full((2, 32, 32, 3), 90, np.uint8), 8).value == pytest.approx(1)
