"""What a run tells of its weights: the held-out loss and grids of samples, from fixed noise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Prediction, require_finite
from app.diffusion.reverse import reverse_process, spaced_timesteps
from app.diffusion.samplers.solvers import dpm_solver
from app.diffusion.seeds import SeededNoise, derived_seed
from app.images.arrays import Pixels
from app.images.pixels import to_bytes, to_unit
from app.images.sheets import tiled
from app.training.architecture import Architecture
from app.training.batches import Batch
from app.training.config import TrainConfig
from app.training.objective import Losses, TrainingObjective
from app.training.trainer import TrainState, by_quarter

ROWS: Final = 128
"""The least number of pairs of picture and noise; fewer pictures are repeated."""

BATCH: Final = 32

GoesOn = Callable[[int, int], bool]
"""Told how many pictures, of how many, have been through the network for a grid of samples; the
grid is given up where it returns False."""

_NOISE, _SAMPLES = 3, 4


@dataclass(frozen=True, eq=False)
class HeldOutLoss:
    """L_simple (eq. 14) of N pairs of a picture and noise, the same pairs at each measurement.

    Attributes:
        losses: (N,), the loss of each pair.
        t: (N,) int64, the timestep of each pair.
        timesteps: T, the number of timesteps.
    """

    losses: Tensor
    t: Tensor
    timesteps: int

    @property
    def mean(self) -> float:
        """The mean loss over all pairs."""
        return float(self.losses.mean())

    @property
    def by_quarter(self) -> tuple[float | None, ...]:
        """The mean loss in each quarter of [0, T); None where no t lies in the quarter."""
        return by_quarter(self.losses, self.t, self.timesteps)

    @property
    def figures(self) -> dict[str, object]:
        """What a metrics line says of it."""
        return {"mean": self.mean, "by_quarter": self.by_quarter}


def fixed_noise(
    pictures: int, shape: Sequence[int], timesteps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw what each of so many `pictures` is noised with, always alike.

    Returns:
        The pictures' numbers, repeated until there are ROWS or more, (N,) int64; timesteps, evenly
        in [0, T), (N,) int64; and noise, (N, *shape).
    """
    rows = pictures * -(-ROWS // pictures)
    # Pictures are ordered by name, so neighbours mustn't get neighbouring timesteps.
    generator = torch.Generator().manual_seed(derived_seed(_NOISE))
    even = (torch.arange(rows) + 0.5) * (timesteps / rows)
    t = even.long()[torch.randperm(rows, generator=generator)]
    return torch.arange(rows) % pictures, t, torch.randn((rows, *shape), generator=generator)


@dataclass(frozen=True, eq=False)
class HeldOut(Batch):
    """Held-out pictures, (N, C, S, S) in [-1, 1], each with a timestep, noise and a condition.

    The first `count` are all the pictures there are; after them the pictures are repeated. The
    timesteps lie evenly in [0, T). Timesteps and noise are the same in every run, so that two
    losses on the same pictures differ by the weights alone.
    """

    count: int

    @classmethod
    def made(cls, pixels: Pixels, labels: Tensor | None, timesteps: int) -> "HeldOut":
        """Make the held-out pairs from pictures (N, S, S, C) uint8 and their labels (N,) int64."""
        return cls.noised(to_unit(pixels), labels, timesteps)

    @classmethod
    def noised(cls, x_0: Tensor, labels: Tensor | None, timesteps: int) -> "HeldOut":
        """Make the held-out pairs from x_0 (N, C, S, S) and labels (N,) int64."""
        index, t, eps = fixed_noise(len(x_0), x_0.shape[1:], timesteps)
        condition = None if labels is None else Condition(labels[index])
        return cls(x_0[index], eps, t, condition, len(x_0))

    @torch.no_grad()
    def loss(
        self,
        state: TrainState,
        weights: Mapping[str, Tensor],
        objective: TrainingObjective,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> HeldOutLoss | None:
        """Measure the unweighted L_simple of the network with `weights` in place of its own.

        Returns:
            The loss, or None if `is_stopping` turns true meanwhile: the measurement can take
            longer than whoever stops a run waits.
        """
        losses = self.losses(state, weights, objective, is_stopping)
        if losses is None:
            return None
        return HeldOutLoss(losses.simple, self.t, objective.timesteps)

    def losses(
        self,
        state: TrainState,
        weights: Mapping[str, Tensor],
        objective: TrainingObjective,
        is_stopping: Callable[[], bool],
    ) -> Losses | None:
        """Compute the losses of all pairs, or None if `is_stopping` turns true meanwhile."""
        parts = []
        for start in range(0, len(self.t), BATCH):
            if is_stopping():
                return None
            some = self.rows(slice(start, start + BATCH))
            losses = objective.of_batch(state, some, weights).cpu()
            require_finite(losses.simple, some.t, "The loss on held-out pictures")
            parts.append(losses)
        return Losses.joined(parts)


@dataclass(frozen=True, eq=False)
class WeightsDenoiser:
    """A Denoiser of the trained network with `weights` in place of its own."""

    state: TrainState
    weights: Mapping[str, Tensor]
    architecture: Architecture

    @torch.no_grad()
    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        """Predict for `x_t` (B, C, H, W) at `t` (B,)."""
        out = self.state.forward(x_t, t, condition, self.weights).cpu()
        require_finite(out, t, "What the network predicts for its samples")
        return Prediction.of(out.contiguous(), self.architecture.target, self.architecture.channels)


def sample_grid(
    config: TrainConfig,
    architecture: Architecture,
    state: TrainState,
    weights: Mapping[str, Tensor],
    size: int,
    *,
    goes_on: GoesOn = lambda done, total: True,
) -> Pixels | None:
    """Paint `sample_count` pictures of `size` px; with classes, each picture takes the next class.

    Returns:
        The pictures tiled as one, uint8; None if `goes_on` turns false meanwhile.
    """
    painted = sampled(config, architecture, state, weights, size, goes_on=goes_on)
    return None if painted is None else tiled(to_bytes(painted))


def sampled(
    config: TrainConfig,
    architecture: Architecture,
    state: TrainState,
    weights: Mapping[str, Tensor],
    size: int,
    *,
    goes_on: GoesOn,
) -> Tensor | None:
    """Sample `sample_count` x_0 of the side `size`, with noise that never changes.

    The sampler is DPM-Solver++ 2M SDE, whose noise never changes either: without fresh noise the
    errors of the first steps stay, and a network that is still learning makes many.

    Returns:
        (N, C, size, size); None if `goes_on` turns false meanwhile.
    """
    schedule = architecture.schedule
    noise = SeededNoise([derived_seed(_SAMPLES, i) for i in range(config.sample_count)])
    x_t = noise.draw((architecture.channels, size, size))
    condition = None
    if architecture.labels:
        condition = Condition(torch.arange(config.sample_count) % len(architecture.labels))
    timesteps = spaced_timesteps(config.sample_steps, schedule.num_train_timesteps)
    for frame in reverse_process(
        WeightsDenoiser(state, weights, architecture),
        schedule,
        x_t,
        timesteps,
        sampler=dpm_solver(schedule, timesteps, sde=True),
        noise=noise,
        clip=architecture.vqvae is None,
        condition=condition,
    ):
        if not goes_on(frame.index * len(x_t), frame.total * len(x_t)):
            return None
        x_t = frame.x_t
    return x_t
