"""What training minimises: L_simple, its weightings, and L_vlb with a learned variance.

Ho et al. (2020), https://arxiv.org/abs/2006.11239 (DDPM); Nichol & Dhariwal (2021),
https://arxiv.org/abs/2102.09672 (learned variance); Hang et al. (2023),
https://arxiv.org/abs/2303.09556 (min-SNR); Salimans & Ho (2022),
https://arxiv.org/abs/2202.00512 (v).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

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
    """L_simple, weighted by min-SNR where asked for, plus lambda L_vlb where lambda is not 0.

    Attributes:
        schedule: The forward process.
        target: What the network predicts.
        vlb_weight: lambda; above 0 the network's output has 2C channels.
        min_snr_gamma: gamma of the weighting; None is none.
    """

    schedule: NoiseSchedule
    target: Target
    vlb_weight: float = 0.0
    min_snr_gamma: float | None = None

    def losses(self, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, eps: Tensor) -> Losses:
        """The losses of `output` (B, C or 2C, H, W), what the network says of x_t at `t` (B,)."""
        mean, variance = output, None
        if self.vlb_weight:
            mean, variance = output.chunk(2, dim=1)
        simple = (mean - self._wanted(x_0, t, eps)).square().flatten(1).mean(1)
        total = simple if self.min_snr_gamma is None else simple * self._min_snr(t).to(simple)
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
        a_t = self.schedule.alpha_bar(t).flatten()
        snr = a_t / (1 - a_t)
        weight = snr.clamp(max=self.min_snr_gamma)
        match self.target:
            case "epsilon":
                return weight / snr
            case "sample":
                return weight
            case "v_prediction":
                return weight / (snr + 1)

    def _log_variances(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The logs of beta_tilde and log beta at `t`, (B, 1, 1, 1) float64 each.

        beta_tilde is 0 at t = 0; it is given t = 1's, as Nichol & Dhariwal do.
        """
        later = t.clamp(min=1)
        a_t, a_s = self.schedule.alpha_bar(later), self.schedule.alpha_bar(later - 1)
        small = (1 - a_t / a_s) * (1 - a_s) / (1 - a_t)
        large = 1 - self.schedule.alpha_bar(t) / self.schedule.alpha_bar(t - 1)
        return small.log(), large.log()


def _interpolated(variance: Tensor, log_small: Tensor, log_large: Tensor) -> Tensor:
    """The log variance that `variance`, in about [-1, 1], stands for (N. & D., eq. 15)."""
    share = (variance + 1) / 2
    return share * log_large + (1 - share) * log_small
