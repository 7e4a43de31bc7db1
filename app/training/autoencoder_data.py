"""What an autoencoder is trained on, is measured on, and is shown by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from app.datasets.folder import DecodedPictures
from app.diffusion.seeds import derived_seed
from app.images.arrays import Pixels
from app.images.pixels import evenly_spaced, joined, to_bytes, to_unit
from app.training.architecture import Architecture
from app.training.autoencoder_config import AutoencoderConfig
from app.training.autoencoder_objective import AutoencoderBatch
from app.training.batches import draw
from app.training.config import TrainConfig
from app.training.objective import TrainingObjective
from app.training.trainer import TrainState
from app.training.validation import GoesOn, HeldOut, HeldOutLoss

_STEP: Final = 6

_PEAK: Final = 4.0
"""The square of the range of pictures, [-1, 1]."""

_LEAST: Final = 1e-6
"""Less squared error than whole levels have: a picture that is met exactly has no PSNR."""


@dataclass(frozen=True, eq=False)
class AutoencoderData:
    """The pictures to train an autoencoder on, at the one size that they are kept at."""

    pictures: DecodedPictures

    def views(self, config: TrainConfig, step: int, timesteps: int) -> AutoencoderBatch:
        """Return the batch of `step`, counted from 0, with t in [0, `timesteps`).

        Raises:
            ValueError: If `config` is a model's.
        """
        wish = config.autoencoder
        if wish is None:
            raise ValueError("only an autoencoder has views without noise")
        pixels, size = self.pictures.pixels[wish.side], config.size_at(step)
        side = size // wish.factor
        shape = (wish.latent_channels, side, side)
        draws = draw(config, step, pictures=len(pixels), shape=shape, timesteps=timesteps)
        generator = torch.Generator().manual_seed(derived_seed(config.seed, _STEP, step))
        room = wish.side - size + 1
        corners = torch.randint(room, (config.batch_size, 2), generator=generator).tolist()
        halved = float(torch.rand((), generator=generator)) < wish.equivariant_share
        crops = [
            pixels[i, y : y + size, x : x + size]
            for i, (y, x) in zip(draws.index.tolist(), corners, strict=True)
        ]
        x_0 = to_unit(np.stack(crops))
        x_0[draws.mirrored] = x_0[draws.mirrored].flip(-1)
        return AutoencoderBatch(x_0, draws.eps, draws.t, None, halved)


@dataclass(frozen=True, eq=False)
class AutoencoderHeldOutLoss(HeldOutLoss):
    """An autoencoder's held-out loss: the mean square error of pictures in [-1, 1]."""

    @property
    def psnr_db(self) -> float:
        """The mean over the pictures of their PSNR, in dB."""
        return float(10 * torch.log10(_PEAK / self.losses.clamp(min=_LEAST)).mean())

    @property
    def figures(self) -> dict[str, object]:
        """What a metrics line says of it."""
        return {"mean": self.mean, "psnr_db": self.psnr_db}


@dataclass(frozen=True, eq=False)
class AutoencoderHeldOut(HeldOut):
    """Held-out pictures, (N, C, S, S), whose latents are their means."""

    @classmethod
    def whole(cls, pixels: Pixels, config: AutoencoderConfig) -> "AutoencoderHeldOut":
        """Take the pictures (N, S, S, C) uint8 as they are."""
        count, side = len(pixels), config.side // config.factor
        eps = torch.zeros(1, config.latent_channels, side, side).expand(count, -1, -1, -1)
        return cls(to_unit(pixels), eps, torch.zeros(count, dtype=torch.int64), None, count)

    @torch.no_grad()
    def loss(
        self,
        state: TrainState,
        weights: Mapping[str, Tensor],
        objective: TrainingObjective,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> AutoencoderHeldOutLoss | None:
        """Measure how well the pictures are met; None if `is_stopping` turns true meanwhile."""
        losses = self.losses(state, weights, objective, is_stopping)
        if losses is None:
            return None
        return AutoencoderHeldOutLoss(losses.simple, self.t, objective.timesteps)

    @torch.no_grad()
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
        """Show `sample_count` of the pictures, each above what the autoencoder makes of it.

        Returns:
            A column for each, uint8; None if `goes_on` turns false.
        """
        few = list(evenly_spaced(config.sample_count, len(self.x_0)))
        if not goes_on(0, len(few)):
            return None
        x, eps = (each[few].to(state.device) for each in (self.x_0, self.eps))
        out, _, _ = state.call((x, eps), weights, halved=False)
        cells = to_bytes(torch.cat([x.cpu(), out.cpu()]))
        return joined(cells.reshape(2, len(few), *cells.shape[1:]))
