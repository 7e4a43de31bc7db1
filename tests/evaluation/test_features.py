"""Feature spaces: equal pictures get equal features, different ones don't."""

import importlib.util

import numpy as np
import pytest
import torch
from torch import Tensor

import app.evaluation.features as features_module
from app.errors import StudioError
from app.evaluation.features import RandomNetwork, StyleNetwork, pink_noise
from app.evaluation.metrics import squared_mmd
from app.images.arrays import Floats
from app.images.pixels import to_unit
from app.novelty.nearest import bottleneck_space
from tests.training.pictures import landscapes

needs_style = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in features_module.STYLE_PACKAGES),
    reason="the evaluate extra is not installed",
)


def mmd(a: Floats, b: Floats) -> float:
    return float(squared_mmd(a, b)(np.ones((1, len(a))), np.ones((1, len(b))))[0])


class Recorder:
    """Keeps what it is called with; its features are the pictures' means."""

    def __init__(self) -> None:
        self.x: list[Tensor] = []
        self.t: list[Tensor] = []

    def features(self, x: Tensor, t: Tensor) -> Tensor:
        self.x.append(x)
        self.t.append(t)
        return x.mean((2, 3))


def test_the_bottleneck_sees_clean_pictures_at_three_tenths_of_the_way() -> None:
    network, pictures = Recorder(), landscapes(40)
    out = bottleneck_space(network.features, 3, 1000)(pictures)
    seen = torch.cat(network.x)
    assert out.shape == (40, 3)
    assert torch.equal(seen, to_unit(pictures, 3))
    assert seen.min() >= -1
    assert seen.max() <= 1
    assert set(torch.cat(network.t).tolist()) == {300}


def test_a_grey_model_gets_one_channel() -> None:
    network = Recorder()
    bottleneck_space(network.features, 1, 100)(landscapes(2))
    assert network.x[0].shape == (2, 1, 16, 16)


def test_the_random_network_is_its_seed() -> None:
    pictures = landscapes(3)
    first, again, other = RandomNetwork(1), RandomNetwork(1), RandomNetwork(2)
    assert first.sha256 == again.sha256 != other.sha256
    assert np.array_equal(first(pictures), again(pictures))
    assert not np.array_equal(first(pictures), other(pictures))


def test_the_random_network_gives_a_picture_the_same_features_in_any_batch() -> None:
    network, pictures = RandomNetwork(), landscapes(70)
    assert network(pictures)[66:67] == pytest.approx(network(pictures[66:67]), rel=1e-4, abs=1e-5)


def test_the_random_network_sees_blur_noise_and_lost_colour() -> None:
    network = RandomNetwork()
    rng = np.random.default_rng(0)
    base = landscapes(60, 32).astype(int)
    real = np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8)
    other = landscapes(60, 32, seed=1).astype(int)
    like = np.clip(other + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8)
    noisy = np.clip(like + rng.normal(0, 25, base.shape), 0, 255).astype(np.uint8)
    grey = np.repeat(like.mean(-1, keepdims=True), 3, -1).astype(np.uint8)
    reference = network(real)
    floor = abs(mmd(network(like), reference))
    for worse in (noisy, grey, other.astype(np.uint8)):
        assert mmd(network(worse), reference) > 3 * floor


def test_the_random_network_refuses_pictures_that_it_cannot_halve() -> None:
    with pytest.raises(ValueError, match="16 px"):
        RandomNetwork()(landscapes(1, 8))


def test_pink_noise_has_equal_power_in_every_octave() -> None:
    noise = pink_noise(64, 64, torch.Generator().manual_seed(0))
    power = torch.fft.fft2(noise).abs().square().mean((0, 1))
    frequency = torch.fft.fftfreq(64, 1 / 64)
    radius = torch.hypot(frequency[:, None], frequency)
    octaves = [power[(radius >= low) & (radius < 2 * low)].sum() for low in (2, 4, 8, 16)]
    assert max(octaves) / min(octaves) < 1.3
    assert noise.std() == pytest.approx(0.5, abs=1e-3)


@needs_style
def test_the_style_network_has_a_hundred_features_that_tell_styles_apart() -> None:
    network, pictures = StyleNetwork(), landscapes(2, 32)
    noise = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    out = network(np.concatenate([pictures, pictures[:1, :, ::-1], noise]))
    assert out.shape == (4, 100)
    apart = np.linalg.norm(out - out[0], axis=1)
    assert apart[2] < apart[1] < apart[3]  # its mirror image, other clouds, no clouds at all


def test_a_missing_style_network_is_said_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "find_spec", lambda name: None)
    with pytest.raises(StudioError, match="not installed") as caught:
        StyleNetwork()
    assert "pip install" in caught.value.hint
    assert "--no-style" in caught.value.hint
