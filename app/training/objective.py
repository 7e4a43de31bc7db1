"""The objective of training: L_simple, its weightings, and L_vlb with a learned variance.

Ho et al. (2020), https://arxiv.org/abs/2006.11239 (DDPM); Nichol & Dhariwal (2021),
https://arxiv.org/abs/2102.09672 (learned variance); Hang et al. (2023),
https://arxiv.org/abs/2303.09556 (min-SNR); Hoogeboom, Heek & Salimans (2023),
https://arxiv.org/abs/2301.11093 (multiscale); Salimans & Ho (2022),
https://arxiv.org/abs/2202.00512 (v).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from app.diffusion.bound import step_bpd
from app.diffusion.denoiser import Prediction, Target, estimate
from app.diffusion.forward import q_sample
from app.diffusion.schedule import NoiseSchedule
from app.training.batches import Batch

if TYPE_CHECKING:
    from app.training.trainer import TrainState


@dataclass(frozen=True, eq=False)
class Losses:
    """The losses of a batch.

    Attributes:
        simple: (B,), without the weights that learning needs: what losses are compared by.
        total: (B,), to be minimised.
        by_band: (B, 24), of a second stage's each band, without weights; None for a model.
    """

    simple: Tensor
    total: Tensor
    by_band: Tensor | None = None

    @classmethod
    def joined(cls, parts: "Sequence[Losses]") -> "Losses":
        """Join the losses of several parts of a batch, in their order."""
        bands = [part.by_band for part in parts if part.by_band is not None]
        return cls(
            torch.cat([part.simple for part in parts]),
            torch.cat([part.total for part in parts]),
            torch.cat(bands) if bands else None,
        )

    def cpu(self) -> "Losses":
        """Return the same losses on the CPU."""
        by_band = None if self.by_band is None else self.by_band.cpu()
        return Losses(self.simple.cpu(), self.total.cpu(), by_band)


class TrainingObjective(Protocol):
    """What a network is trained to make small."""

    @property
    def timesteps(self) -> int:
        """T, the number of timesteps that batches have."""

    def of_batch(
        self,
        state: "TrainState",
        batch: Batch,
        weights: Mapping[str, Tensor] | None = None,
        *,
        network: nn.Module | None = None,
    ) -> Losses:
        """Run the network of `state` on `batch`, and compute the losses on its device.

        Args:
            state: Runs the network.
            batch: The batch.
            weights: Weights to use in place of the network's own weights of the same names.
            network: The wrapped network of a run of several processes.
        """


@dataclass(frozen=True, eq=False)
class Objective:
    """L_simple, if set with the coarse error and the min-SNR weighting, plus lambda L_vlb.

    Attributes:
        schedule: The forward process.
        target: What the network predicts.
        vlb_weight: lambda; if it is above 0, the network's output has 2C channels.
        min_snr_gamma: gamma of the min-SNR weighting; None is without.
        multiscale_gamma: Up to this SNR the coarse error counts in full, and above it less as the
            SNR grows, because x_t then doesn't tell coarse noise from the picture; None is without.
    """

    schedule: NoiseSchedule
    target: Target
    vlb_weight: float = 0.0
    min_snr_gamma: float | None = None
    multiscale_gamma: float | None = None

    @property
    def timesteps(self) -> int:
        """T, the number of timesteps."""
        return self.schedule.num_train_timesteps

    def of_batch(
        self,
        state: "TrainState",
        batch: Batch,
        weights: Mapping[str, Tensor] | None = None,
        *,
        network: nn.Module | None = None,
    ) -> Losses:
        """Noise the pictures of `batch`, run the network on them, and compute its losses."""
        x_t = q_sample(self.schedule, batch.x_0, batch.t, batch.eps)
        out = state.forward(x_t, batch.t, batch.condition, weights, network=network)
        x_0, x_t, eps = (x.to(out.device) for x in (batch.x_0, x_t, batch.eps))
        return self.losses(out, x_0, x_t, batch.t, eps)

    def losses(self, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, eps: Tensor) -> Losses:
        """Compute the losses of the network's `output` (B, C or 2C, H, W) for `x_t` at `t` (B,)."""
        mean, variance = output, None
        if self.vlb_weight:
            mean, variance = output.chunk(2, dim=1)
        error = mean - self._wanted(x_0, t, eps)
        simple = error.square().flatten(1).mean(1)
        total = simple
        if self.multiscale_gamma is not None:
            share = (self.multiscale_gamma / self._snr(t)).clamp(max=1)
            total = total + share.to(simple) * coarse(error)
        if self.min_snr_gamma is not None:
            total = total * self._min_snr(t).to(total)
        if variance is not None:
            # A random t estimates the mean over the timesteps; L_vlb is the sum, T times that.
            steps = self.schedule.num_train_timesteps
            total = total + self.vlb_weight * steps * self.vlb_terms(mean, variance, x_0, x_t, t)
        return Losses(simple, total)

    def vlb_terms(
        self, mean: Tensor, variance: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor
    ) -> Tensor:
        """Compute each picture's L_{t-1}, or L_0 at t = 0, in bits per dimension, (B,).

        The gradient reaches `variance` alone: the mean is left to L_simple (Nichol & Dhariwal,
        section 3.1).
        """
        prediction = Prediction(mean.detach(), self.target, variance)
        guess = estimate(prediction, x_t, self.schedule.alpha_bar(t), clip=False)
        return step_bpd(self.schedule, x_0, x_t, guess, t, variance="learned")

    def _wanted(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Return the target (B, C, H, W) that the network's output is compared with."""
        a_t = self.schedule.alpha_bar(t)
        match self.target:
            case "epsilon":
                return eps
            case "sample":
                return x_0
            case "v_prediction":
                return a_t.sqrt().to(eps) * eps - (1 - a_t).sqrt().to(x_0) * x_0

    def _min_snr(self, t: Tensor) -> Tensor:
        """Return the weights (B,) of the target's error that give x_0's error min(snr, gamma)."""
        snr = self._snr(t)
        weight = snr.clamp(max=self.min_snr_gamma)
        match self.target:
            case "epsilon":
                return weight / snr
            case "sample":
                return weight
            case "v_prediction":
                return weight / (snr + 1)

    def _snr(self, t: Tensor) -> Tensor:
        """Compute the SNR, alpha_bar_t / (1 - alpha_bar_t), (B,) float64."""
        a_t = self.schedule.alpha_bar(t).flatten()
        return a_t / (1 - a_t)


def coarse(error: Tensor) -> Tensor:
    """Sum S/s times L_simple at s x s pixels over s = S/2, S/4, ..., 1: (B,).

    L_simple at s x s is the mean square of the `error` (B, C, S, S) averaged to that size. The sum
    is the multiscale loss of Hoogeboom et al. (section 3.3, where it ends at s = 32). Added to
    L_simple, the sum leaves the minimum where it is, at the posterior mean. It is needed because
    the mean colour is only C of the S x S x C numbers in L_simple, so a network is slow to learn
    it, and at a large t a small error of the colour in eps is a large one in x_0.
    """
    total = torch.zeros(error.shape[0], dtype=error.dtype, device=error.device)
    weight = 1.0
    while min(error.shape[-2:]) > 1:
        error, weight = avg_pool2d(error, 2), 2 * weight
        total = total + weight * error.square().flatten(1).mean(1)
    return total
