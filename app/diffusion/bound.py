"""The evidence lower bound, term by term, in bits per dimension.

Equation numbers follow Ho et al. (2020), https://arxiv.org/abs/2006.11239, eq. 5:

    L = L_T + L_{T-1} + ... + L_1 + L_0,
    L_T     = KL(q(x_T | x_0) || N(0, I)),                           the prior
    L_{t-1} = KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)),         the steps
    L_0     = -log p(x_0 | x_1), discretised as in section 3.3,      the decoder

all of it in float64 but the network. The code's t = 0 gives L_0, and t = T - 1 the first of
the steps.

The sum over all timesteps can be estimated from a few: steps 1 to T - 1 are cut into strata,
narrow where t is small and the terms change fast, and two steps are drawn from each, whose
difference shows how much the stratum varies.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from torch import Tensor

from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Denoiser, Estimate, estimate, require_finite
from app.diffusion.forward import posterior, q_sample
from app.diffusion.schedule import NoiseSchedule
from app.diffusion.seeds import SeededNoise
from app.diffusion.variance import FixedVariance, Variance, step_log_variance

HALF_BIN: Final = 1 / 255
"""Half the width of one of the 256 levels of a picture in [-1, 1]."""

MIN_PROBABILITY: Final = 1e-12
"""The least mass of a level, which keeps its logarithm finite, as in Ho's code."""


def gaussian_kl(mean1: Tensor, log_var1: Tensor, mean2: Tensor, log_var2: Tensor) -> Tensor:
    """Return KL(N(mean1, e^log_var1) || N(mean2, e^log_var2)) in nats, of the broadcast shape."""
    ratio = log_var2 - log_var1 + (log_var1 - log_var2).exp()
    return 0.5 * (ratio - 1 + (mean1 - mean2) ** 2 * (-log_var2).exp())


