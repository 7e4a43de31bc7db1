"""The sliced Wasserstein distance and the Laplacian pyramid."""

import numpy as np
import pytest

from app.evaluation.metrics import (
    laplacian_pyramid,
    patch_distance,
    random_directions,
    sliced_wasserstein,
)
from app.images.arrays import Floats


def distance(a: Floats, b: Floats, directions: Floats) -> float:
    statistic = sliced_wasserstein(a, b, directions)
    return float(statistic(np.ones((1, len(a))), np.ones((1, len(b))))[0])


def by_sorting(a: Floats, b: Floats, directions: Floats) -> float:
    """For equally many points: the mean gap between the sorted projections."""
    flat_a, flat_b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
    gaps = np.abs(np.sort(flat_a @ directions, 0) - np.sort(flat_b @ directions, 0))
    return float(gaps.mean())


def test_shifted_gaussians_are_as_far_apart_as_their_shift_along_each_direction() -> None:
    rng = np.random.default_rng(0)
    shift = np.array([3.0, 0, 0, 4.0])
    a = rng.normal(size=(60, 100, 4))
    b = rng.normal(size=(80, 100, 4)) + shift
    directions = random_directions(rng, 4, 50)
    expected = np.abs(shift @ directions).mean()
    assert distance(a, b, directions) == pytest.approx(expected, rel=0.03)


def test_the_area_between_distribution_functions_is_the_gap_of_sorted_points() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(20, 30, 5)), 1.5 * rng.normal(size=(20, 30, 5))
    directions = random_directions(rng, 5, 40)
    assert distance(a, b, directions) == pytest.approx(by_sorting(a, b, directions), rel=0.03)


def test_weights_count_a_picture_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(3, 40, 4)), rng.normal(size=(4, 40, 4)) + 1
    directions = random_directions(rng, 4, 30)
    weighted = sliced_wasserstein(a, b, directions)(np.array([[2.0, 0, 1]]), np.ones((1, 4)))
    repeated = distance(a[[0, 0, 2]], b, directions)
    assert weighted[0] == pytest.approx(repeated, rel=0.02)


def test_a_set_is_at_no_distance_from_itself() -> None:
    pictures = np.random.default_rng(3).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    found = patch_distance(pictures, pictures)
    assert found.mean.value == 0
    assert found.sizes == (32, 16)


def test_blur_shows_most_in_the_finest_level() -> None:
    rng = np.random.default_rng(4)
    sharp = rng.integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    other = rng.integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    soft = ((other.astype(int) + np.roll(other, 1, 2)) // 2).astype(np.uint8)
    blurred, same = patch_distance(soft, sharp), patch_distance(other, sharp)
    assert blurred.levels[0].value > blurred.levels[2].value
    assert blurred.mean.low > same.mean.high


def test_a_flat_picture_has_no_detail_on_any_level() -> None:
    pictures = np.random.default_rng(5).random((2, 64, 64, 3))
    levels = laplacian_pyramid(pictures)
    assert [level.shape[1] for level in levels] == [64, 32, 16]
    flat = np.full((1, 64, 64, 3), 0.3)
    details = laplacian_pyramid(flat)
    assert all(np.abs(level).max() < 1e-12 for level in details[:-1])
    assert details[-1] == pytest.approx(0.3)


def test_pictures_smaller_than_a_patch_are_refused() -> None:
    with pytest.raises(ValueError, match="7 px"):
        laplacian_pyramid(np.zeros((1, 6, 6, 3)))
