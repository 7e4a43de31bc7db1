"""Everything random about a step, derived from (seed, step) alone.

A resumed run therefore draws what an uninterrupted one would have drawn, and every process of
several draws the same and takes its own rows.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from app.diffusion.noise import derived_seed
from app.training.config import TrainConfig

_ORDER, _STEP = 0, 1
_ASPECTS: Final = (3 / 4, 4 / 3)


@dataclass(frozen=True, eq=False)
class Draws:
    """The draws of one step.

    Attributes:
        index: (B,) int64, the pictures, from an order shuffled anew each epoch.
        t: (B,) int64, the timesteps.
        eps: (B, C, S, S), standard normal.
        mirrored: (B,) bool.
        unlabelled: (B,) bool, which pictures are shown with the null label.
        boxes: (B, 4) float64: left, top, right, bottom of the crop, each in [0, 1].
    """

    index: Tensor
    t: Tensor
    eps: Tensor
    mirrored: Tensor
    unlabelled: Tensor
    boxes: Tensor


def draw(
    config: TrainConfig, step: int, *, pictures: int, shape: tuple[int, int, int], timesteps: int
) -> Draws:
    """The draws of `step`, from 0.

    Args:
        config: The run's.
        step: Steps done before it.
        pictures: How many there are to choose from.
        shape: (C, S, S) of the pictures at this step.
        timesteps: T.
    """
    batch = config.batch_size
    generator = torch.Generator().manual_seed(derived_seed(config.seed, _STEP, step))
    eps = torch.randn((batch, *shape), generator=generator)
    t = _timesteps(batch, timesteps, config.stratified, generator)
    mirrored = torch.rand(batch, generator=generator) < (0.5 if config.flip else 0.0)
    dropout = config.labels.dropout if config.labels else 0.0
    unlabelled = torch.rand(batch, generator=generator) < dropout
    boxes = _boxes(batch, config.crop_scale, generator)
    index = _order(config.seed, step * batch, batch, pictures)
    return Draws(index, t, eps, mirrored, unlabelled, boxes)


def _timesteps(batch: int, timesteps: int, stratified: bool, generator: torch.Generator) -> Tensor:
    """(B,) timesteps, each uniform over [0, T); stratified ones fall one into each T / B."""
    if not stratified:
        return torch.randint(timesteps, (batch,), generator=generator)
    # float32 draws end 2**-24 short of 1, so that in float64 the last stratum stays below T.
    within = torch.rand(batch, generator=generator).double()
    return ((torch.arange(batch) + within) * (timesteps / batch)).long()


def _boxes(batch: int, least: float, generator: torch.Generator) -> Tensor:
    """Random boxes: area uniform in [least, 1], log aspect uniform over 3:4 to 4:3."""
    draws = torch.rand((batch, 4), generator=generator).double()
    area = least + (1 - least) * draws[:, 0]
    low, high = (math.log(aspect) for aspect in _ASPECTS)
    aspect = torch.exp(low + (high - low) * draws[:, 1])
    # Near the whole area no aspect but 1 fits: then the longer side ends at the edge.
    aspect = torch.minimum(torch.maximum(aspect, area), 1 / area)
    sides = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], dim=1)
    start = draws[:, 2:] * (1 - sides)
    return torch.cat([start, start + sides], dim=1)


def _order(seed: int, start: int, count: int, pictures: int) -> Tensor:
    """The pictures at places `start` to `start + count` of the endless shuffled order."""
    places = range(start, start + count)
    return torch.stack([_permutation(seed, p // pictures, pictures)[p % pictures] for p in places])


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, pictures: int) -> Tensor:
    generator = torch.Generator().manual_seed(derived_seed(seed, _ORDER, epoch))
    return torch.randperm(pictures, generator=generator)
