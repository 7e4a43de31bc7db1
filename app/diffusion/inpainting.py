"""Inpainting with a network that never learned it: a part painted anew, the rest of it kept.

At each step what is known of the picture takes its place in x_0_hat, before the sampler sees it:
the null-space rule of DDNM (Wang et al. 2022, https://arxiv.org/abs/2212.00490) for a mask, which
asks nothing of the sampler. With resampling, each stretch of the way back is walked several times
(RePaint, Lugmayr et al. 2022, https://arxiv.org/abs/2201.09865): x_s is noised back to x_t, so that
what is painted and what is known have time to agree.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Denoiser, Estimate, Prediction, estimate
from app.diffusion.forward import q_step
from app.diffusion.samplers.base import Sampler
from app.diffusion.schedule import CLEAN, NoiseSchedule
from app.diffusion.seeds import SeededNoise

STRETCHES: Final = 10
"""The stretches of a way back, each of which a solver of second order walks in several steps."""

FINISH: Final = 0.2
"""The share of the steps at the end that are walked once: there is nothing left to agree on, and
each jump would take details away."""


def resampled(timesteps: Tensor, times: int) -> Tensor:
    """Return `timesteps` (n,), descending, with all STRETCHES but the last walked `times`."""
    n = len(timesteps)
    stretch = max(1, round(n / STRETCHES))
    parts = timesteps.split(stretch)
    again = (times if place * stretch < (1 - FINISH) * n else 1 for place in range(len(parts)))
    return torch.cat([part.repeat(so_often) for part, so_often in zip(parts, again, strict=True)])


@dataclass(frozen=True, eq=False)
class KnownPart:
    """A picture of which a part is kept.

    Attributes:
        x_0: The picture, (1, C, H, W) in [-1, 1].
        weight: How much what is painted counts, (1, 1, H, W): 0 where the picture is kept.
    """

    x_0: Tensor
    weight: Tensor

    @classmethod
    def outside(cls, x_0: Tensor, mask: Tensor, feather: int) -> Self:
        """Keep what of `x_0` lies outside a `mask`, (1, 1, H, W) bool, whose edge is feathered.

        The `feather` pixels inside it that are nearest to what is kept are mixed with the picture.
        """
        known = (~mask).float()
        grown = [F.max_pool2d(known, 2 * r + 1, stride=1, padding=r) for r in range(feather + 1)]
        return cls(x_0, 1 - torch.stack(grown).mean(0))

    def blended(self, x: Tensor) -> Tensor:
        """Put what is known into `x` (B, C, H, W)."""
        return self.weight * x + (1 - self.weight) * self.x_0

    def restored(self, x: Tensor) -> Tensor:
        """Give `x` (B, C, H, W) the very values of `x_0` wherever the picture is kept."""
        return torch.where(self.weight == 0, self.x_0, x)


@dataclass(frozen=True, eq=False)
class ConsistentDenoiser:
    """A Denoiser whose x_0_hat agrees with what is known.

    Attributes:
        denoiser: The network.
        schedule: The schedule that it was trained with.
        known: Puts what is known into an x_0_hat (B, C, H, W).
        clip: Whether x_0_hat is kept in [-1, 1] before.
    """

    denoiser: Denoiser
    schedule: NoiseSchedule
    known: Callable[[Tensor], Tensor]
    clip: bool

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        """Predict x_0 at `x_t` (B, C, H, W) and `t` (B,)."""
        prediction = self.denoiser.predict(x_t, t, condition)
        guess = estimate(prediction, x_t, self.schedule.alpha_bar(t), clip=self.clip)
        return Prediction(self.known(guess.x_0_hat), "sample", prediction.variance)


class ResamplingSampler:
    """A Sampler whose timesteps go back up: there x_s is noised to x_t by q(x_t | x_s).

    Solvers remember earlier steps, so that after each such jump begins another one, which `make`
    makes for the timesteps from there on.
    """

    def __init__(
        self, schedule: NoiseSchedule, timesteps: Tensor, make: Callable[[Tensor], Sampler]
    ) -> None:
        self._schedule, self._make = schedule, make
        self._walk = timesteps.tolist()
        self._path = timesteps.unique().flip(0)
        self._place = {t: place for place, t in enumerate(self._path.tolist())}
        self._begin(self._walk[0])

    def step(self, estimate: Estimate, x_t: Tensor, index: int, noise: SeededNoise) -> Tensor:
        """Take `x_t` to x_s, and where the next timestep is above s, back up to that."""
        place = self._place[self._walk[index]]
        x_s = self._sampler.step(estimate, x_t, place - self._first, noise)
        after = self._walk[index + 1] if index + 1 < len(self._walk) else CLEAN
        s = int(self._path[place + 1]) if place + 1 < len(self._path) else CLEAN
        if after == s:
            return x_s
        self._begin(after)
        jump = q_step(self._schedule, x_s, torch.tensor([after]), torch.tensor([s]))
        return jump.sample(noise.draw(x_s.shape[1:]))

    def _begin(self, t: int) -> None:
        self._first = self._place[t]
        self._sampler = self._make(self._path[self._first :])
