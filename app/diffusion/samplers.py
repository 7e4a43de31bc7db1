"""One transition of the reverse process: DDPM's ancestral step and DDIM's.

Equation numbers: Ho et al. (2020), https://arxiv.org/abs/2006.11239, and for DDIM Song et
al. (2021), https://arxiv.org/abs/2010.02502. Both are written for a pair (t, s), s < t.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import torch
from torch import Tensor

from app.diffusion.denoiser import Estimate
from app.diffusion.forward import Gaussian, posterior
from app.diffusion.noise import SeededNoise
from app.diffusion.schedule import CLEAN, NoiseSchedule

Variance = Literal["fixed_small", "fixed_large", "learned"]


class Sampler(Protocol):
    """Takes a batch from x_t to x_s; made anew for each stream, for it may keep history."""

    def step(
        self, estimate: Estimate, x_t: Tensor, t: Tensor, s: Tensor, noise: SeededNoise
    ) -> Tensor:
        """x_s (B, C, H, W), drawing from `noise` only what this step needs."""
        ...


def ddpm_step(
    schedule: NoiseSchedule,
    estimate: Estimate,
    x_t: Tensor,
    t: Tensor,
    s: Tensor,
    *,
    variance: Variance = "fixed_small",
) -> Gaussian:
    """p(x_s | x_t), eq. 11: the posterior's mean at x_0_hat, with one of three variances.

    `fixed_small` is beta_tilde (eq. 7), `fixed_large` is beta itself, and `learned` reads the
    network's own (Nichol & Dhariwal 2021, eq. 15).

    Raises:
        ValueError: If the variance is to be learned and the estimate has none.
    """
    small = posterior(schedule, estimate.x_0_hat, x_t, t, s)
    if variance == "fixed_small":
        return small
    large = (1 - schedule.alpha_bar(t) / schedule.alpha_bar(s)).to(x_t)
    if variance == "fixed_large":
        return Gaussian(small.mean, large)
    if estimate.variance is None:
        raise ValueError("this network predicts no variance; choose fixed_small or fixed_large")
    # The last step has beta_tilde = 0, whose log is clamped as in diffusers; no noise follows it.
    share = (estimate.variance + 1) / 2
    log_var = share * large.log() + (1 - share) * small.var.clamp(min=1e-20).log()
    return Gaussian(small.mean, log_var.exp())


def ddim_step(
    schedule: NoiseSchedule, estimate: Estimate, x_t: Tensor, t: Tensor, s: Tensor, *, eta: float
) -> Gaussian:
    """DDIM's eqs. 12 and 16: eta = 0 is deterministic, eta = 1 has DDPM's mean and variance."""
    a_t, a_s = schedule.alpha_bar(t), schedule.alpha_bar(s)
    var = eta**2 * (1 - a_s) / (1 - a_t) * (1 - a_t / a_s)
    towards_x_t = (1 - a_s - var).clamp(min=0).sqrt().to(x_t)
    mean = a_s.sqrt().to(x_t) * estimate.x_0_hat + towards_x_t * estimate.eps_hat
    return Gaussian(mean, var.to(x_t))


def _draw(step: Gaussian, s: Tensor, noise: SeededNoise) -> Tensor:
    """Draw x_s; a picture that arrives at clean data takes its mean, as Algorithm 2 does."""
    if bool((s == CLEAN).all()):
        return step.mean
    eps = noise.draw(step.mean.shape[1:])
    return torch.where((s == CLEAN).view(-1, 1, 1, 1), step.mean, step.sample(eps))


@dataclass(frozen=True, eq=False)
class DDPM:
    """Ancestral sampling, Algorithm 2 of Ho et al."""

    schedule: NoiseSchedule
    variance: Variance = "fixed_small"

    def step(
        self, estimate: Estimate, x_t: Tensor, t: Tensor, s: Tensor, noise: SeededNoise
    ) -> Tensor:
        """x_s ~ p(x_s | x_t)."""
        gaussian = ddpm_step(self.schedule, estimate, x_t, t, s, variance=self.variance)
        return _draw(gaussian, s, noise)


@dataclass(frozen=True, eq=False)
class DDIM:
    """DDIM with `eta` in [0, 1]."""

    schedule: NoiseSchedule
    eta: float = 0.0

    def step(
        self, estimate: Estimate, x_t: Tensor, t: Tensor, s: Tensor, noise: SeededNoise
    ) -> Tensor:
        """x_s, drawn only where eta is above 0."""
        gaussian = ddim_step(self.schedule, estimate, x_t, t, s, eta=self.eta)
        return _draw(gaussian, s, noise) if self.eta > 0 else gaussian.mean


@dataclass(frozen=True)
class SamplerKind:
    """A sampler that a person can choose.

    Attributes:
        name: What recipes and shells call it.
        label: What the page calls it.
        about: One sentence for under the control.
        stochastic: Whether it draws noise between x_T and the picture (at eta = 1, if it has one).
        make: From a schedule, the stream's (n,) timesteps and eta, a sampler for one stream.
        uses_eta: Whether eta changes it.
        learned_variance: Whether it needs a network that predicts its variance.
    """

    name: str
    label: str
    about: str
    stochastic: bool
    make: Callable[[NoiseSchedule, Tensor, float], Sampler]
    uses_eta: bool = False
    learned_variance: bool = False


SAMPLERS: Final = (
    SamplerKind(
        "ddpm",
        "DDPM",
        "The paper's ancestral sampling: noise is added back at every step (variance beta-tilde).",
        stochastic=True,
        make=lambda schedule, timesteps, eta: DDPM(schedule),
    ),
    SamplerKind(
        "ddpm-large",
        "DDPM, large variance",
        "The same with the larger of the paper's two variances, beta: best with all 1000 steps.",
        stochastic=True,
        make=lambda schedule, timesteps, eta: DDPM(schedule, "fixed_large"),
    ),
    SamplerKind(
        "ddpm-learned",
        "DDPM, learned variance",
        "The same with the variance that the network predicts (Nichol & Dhariwal 2021).",
        stochastic=True,
        make=lambda schedule, timesteps, eta: DDPM(schedule, "learned"),
        learned_variance=True,
    ),
    SamplerKind(
        "ddim",
        "DDIM",
        "Follows the same marginals with less noise: eta = 0 draws none, eta = 1 is DDPM.",
        stochastic=True,
        make=lambda schedule, timesteps, eta: DDIM(schedule, eta),
        uses_eta=True,
    ),
)
