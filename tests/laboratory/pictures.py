"""Pictures and counters that the laboratories' tests share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Prediction
from app.images.arrays import Pixels
from app.images.pixels import to_unit
from app.networks.unet import SharedDenoiser
from app.painting.recipe import Recipe
from app.painting.sources import PictureSource


def upload(seed: int = 0, side: int = 16) -> PictureSource:
    """A picture with some structure: an upload, squared."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    return PictureSource.of(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def painted(seed: int = 0, **changes: object) -> PictureSource:
    """A picture that the tiny model paints in three steps."""
    return PictureSource(
        painted=Recipe.checked({"model": "tiny", "steps": 3, "seed": seed} | changes)
    )


def run(**changes: object) -> Recipe:
    """A short reverse process of the tiny model."""
    return Recipe.checked({"model": "tiny", "sampler": "ddpm", "steps": 8} | changes)


@dataclass
class Calls:
    """What the network was asked: the (B,) t and x_t of each of its steps."""

    t: list[Tensor] = field(default_factory=list)
    x_t: list[Tensor] = field(default_factory=list)


@contextmanager
def network_calls() -> Iterator[Calls]:
    """Record every step that a shared network takes."""
    calls, real = Calls(), SharedDenoiser.predict

    def recorded(
        self: SharedDenoiser, x_t: Tensor, t: Tensor, condition: Condition | None
    ) -> Prediction:
        calls.t.append(t.clone())
        calls.x_t.append(x_t.clone())
        return real(self, x_t, t, condition)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SharedDenoiser, "predict", recorded)
        yield calls


def x_0_of(pixels: Pixels) -> Tensor:
    """(H, W, 3) uint8 as (1, 3, H, W) in [-1, 1]."""
    return to_unit(pixels[None])
