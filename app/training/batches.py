"""A step's batch and everything random about it, derived from (seed, step) alone.

A resumed run therefore draws what an uninterrupted one would have drawn, and where there are
several processes, all draw the same batch and each takes its own rows.

With immiscible assignment each picture gets the noise of its batch that lies nearest to it:
Li et al. (2024), https://arxiv.org/abs/2406.12303, algorithm 1. Only which noise goes to which
picture changes. The noise is drawn independently of the pictures, and a permutation of independent
draws keeps their marginal, so each noise is still N(0, I). Given its picture, however, the noise is
no longer N(0, I), which leaves the network less to disentangle at high noise.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.datasets.folder import DecodedPictures
from app.datasets.labels import PictureLabels
from app.diffusion.conditioning import Condition
from app.diffusion.seeds import derived_seed
from app.images.arrays import Pixels
from app.images.pixels import to_unit
from app.training.config import TrainConfig

_ORDER, _STEP = 0, 1
_ASPECTS: Final = (3 / 4, 4 / 3)


@dataclass(frozen=True, eq=False)
class StepRandomness:
    """The random draws of one step.

    Attributes:
        index: (B,) int64, the pictures' numbers, from an order shuffled anew each epoch.
        t: (B,) int64, the timesteps.
        eps: (B, C, S, S), standard normal.
        mirrored: (B,) bool, which pictures are mirrored.
        unlabelled: (B,) bool, which pictures are shown with the null label.
        boxes: (B, 4) float64: left, top, right, bottom of the crop, each in [0, 1].
        labels: (B,) in [0, 1), by which of a picture's labels one is chosen.
    """

    index: Tensor
    t: Tensor
    eps: Tensor
    mirrored: Tensor
    unlabelled: Tensor
    boxes: Tensor
    labels: Tensor


def draw(
    config: TrainConfig, step: int, *, pictures: int, shape: tuple[int, int, int], timesteps: int
) -> StepRandomness:
    """Draw everything random about `step`, counted from 0.

    Args:
        config: The run's configuration.
        step: Steps done before this one.
        pictures: How many pictures there are to choose from.
        shape: (C, S, S), the shape of a picture at this step.
        timesteps: T, the number of timesteps.
    """
    batch = config.batch_size
    generator = torch.Generator().manual_seed(derived_seed(config.seed, _STEP, step))
    eps = torch.randn((batch, *shape), generator=generator)
    t = _timesteps(batch, timesteps, config.stratified, generator)
    mirrored = torch.rand(batch, generator=generator) < (0.5 if config.flip else 0.0)
    dropout = config.labels.dropout if config.labels else 0.0
    unlabelled = torch.rand(batch, generator=generator) < dropout
    boxes = _boxes(batch, config.crop_scale, generator)
    labels = torch.rand(batch, generator=generator)
    index = _order(config.seed, step * batch, batch, pictures)
    return StepRandomness(index, t, eps, mirrored, unlabelled, boxes, labels)


def _timesteps(batch: int, timesteps: int, stratified: bool, generator: torch.Generator) -> Tensor:
    """Draw (B,) timesteps, uniform over [0, T); stratified, one in each of B equal strata."""
    if not stratified:
        return torch.randint(timesteps, (batch,), generator=generator)
    # float32 draws end 2**-24 short of 1, so that in float64 the last stratum stays below T.
    within = torch.rand(batch, generator=generator).double()
    return ((torch.arange(batch) + within) * (timesteps / batch)).long()


def _boxes(batch: int, least: float, generator: torch.Generator) -> Tensor:
    """Draw boxes (B, 4): area uniform in [least, 1], log aspect uniform over 3:4 to 4:3."""
    draws = torch.rand((batch, 4), generator=generator).double()
    area = least + (1 - least) * draws[:, 0]
    low, high = (math.log(aspect) for aspect in _ASPECTS)
    aspect = torch.exp(low + (high - low) * draws[:, 1])
    # Near the whole area only aspects near 1 fit: there the longer side spans the picture.
    aspect = torch.minimum(torch.maximum(aspect, area), 1 / area)
    sides = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], dim=1)
    start = draws[:, 2:] * (1 - sides)
    return torch.cat([start, start + sides], dim=1)


def _order(seed: int, start: int, count: int, pictures: int) -> Tensor:
    """Return the pictures' numbers at `start` to `start + count` of the endless order."""
    places = range(start, start + count)
    return torch.stack([_permutation(seed, p // pictures, pictures)[p % pictures] for p in places])


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, pictures: int) -> Tensor:
    generator = torch.Generator().manual_seed(derived_seed(seed, _ORDER, epoch))
    return torch.randperm(pictures, generator=generator)


def immiscible(x_0: Tensor, eps: Tensor) -> Tensor:
    """Reorder `eps` (B, C, H, W) so that the sum of ||x_0 - eps||^2 is least."""
    # Not at the top, for the page has batches timed, and needn't wait for it to be imported.
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415

    # ||x - e||^2 = ||x||^2 + ||e||^2 - 2 x.e, and any assignment has the same sum of the first two.
    cost = -(x_0.flatten(1).double() @ eps.flatten(1).double().T)
    _, columns = linear_sum_assignment(cost.numpy())
    return eps[torch.from_numpy(columns)]


@dataclass(frozen=True, eq=False)
class Batch:
    """A step's batch: x_0 in [-1, 1] and eps (B, C, S, S), t (B,) int64, and the condition."""

    x_0: Tensor
    eps: Tensor
    t: Tensor
    condition: Condition | None

    def rows(self, rows: slice) -> "Batch":
        """Return the batch of these rows alone."""
        condition = None if self.condition is None else self.condition.rows(rows)
        return Batch(self.x_0[rows], self.eps[rows], self.t[rows], condition)


class Views(Protocol):
    """A step's batch, of which each process makes its own rows; a `Batch` is one."""

    def rows(self, rows: slice) -> Batch:
        """Return the batch of these rows alone."""


class Examples(Protocol):
    """What a run trains on: pictures, and how a step's batch is made of them."""

    @property
    def pictures(self) -> DecodedPictures:
        """The pictures, at every size that is kept."""

    def views(self, config: TrainConfig, step: int, timesteps: int) -> Views:
        """Return the batch of `step`, counted from 0, with t in [0, `timesteps`)."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The pictures to train a model on, with their labels.

    Attributes:
        pictures: The pictures at every stored size.
        labels: The pictures' labels; None if there are no classes.
    """

    pictures: DecodedPictures
    labels: PictureLabels | None = None

    def views(self, config: TrainConfig, step: int, timesteps: int) -> Batch:
        """Return the batch of `step`, counted from 0, with t in [0, `timesteps`)."""
        size = config.size_at(step)
        pixels = self.pictures.pixels[stored_size(size, config.crop_scale)]
        shape = (pixels.shape[-1], size, size)
        draws = draw(config, step, pictures=len(pixels), shape=shape, timesteps=timesteps)
        return make_batch(config, pixels, self.labels, draws)


def stored_size(size: int, crop_scale: float) -> int:
    """Return the side in pixels to keep pictures at, so that the smallest crop has `size`."""
    return math.ceil(size / math.sqrt(crop_scale))


def make_batch(
    config: TrainConfig, pixels: Pixels, labels: PictureLabels | None, draws: StepRandomness
) -> Batch:
    """Make the batch of `draws` from `pixels` (N, S', S', C) uint8 and their `labels`."""
    chosen = pixels[draws.index.numpy()]
    size = draws.eps.shape[-1]
    if config.crop_scale < 1:
        chosen = _cropped(chosen, draws.boxes, size)
    x_0 = to_unit(chosen)
    x_0[draws.mirrored] = x_0[draws.mirrored].flip(-1)
    return batch_of(config, x_0, labels, draws)


def batch_of(
    config: TrainConfig, x_0: Tensor, labels: PictureLabels | None, draws: StepRandomness
) -> Batch:
    """Make the batch of `draws` whose pictures are `x_0` (B, C, S, S), with their `labels`."""
    condition = None
    if labels is not None:
        condition = Condition(labels.drawn(draws.index, draws.labels, draws.unlabelled))
    eps = immiscible(x_0, draws.eps) if config.immiscible else draws.eps
    return Batch(x_0, eps, draws.t, condition)


def _cropped(pixels: Pixels, boxes: Tensor, size: int) -> Pixels:
    side = pixels.shape[1]
    crops = [
        Image.fromarray(picture.squeeze()).resize(
            (size, size), Image.Resampling.LANCZOS, box=tuple(min(b * side, side) for b in box)
        )
        for picture, box in zip(pixels, boxes.tolist(), strict=True)
    ]
    return np.stack([np.asarray(crop).reshape(size, size, -1) for crop in crops])
