"""The evidence lower bound, term by term, in bits per dimension.

Equation numbers are those of Ho et al. (2020), https://arxiv.org/abs/2006.11239, eq. 5:

    L = L_T + L_{T-1} + ... + L_1 + L_0,
    L_T     = KL(q(x_T | x_0) || N(0, I)),                           the prior
    L_{t-1} = KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)),         the steps
    L_0     = -log p(x_0 | x_1), discretised as in section 3.3,      the decoder

all of it in float64 but the network. The code's t = 0 gives L_0, and t = T - 1 the first of
the steps.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from app.diffusion.denoiser import Condition, Denoiser, Estimate, estimate
from app.diffusion.forward import posterior, q_sample
from app.diffusion.likelihood import discretized_gaussian_log_likelihood, gaussian_kl
from app.diffusion.noise import SeededNoise
from app.diffusion.samplers import Variance
from app.diffusion.schedule import NoiseSchedule

FixedVariance = Literal["fixed_small", "fixed_large"]
NATS_PER_BIT: Final = math.log(2)


@dataclass(frozen=True, eq=False)
class Term:
    """One term of the bound, one value for each of the B noised pictures.

    Attributes:
        t: The code's timestep; 0 is the decoder's term.
        bpd: L_{t-1} or L_0 in bits per dimension, (B,) float64.
        eps_mse: The mean squared error of eps_hat, (B,) float64: L_simple's integrand, which
            knows no clipping.
        x_0_mse: The mean squared error of x_0_hat, (B,) float64, for x_0 in [-1, 1].
    """

    t: int
    bpd: Tensor
    eps_mse: Tensor
    x_0_mse: Tensor


def prior_bpd(schedule: NoiseSchedule, x_0: Tensor) -> Tensor:
    """L_T of `x_0` (B, C, H, W), in bits per dimension, (B,) float64. No network has a part."""
    a = schedule.alpha_bar(torch.tensor([schedule.num_train_timesteps - 1]))
    zero = torch.zeros_like(a)
    return _bits(gaussian_kl(a.sqrt() * x_0.double(), (1 - a).log(), zero, zero))


@torch.no_grad()
def bound_terms(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    x_0: Tensor,
    timesteps: Tensor,
    *,
    noise: SeededNoise,
    variance: Variance = "fixed_small",
    clip: bool = True,
    condition: Condition | None = None,
) -> Iterator[Term]:
    """L_{t-1}, or L_0, at each of `timesteps`; closing the stream stops the network.

    Args:
        denoiser: The network.
        schedule: The schedule that it was trained with.
        x_0: (B, C, H, W), of 256 levels in [-1, 1]. Several noise draws are several copies.
        timesteps: (n,) int64, in [0, T), in any order.
        noise: A generator for each of the B; draws once a term, in the order of the terms.
        variance: Of p(x_{t-1} | x_t).
        clip: Whether x_0_hat is kept in [-1, 1], as in Ho's code; x_0_mse is that one's.
        condition: Labels, where the network takes them.

    Raises:
        ValueError: If the variance is to be learned and the network predicts none.
    """
    for step in timesteps.tolist():
        t = torch.full((len(x_0),), step)
        eps = noise.draw(x_0.shape[1:]).double()
        x_t = q_sample(schedule, x_0.double(), t, eps)
        prediction = denoiser.predict(x_t.float(), t, condition)
        guess = estimate(schedule, prediction, x_t, t, clip=clip)
        bpd = _step_bpd(schedule, x_0.double(), x_t, guess, step=step, variance=variance)
        eps_hat = estimate(schedule, prediction, x_t, t, clip=False).eps_hat
        yield Term(step, bpd, _mse(eps_hat, eps), _mse(guess.x_0_hat, x_0))


def _step_bpd(
    schedule: NoiseSchedule,
    x_0: Tensor,
    x_t: Tensor,
    guess: Estimate,
    *,
    step: int,
    variance: Variance,
) -> Tensor:
    t = torch.full((len(x_0),), step)
    s = t - 1
    mean = posterior(schedule, guess.x_0_hat, x_t, t, s).mean
    log_var = step_log_variance(schedule, step, variance, guess).to(x_0)
    if step == 0:
        nats = -discretized_gaussian_log_likelihood(x_0, mean, 0.5 * log_var)
    else:
        true = posterior(schedule, x_0, x_t, t, s)
        nats = gaussian_kl(true.mean, true.var.log(), mean, log_var)
    return _bits(nats)


def step_log_variance(
    schedule: NoiseSchedule, t: int, variance: Variance, guess: Estimate | None = None
) -> Tensor:
    """Log of p(x_{t-1} | x_t)'s variance, (1, 1, 1, 1) or where learned (B, C, H, W), float64.

    At the first step, t = 0, beta_tilde is 0, which no decoder can have: there both fixed
    variances are the second step's beta_tilde, as in Ho's code. A learned one interpolates
    between that and beta (Nichol & Dhariwal 2021, eq. 15).

    Raises:
        ValueError: If the variance is to be learned and there is no `guess` of it.
    """
    small = posterior_variance(schedule, max(t, 1)).log()
    large = schedule.betas[t].log().view(1, 1, 1, 1)
    match variance:
        case "fixed_small":
            return small
        case "fixed_large":
            return large if t > 0 else small
        case "learned":
            if guess is None or guess.variance is None:
                raise ValueError("this network predicts no variance; choose a fixed one")
            share = (guess.variance.double() + 1) / 2
            return share * large + (1 - share) * small


def posterior_variance(schedule: NoiseSchedule, t: int) -> Tensor:
    """beta_tilde_t (eq. 7), (1, 1, 1, 1) float64; 0 at t = 0."""
    zero = torch.zeros((1, 1, 1, 1), dtype=torch.float64)
    time = torch.tensor([t])
    return posterior(schedule, zero, zero, time, time - 1).var


def vlb_weights(schedule: NoiseSchedule, variance: FixedVariance = "fixed_small") -> Tensor:
    """What L_vlb multiplies eps's mean squared error by at each step, (T,), in bits/dim (eq. 12).

    beta_t^2 / (2 sigma_t^2 alpha_t (1 - alpha_bar_t)), where L_simple has 1. The first value,
    t = 0, is the decoder's with its integral taken as density times width (section 3.4).
    """
    betas, a = schedule.betas, schedule.alphas_cumprod.double()
    steps = range(schedule.num_train_timesteps)
    log_var = torch.cat([step_log_variance(schedule, t, variance).flatten() for t in steps])
    weights = betas**2 / (2 * log_var.exp() * (1 - betas) * (1 - a))
    return weights / NATS_PER_BIT


def _bits(nats: Tensor) -> Tensor:
    return nats.flatten(1).mean(1) / NATS_PER_BIT


def _mse(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b) ** 2).flatten(1).mean(1)
