"""The radial power spectrum."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.evaluation.metrics import band_powers, octaves, spectrum

Pixels = NDArray[np.uint8]


def noise(seed: int, count: int = 20, size: int = 32) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def waves(cycles: int, size: int = 64) -> Pixels:
    row = 127.5 + 100 * np.sin(2 * np.pi * cycles * np.arange(size) / size)
    picture = np.repeat(np.repeat(row[None, :, None], size, 0), 3, 2)
    return picture.round().astype(np.uint8)[None]


def test_the_bands_are_octaves_up_to_two_pixels_a_cycle() -> None:
    assert octaves(64) == (1, 2, 4, 8, 16, 32)
    assert octaves(48) == (1, 2, 4, 8, 16, 24)


@pytest.mark.parametrize(("cycles", "band"), [(3, 1), (6, 2), (12, 3), (24, 4)])
def test_a_wave_has_its_power_in_its_own_octave(cycles: int, band: int) -> None:
    assert band_powers(waves(cycles))[0].argmax() == band


def test_equal_sets_have_no_error() -> None:
    pictures = noise(0)
    found = spectrum(pictures, pictures)
    assert found.error.value == 0
    assert all(band.value == 0 for band in found.bands)


def test_pictures_of_one_colour_have_figures_too() -> None:
    black = np.zeros((4, 16, 16, 3), np.uint8)
    found = spectrum(black, noise(4, size=16))
    assert np.isfinite([found.error.value, found.error.low, found.error.high]).all()
    assert all(band.value < -40 for band in found.bands)


def test_half_the_contrast_is_six_decibels_less_in_every_octave() -> None:
    pictures = noise(1)
    soft = ((pictures.astype(int) - 128) // 2 + 128).astype(np.uint8)
    found = spectrum(soft, pictures)
    for band in found.bands:
        assert band.value == pytest.approx(-20 * np.log10(2), abs=0.05)
    assert found.error.value == pytest.approx(20 * np.log10(2), abs=0.05)


def test_other_draws_of_the_same_noise_are_within_their_interval() -> None:
    found = spectrum(noise(2), noise(3))
    inside = [band.low <= 0 <= band.high for band in found.bands]
    assert sum(inside) >= len(inside) - 1
