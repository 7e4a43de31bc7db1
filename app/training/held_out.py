"""Held-out loss: L_simple on pictures that aren't trained on, always with the same noise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from app.diffusion.forward import q_sample
from app.diffusion.noise import derived_seed
from app.training.batch import to_unit
from app.training.dataset import Pixels
from app.training.objective import Objective
from app.training.trainer import Forward, Learner, by_quarter

ROWS: Final = 128
"""Pairs of picture and noise at least; pictures come again where there are fewer."""

BATCH: Final = 32
_NOISE: Final = 3


@dataclass(frozen=True)
class HeldOutLoss:
    """The mean loss, and in each quarter of [0, T)."""

    mean: float
    by_quarter: tuple[float | None, ...]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The pictures, (N, C, S, S) in [-1, 1], each with a timestep, noise and maybe a label.

    The first `count` are all there are; then they come again. The timesteps lie evenly in
    [0, T). Neither they nor the noise ever change, in whatever run, so that two losses on the
    same pictures differ by the weights alone.
    """

    x_0: Tensor
    t: Tensor
    eps: Tensor
    labels: Tensor | None
    count: int

    @classmethod
    def made(cls, pixels: Pixels, labels: Tensor | None, timesteps: int) -> "HeldOut":
        """From the bytes (N, S, S, C) of the pictures and their labels (N,)."""
        rows = len(pixels) * -(-ROWS // len(pixels))
        index = torch.arange(rows) % len(pixels)
        x_0 = to_unit(pixels)[index]
        # Pictures are in order of their names; so neighbours mustn't get neighbouring timesteps.
        generator = torch.Generator().manual_seed(derived_seed(_NOISE))
        even = (torch.arange(rows) + 0.5) * (timesteps / rows)
        t = even.long()[torch.randperm(rows, generator=generator)]
        eps = torch.randn(x_0.shape, generator=generator)
        return cls(x_0, t, eps, None if labels is None else labels[index], len(pixels))

    @torch.no_grad()
    def loss(
        self,
        forward: Forward,
        learner: Learner,
        weights: Mapping[str, Tensor],
        aim: Objective,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> HeldOutLoss | None:
        """L_simple, without any weighting, of the learner's network with `weights`.

        None if `is_stopping` meanwhile: it can take longer than whoever stops a run waits.
        """
        parts = []
        for start in range(0, len(self.t), BATCH):
            if is_stopping():
                return None
            rows = slice(start, start + BATCH)
            x_0, t, eps = self.x_0[rows], self.t[rows], self.eps[rows]
            labels = None if self.labels is None else self.labels[rows]
            x_t = q_sample(aim.schedule, x_0, t, eps)
            out = forward.with_weights(learner.network, weights, x_t, t, labels).cpu()
            parts.append(aim.losses(out, x_0, x_t, t, eps).simple)
        losses = torch.cat(parts)
        quarters = by_quarter(losses, self.t, aim.schedule.num_train_timesteps)
        return HeldOutLoss(float(losses.mean()), quarters)
