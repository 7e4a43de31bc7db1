"""What a run tells of a second stage: held-out losses by band, one step's gain, samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from app.diffusion.cascade import Bands, back_projected, enlarged
from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Prediction, estimate
from app.diffusion.seeds import derived_seed
from app.images.arrays import Pixels
from app.images.pixels import evenly_spaced, joined, to_bytes, to_unit
from app.painting.stages import HandOver, bands_frames
from app.training.architecture import Architecture
from app.training.config import TrainConfig
from app.training.objective import Objective, TrainingObjective
from app.training.stage_data import pair
from app.training.trainer import TrainState
from app.training.validation import GoesOn, HeldOut, HeldOutLoss, WeightsDenoiser, fixed_noise

SHOWN: Final = 32
"""The most pictures that are painted, and by which one step is measured."""

_LEAST: Final = 1e-6
"""Less squared error than whole levels have: a picture without detail has no PSNR."""

_SAMPLES: Final = 6


@dataclass(frozen=True, eq=False)
class StageHeldOutLoss(HeldOutLoss):
    """A second stage's held-out loss, its bands weighted by their deviations.

    Attributes:
        by_band: (24,), the mean squared error of v of each band, without weights.
        one_step_db: The PSNR of a single step from t = T less that of bicubic enlargement, in dB.
    """

    by_band: Tensor
    one_step_db: float

    @property
    def figures(self) -> dict[str, object]:
        """What a metrics line says of it."""
        own = {"by_band": self.by_band.tolist(), "one_step_db": self.one_step_db}
        return super().figures | own


@dataclass(frozen=True, eq=False)
class StageSamples:
    """Pictures to paint anew: `low_res` (N, 3, h, w), and what they are of, (N, 3, 4h, 4w)."""

    low_res: Tensor
    high_res: Tensor

    @classmethod
    def of(cls, pixels: Pixels, side: int) -> "StageSamples":
        """Shrink some of the pictures (N, S, S, 3) to `side` pixels, and to a quarter of that."""
        pairs = [pair(pixels[i], side) for i in evenly_spaced(SHOWN, len(pixels))]
        high_res, low_res = (to_unit(np.stack(each)) for each in zip(*pairs, strict=True))
        return cls(low_res, high_res)

    def sheet(
        self,
        config: TrainConfig,
        architecture: Architecture,
        state: TrainState,
        weights: Mapping[str, Tensor],
        size: int,
        *,
        goes_on: GoesOn = lambda done, total: True,
    ) -> Pixels | None:
        """Paint `sample_count` pictures, with noise that never changes; `size` doesn't matter.

        Returns:
            A row for each: enlarged bicubically, painted, and as it was; uint8. None if `goes_on`
            turns false meanwhile.
        """
        few = list(evenly_spaced(config.sample_count, len(self.low_res)))
        low_res, bands = self.low_res[few], architecture.stage_bands
        for frame in bands_frames(
            WeightsDenoiser(state, weights, architecture),
            architecture.schedule,
            HandOver(low_res, 0),
            steps=config.sample_steps,
            seeds=[derived_seed(_SAMPLES, i) for i in few],
            s_noise=(architecture.bands or {})["s_noise"],
        ):
            if not goes_on(frame.index * len(few), frame.total * len(few)):
                return None
            z = frame.x_t
        begun = enlarged(low_res)
        painted = back_projected(begun + bands.residual(z), low_res)
        rows = torch.stack([begun, painted, self.high_res[few]], 1)
        cells = to_bytes(rows.flatten(0, 1))
        return joined(cells.reshape(len(few), 3, *cells.shape[1:]))


@dataclass(frozen=True, eq=False)
class StageHeldOut(HeldOut):
    """Held-out pictures in bands, (N, 24, h, w), each with its small picture, a timestep and noise.

    Attributes:
        bands: The bands that x_0 are.
        samples: Some of the pictures, by which one step is measured.
    """

    bands: Bands
    samples: StageSamples

    @classmethod
    def of(cls, pixels: Pixels, side: int, bands: Bands, timesteps: int) -> "StageHeldOut":
        """Make the held-out pairs from pictures (N, S, S, 3) uint8, shrunk to `side` pixels."""
        made = []
        for picture in pixels:
            high_res, low_res = (to_unit(each[None]) for each in pair(picture, side))
            made.append((bands.of(high_res - enlarged(low_res)), low_res))
        x_0, low_res = (torch.cat(each) for each in zip(*made, strict=True))
        index, t, eps = fixed_noise(len(pixels), x_0.shape[1:], timesteps)
        condition = Condition(low_res=low_res[index], low_res_t=torch.zeros_like(index))
        samples = StageSamples.of(pixels, side)
        return cls(x_0[index], eps, t, condition, len(pixels), bands, samples)

    @torch.no_grad()
    def loss(
        self,
        state: TrainState,
        weights: Mapping[str, Tensor],
        objective: TrainingObjective,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> StageHeldOutLoss | None:
        """Measure as a model's is, and each band and a single step beside.

        Raises:
            TypeError: If the objective is no second stage's.
        """
        if not isinstance(objective, Objective):
            raise TypeError("a second stage's loss is measured by its own objective")
        losses = self.losses(state, weights, objective, is_stopping)
        if losses is None:
            return None
        return StageHeldOutLoss(
            losses.simple,
            self.t,
            objective.timesteps,
            by_band=torch.as_tensor(losses.by_band).mean(0),
            one_step_db=self.one_step_db(state, weights, objective),
        )

    @torch.no_grad()
    def one_step_db(
        self, state: TrainState, weights: Mapping[str, Tensor], objective: Objective
    ) -> float:
        """Measure a single step from t = T: its PSNR less that of enlargement alone, in dB."""
        low_res, schedule = self.samples.low_res, objective.schedule
        t = torch.full((len(low_res),), schedule.num_train_timesteps - 1)
        x_t = self.eps[: len(t)]  # at T nothing is left but noise
        condition = Condition(low_res=low_res, low_res_t=torch.zeros_like(t))
        out = state.forward(x_t, t, condition, weights).cpu()
        guess = estimate(Prediction(out, objective.target), x_t, schedule.alpha_bar(t), clip=False)
        missing = self.samples.high_res - enlarged(low_res)
        left = missing - self.bands.residual(guess.x_0_hat)
        before, after = (e.square().mean((1, 2, 3)).clamp(min=_LEAST) for e in (missing, left))
        return float(10 * torch.log10(before / after).mean())