def discretized_gaussian_log_likelihood(x_0: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Return log p(x_0) in nats (section 3.3, eq. 13), of the Gaussian's mass on x_0's level.

    Args:
        x_0: A picture of 256 levels in [-1, 1].
        mean: The decoder's mean, of x_0's shape.
        log_scale: The logarithm of the decoder's standard deviation, broadcast to x_0.

    The lowest and the highest of the 256 levels take the whole tail beyond them.
    """
    scale = (-log_scale).exp()
    above, below = (x_0 - mean + HALF_BIN) * scale, (x_0 - mean - HALF_BIN) * scale
    # Between two points of the upper tail both cdfs round to 1; mirrored, they keep their digits.
    mirrored = below > 0
    upper = torch.where(mirrored, -below, above)
    lower = torch.where(mirrored, -above, below)
    mass = torch.special.ndtr(upper) - torch.special.ndtr(lower)
    mass = torch.where(x_0 < -0.999, torch.special.ndtr(above), mass)
    mass = torch.where(x_0 > 0.999, torch.special.ndtr(-below), mass)
    return mass.clamp(min=MIN_PROBABILITY).log()


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
    """Return L_T of `x_0` (B, C, H, W), in bits per dimension, (B,) float64; no network is used."""
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
    """Yield L_{t-1}, or L_0, at each of `timesteps`; closing the stream stops the network.

    Args:
        denoiser: The network.
        schedule: The schedule that it was trained with.
        x_0: (B, C, H, W), of 256 levels in [-1, 1]. Several noise draws are several copies.
        timesteps: (n,) int64, in [0, T), in any order.
        noise: A generator for each of the B pictures; each draws once a term, in the terms' order.
        variance: Of p(x_{t-1} | x_t).
        clip: Whether x_0_hat is kept in [-1, 1], as in Ho's code; x_0_mse is then the clipped
            estimate's error.
        condition: Labels, where the network takes them.

    Raises:
        NotFiniteError: If the network or a term gives NaN or infinity.
        ValueError: If the variance is to be learned and the network predicts none.
    """
    for step in timesteps.tolist():
        t = torch.full((len(x_0),), step)
        eps = noise.draw(x_0.shape[1:]).double()
        x_t = q_sample(schedule, x_0.double(), t, eps)
        prediction = denoiser.predict(x_t.float(), t, condition)
        a_t = schedule.alpha_bar(t)
        guess = estimate(prediction, x_t, a_t, clip=clip)
        bpd = step_bpd(schedule, x_0.double(), x_t, guess, t, variance=variance)
        eps_hat = estimate(prediction, x_t, a_t, clip=False).eps_hat
        term = Term(step, bpd, _mse(eps_hat, eps), _mse(guess.x_0_hat, x_0))
        require_finite(term.bpd + term.eps_mse + term.x_0_mse, t, "The bound's term")
        yield term


def step_bpd(
    schedule: NoiseSchedule,
    x_0: Tensor,
    x_t: Tensor,
    guess: Estimate,
    t: Tensor,
    *,
    variance: Variance,
) -> Tensor:
    """Return L_{t-1} of each picture, L_0 at t = 0, in bits per dimension, (B,) in x_t's dtype.

    Differentiable in `guess`: in its x_0_hat and, where the variance is learned, in its variance.

    Args:
        schedule: The schedule.
        x_0: (B, C, H, W), of 256 levels in [-1, 1].
        x_t: (B, C, H, W), x_0 noised to `t`.
        guess: The network's estimates at x_t.
        t: (B,) int64, in [0, T).
        variance: Of p(x_{t-1} | x_t).

    Raises:
        ValueError: If the variance is to be learned and the network predicts none.
    """
    s = t - 1
    mean = posterior(schedule, guess.x_0_hat, x_t, t, s).mean
    log_var = step_log_variance(schedule, t, s, variance, like=x_t, learned=guess.variance)
    true_mean = posterior(schedule, x_0, x_t, t, s).mean
    true_log_var = step_log_variance(schedule, t, s, "fixed_small", like=x_t)
    nats = gaussian_kl(true_mean, true_log_var, mean, log_var)
    first = t == 0
    if bool(first.any()):
        decoder = -discretized_gaussian_log_likelihood(x_0, mean, 0.5 * log_var)
        nats = torch.where(first.view(-1, 1, 1, 1).to(nats.device), decoder, nats)
    return _bits(nats)


def vlb_weights(schedule: NoiseSchedule, variance: FixedVariance = "fixed_small") -> Tensor:
    """Return the weight of eps's mean squared error in L_vlb at each step, (T,), in bits/dim.

    By eq. 12, beta_t^2 / (2 sigma_t^2 alpha_t (1 - alpha_bar_t)), where L_simple has 1. The first
    value, t = 0, is the decoder's with its integral taken as density times width (section 3.4).
    """
    betas, a = schedule.betas, schedule.alphas_cumprod.double()
    t = torch.arange(schedule.num_train_timesteps)
    log_var = step_log_variance(schedule, t, t - 1, variance, like=betas).flatten()
    weights = betas**2 / (2 * log_var.exp() * (1 - betas) * (1 - a))
    return weights / NATS_PER_BIT


def _bits(nats: Tensor) -> Tensor:
    return nats.flatten(1).mean(1) / NATS_PER_BIT


def _mse(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b) ** 2).flatten(1).mean(1)


@dataclass(frozen=True)
class Stratum:
    """`width` neighbouring timesteps, represented by those of them that are in `steps`."""

    width: int
    steps: tuple[int, ...]

    @property
    def weight(self) -> float:
        """The number of timesteps that each of `steps` stands for."""
        return self.width / len(self.steps)

    def variance(self, values: Sequence[float], noise: Sequence[float]) -> float:
        """Return the variance of weight * sum(values) as an estimate of the stratum's sum.

        Args:
            values: The mean over noise draws at each of `steps`.
            noise: The variance of each such mean, from the spread of the draws.

        Two-stage sampling (Cochran 1977, eq. 11.24): the first part is the choice of steps, and
        vanishes where all were taken; the second is the noise.
        """
        taken = len(values)
        drawn = self.weight * sum(noise)
        if taken == self.width:
            return drawn
        spread = float(np.var(values, ddof=1))
        return self.width**2 / taken * (1 - taken / self.width) * spread + drawn


def all_steps(num_timesteps: int) -> tuple[Stratum, ...]:
    """Return every step from T - 1 down to 1, each as a stratum of its own."""
    return tuple(Stratum(1, (t,)) for t in range(num_timesteps - 1, 0, -1))


def strata(num_timesteps: int, terms: int, seed: int) -> tuple[Stratum, ...]:
    """Draw about `terms` steps out of T - 1, two from each stratum, latest first.

    Raises:
        ValueError: If not 2 <= terms < T.
    """
    if not 2 <= terms < num_timesteps:
        raise ValueError(f"need 2 <= terms < {num_timesteps}, got {terms}")
    count = terms // 2
    random = np.random.default_rng(seed)
    edges = [1]
    for i in range(1, count + 1):
        wanted = round(math.exp(i / count * math.log(num_timesteps)))
        latest = num_timesteps - 2 * (count - i)
        edges.append(min(max(wanted, edges[-1] + 2), latest))
    found = []
    for low, high in pairwise(edges):
        steps = sorted(random.choice(np.arange(low, high), 2, replace=False).tolist(), reverse=True)
        found.append(Stratum(high - low, tuple(steps)))
    return tuple(reversed(found))
