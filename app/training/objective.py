"""What training minimises: L_simple, its weightings, and L_vlb with a learned variance.

Ho et al. (2020), https://arxiv.org/abs/2006.11239 (DDPM); Nichol & Dhariwal (2021),
https://arxiv.org/abs/2102.09672 (learned variance); Hang et al. (2023),
https://arxiv.org/abs/2303.09556 (min-SNR); Hoogeboom, Heek & Salimans (2023),
https://arxiv.org/abs/2301.11093 (multiscale); Salimans & Ho (2022),
https://arxiv.org/abs/2202.00512 (v).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from app.diffusion.denoiser import Prediction, Target, estimate
from app.diffusion.forward import posterior
from app.diffusion.likelihood import discretized_gaussian_log_likelihood, gaussian_kl
from app.diffusion.schedule import NoiseSchedule


@dataclass(frozen=True, eq=False)
class Losses:
    """The losses of a batch, (B,) each: `simple` without weights, and the `total` to minimise."""

    simple: Tensor
    total: Tensor


@dataclass(frozen=True, eq=False)
class Objective:
    """L_simple, with the coarse error and weighted by min-SNR where asked for, plus lambda L_vlb.

    Attributes:
        schedule: The forward process.
        target: What the network predicts.
        vlb_weight: lambda; above 0 the network's output has 2C channels.
        min_snr_gamma: gamma of the weighting; None is none.
        multiscale_gamma: Up to this SNR the coarse error counts too, and above it the less the
            larger the SNR, for there x_t doesn't tell coarse noise from the picture; None is
            without.
    """

    schedule: NoiseSchedule
    target: Target
    vlb_weight: float = 0.0
    min_snr_gamma: float | None = None
    multiscale_gamma: float | None = None

    def losses(self, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, eps: Tensor) -> Losses:
        """The losses of `output` (B, C or 2C, H, W), what the network says of x_t at `t` (B,)."""
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
            # The sum over the timesteps is T times the mean over them that a random t estimates.
            steps = self.schedule.num_train_timesteps
            total = total + self.vlb_weight * steps * self.vlb_terms(mean, variance, x_0, x_t, t)
        return Losses(simple, total)

    def vlb_terms(
        self, mean: Tensor, variance: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor
    ) -> Tensor:
        """L_{t} of each picture in bits per dimension, (B,): L_{t-1} of eq. 5, or L_0 at t = 0.

        The gradient reaches `variance` alone: the mean is L_simple's business (Nichol & Dhariwal,
        section 3.1).
        """
        prediction = Prediction(mean.detach(), self.target)
        x_0_hat = estimate(self.schedule, prediction, x_t, t, clip=False).x_0_hat
        model_mean = posterior(self.schedule, x_0_hat, x_t, t, t - 1).mean
        log_small, log_large = self._log_variances(t)
        log_var = _interpolated(variance, log_small.to(x_t), log_large.to(x_t))
        true_mean = posterior(self.schedule, x_0, x_t, t, t - 1).mean
        kl = gaussian_kl(true_mean, log_small.to(x_t), model_mean, log_var)
        decoder = -discretized_gaussian_log_likelihood(x_0, model_mean, 0.5 * log_var)
        nats = torch.where((t == 0).view(-1, 1, 1, 1), decoder, kl)
        return nats.flatten(1).mean(1) / math.log(2)

    def _wanted(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """What the network should have said."""
        a_t = self.schedule.alpha_bar(t)
        match self.target:
            case "epsilon":
                return eps
            case "sample":
                return x_0
            case "v_prediction":
                return a_t.sqrt().to(eps) * eps - (1 - a_t).sqrt().to(x_0) * x_0

    def _min_snr(self, t: Tensor) -> Tensor:
        """min(snr, gamma) as a weight of x_0's error, in terms of the target's error: (B,)."""
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
        """alpha_bar_t / (1 - alpha_bar_t), (B,) float64."""
        a_t = self.schedule.alpha_bar(t).flatten()
        return a_t / (1 - a_t)

    def _log_variances(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The logs of beta_tilde and log beta at `t`, (B, 1, 1, 1) float64 each.

        beta_tilde is 0 at t = 0; it is given t = 1's, as Nichol & Dhariwal do.
        """
        later = t.clamp(min=1)
        a_t, a_s = self.schedule.alpha_bar(later), self.schedule.alpha_bar(later - 1)
        small = (1 - a_t / a_s) * (1 - a_s) / (1 - a_t)
        large = 1 - self.schedule.alpha_bar(t) / self.schedule.alpha_bar(t - 1)
        return small.log(), large.log()


def coarse(error: Tensor) -> Tensor:
    """The sum over s = S/2, S/4, ..., 1 of S/s times L_simple at s x s pixels, (B,).

    At s x s it is the mean square of the `error` (B, C, S, S) averaged to that size: the multiscale
    loss of Hoogeboom et al. (section 3.3, where it ends at s = 32). Added to L_simple it leaves
    the minimum where it is, at the posterior mean. But of the S x S x C numbers in L_simple the
    mean colour is only C, so a network is slow to learn it; and at a large t a small error of it
    in eps is a large one in x_0.
    """
    total = torch.zeros(error.shape[0], dtype=error.dtype, device=error.device)
    weight = 1.0
    while min(error.shape[-2:]) > 1:
        error, weight = avg_pool2d(error, 2), 2 * weight
        total = total + weight * error.square().flatten(1).mean(1)
    return total


def _interpolated(variance: Tensor, log_small: Tensor, log_large: Tensor) -> Tensor:
    """The log variance that `variance`, in about [-1, 1], stands for (N. & D., eq. 15)."""
    share = (variance + 1) / 2
    return share * log_large + (1 - share) * log_small
