"""A copied crop is found wherever it came from; what was never seen isn't."""

import numpy as np
import pytest
import torch

from app.evaluation.nearest_crops import crops_of, detail, nearest_correlations
from app.images.arrays import Pixels


def noise(count: int, side: int, channels: int, seed: int) -> Pixels:
    shape = (count, side, side, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_the_correlation_is_that_of_every_crop_of_every_picture() -> None:
    crops, pictures = detail(noise(3, 12, 3, 0)), noise(70, 20, 1, 1)
    windows = detail(pictures).unfold(1, 12, 1).unfold(2, 12, 1).reshape(-1, 144)
    expected = torch.corrcoef(torch.cat([crops.reshape(3, -1), windows]))[:3, 3:].max(1).values
    counted: list[None] = []
    found = nearest_correlations(crops, pictures, lambda: counted.append(None))
    assert found == pytest.approx(expected.numpy(), abs=1e-5)
    assert len(counted) == 2


def test_a_crop_of_a_training_picture_is_found_brighter_and_paler_too() -> None:
    pictures = noise(5, 64, 3, 2)
    crop = detail(pictures)[3, 17:33, 40:56]
    found = nearest_correlations(torch.stack([crop, 0.2 * crop + 0.1]), pictures)
    assert found == pytest.approx([1, 1], abs=1e-5)
    assert nearest_correlations(crop[None], pictures[:3])[0] < 0.6


def test_a_crop_without_detail_is_like_nothing_and_nothing_is_like_it() -> None:
    flat = np.full((1, 32, 32, 3), 99, np.uint8)
    assert nearest_correlations(detail(flat), noise(2, 40, 3, 3)).tolist() == [0]
    assert abs(nearest_correlations(detail(noise(1, 32, 3, 4)), flat)[0]) < 0.1


def test_crops_of_equally_many_pictures_lie_at_the_same_places() -> None:
    pictures = noise(40, 30, 3, 5)
    crops = crops_of(pictures, 8, seed=1)
    assert crops.shape == (32, 8, 8)
    assert torch.equal(crops, crops_of(pictures, 8, seed=1))
    assert torch.allclose(crops_of(255 - pictures, 8, seed=1), -crops, atol=1e-6)
    assert not torch.equal(crops, crops_of(pictures, 8, seed=2))
