"""The objective of an autoencoder: pixels and cosine bands alike, and latents near N(0, I)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from app.training.autoencoder_config import BLOCK, AutoencoderConfig
from app.training.batches import Batch
from app.training.objective import Losses

if TYPE_CHECKING:
    from app.training.trainer import TrainState


@dataclass(frozen=True, eq=False)
class AutoencoderBatch(Batch):
    """Pictures as x_0, and eps for their latents, all of a t of 0.

    Attributes:
        halved: Whether latents are halved before they are decoded.
    """

    halved: bool = False

    def rows(self, rows: slice) -> "AutoencoderBatch":
        """Return the batch of these rows alone."""
        return AutoencoderBatch(self.x_0[rows], self.eps[rows], self.t[rows], None, self.halved)


@dataclass(frozen=True, eq=False)
class AutoencoderObjective:
    """The absolute error of pixels and of their blocks' cosine bands, and the KL divergence.

    A band counts in proportion to a power of its frequency, for there is the less of a band in
    pictures the finer it is. No network judges: what a network has seen, it would bring along.

    Attributes:
        config: The weights of the parts.
    """

    config: AutoencoderConfig

    @property
    def timesteps(self) -> int:
        """The number of timesteps: an autoencoder knows none but t = 0."""
        return 1

    def of_batch(
        self,
        state: "TrainState",
        batch: Batch,
        weights: Mapping[str, Tensor] | None = None,
        *,
        network: nn.Module | None = None,
    ) -> Losses:
        """Compute the losses of `batch`; `simple` is the mean square error of the pictures.

        Args:
            state: Runs the network.
            batch: Pictures and noise for their latents.
            weights: Weights to use in place of the network's own weights of the same names.
            network: The wrapped network of a run of several processes.
        """
        halved = isinstance(batch, AutoencoderBatch) and batch.halved
        x = batch.x_0.to(state.device, memory_format=torch.channels_last)
        arguments = x, batch.eps.to(state.device)
        out, mean, log_variance = state.call(arguments, weights, network=network, halved=halved)
        error = out - (avg_pool2d(x, 2) if halved else x)
        absolute = error.abs().flatten(1).mean(1)
        bands = (cosine_bands(error).abs() * self._weights.to(error)).flatten(1).mean(1)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1) / 2
        config = self.config
        total = absolute + config.band_weight * bands
        total = total + config.kl_weight * divergence / error[0].numel()
        return Losses(error.square().flatten(1).mean(1), total)

    @property
    def _weights(self) -> Tensor:
        """The bands' weights, (BLOCK, BLOCK), of mean 1."""
        steps = torch.arange(float(BLOCK))
        frequency = torch.hypot(steps[:, None], steps).clamp(min=1)
        weights = frequency**self.config.band_exponent
        return torch.as_tensor(weights / weights.mean())


@lru_cache(maxsize=1)
def _cosines() -> Tensor:
    """Return the orthonormal DCT-II of BLOCK numbers, a row for each frequency."""
    at = (torch.arange(BLOCK, dtype=torch.float64) + 0.5) * math.pi / BLOCK
    rows = torch.cos(torch.arange(BLOCK, dtype=torch.float64)[:, None] * at) * math.sqrt(2 / BLOCK)
    rows[0] /= math.sqrt(2)
    return rows.float()


def cosine_bands(pictures: Tensor) -> Tensor:
    """Take pictures (B, C, H, W) apart into the cosine bands of their 8 x 8 blocks (DCT-II).

    Returns:
        (B, C, H / 8, W / 8, 8, 8): the vertical frequency before the horizontal one. The bands of a
        block have the same sum of squares as its pixels.
    """
    b, c, height, width = pictures.shape
    cosines = _cosines().to(pictures)
    blocks = pictures.reshape(b, c, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(3, 4)
    return torch.as_tensor(cosines @ blocks @ cosines.T)
