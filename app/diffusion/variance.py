"""The variance of p(x_s | x_t): one of the paper's two fixed ones, learned, or analytic.

Ho et al. (2020), https://arxiv.org/abs/2006.11239, section 3.2, for the fixed ones; Nichol &
Dhariwal (2021), https://arxiv.org/abs/2102.09672, eq. 15, for the one learned between them.
"""

from typing import Literal

import torch
from torch import Tensor

from app.diffusion.analytic import AnalyticVariance
from app.diffusion.forward import beta, beta_tilde
from app.diffusion.schedule import CLEAN, NoiseSchedule

FixedVariance = Literal["fixed_small", "fixed_large"]
VarianceName = Literal[FixedVariance, "learned", "analytic"]
"""`fixed_small` is beta_tilde (eq. 7), `fixed_large` is beta, `learned` is the network's own, and
`analytic` an AnalyticVariance that belongs to the network."""

Variance = Literal[FixedVariance, "learned"] | AnalyticVariance


def step_variance(
    schedule: NoiseSchedule,
    t: Tensor,
    s: Tensor,
    variance: Variance,
    *,
    like: Tensor,
    learned: Tensor | None = None,
) -> Tensor:
    """Return the variance of p(x_s | x_t), (B, 1, 1, 1), or where learned (B, C, H, W).

    `fixed_small` is 0 where s is clean data: a sampler takes the mean there.

    Args:
        schedule: The schedule.
        t: (B,) int64.
        s: (B,) int64, below `t`.
        variance: Which of the variances.
        like: Gives the dtype and the device.
        learned: The network's interpolation, in about [-1, 1], (B, C, H, W).

    Raises:
        ValueError: If the variance is to be learned and there is no interpolation.
    """
    match variance:
        case "fixed_small":
            return beta_tilde(schedule, t, s).to(like)
        case "fixed_large":
            return beta(schedule, t, s).to(like)
        case AnalyticVariance():
            return variance.of_step(schedule, t, s).to(like)
        case "learned":
            return step_log_variance(schedule, t, s, variance, like=like, learned=learned).exp()


def step_log_variance(
    schedule: NoiseSchedule,
    t: Tensor,
    s: Tensor,
    variance: Variance,
    *,
    like: Tensor,
    learned: Tensor | None = None,
) -> Tensor:
    """Return the log of p(x_s | x_t)'s variance, finite everywhere; arguments as `step_variance`'s.

    Where s is clean data beta_tilde is 0, which no decoder can have: there both fixed variances
    are the second step's beta_tilde, as in Ho's code. The learned one interpolates between that
    and beta, as in Nichol & Dhariwal's code (`posterior_log_variance_clipped`), and the analytic
    one is at least that.
    """
    log_small = _clipped_beta_tilde(schedule, t, s).to(like).log()
    log_large = beta(schedule, t, s).to(like).log()
    match variance:
        case "fixed_small":
            return log_small
        case "fixed_large":
            return torch.where((s == CLEAN).view(-1, 1, 1, 1).to(like.device), log_small, log_large)
        case AnalyticVariance():
            return variance.of_step(schedule, t, s).to(like).log().maximum(log_small)
        case "learned":
            if learned is None:
                raise ValueError(
                    "this network predicts no variance; choose fixed_small or fixed_large"
                )
            share = (learned.to(like) + 1) / 2
            return share * log_large + (1 - share) * log_small


def _clipped_beta_tilde(schedule: NoiseSchedule, t: Tensor, s: Tensor) -> Tensor:
    if schedule.num_train_timesteps == 1:  # there is no second step
        return beta(schedule, t, s)
    return beta_tilde(schedule, t.clamp(min=1), s.clamp(min=0))
