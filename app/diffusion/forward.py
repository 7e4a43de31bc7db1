"""The forward process q and the posterior it implies, all in closed form.

Equation numbers are those of Ho et al. (2020), https://arxiv.org/abs/2006.11239. Steps are
named as a pair (t, s) with s < t, never as "t and the one before", so a sampler that skips
timesteps uses the same formulas.
"""

from dataclasses import dataclass

from torch import Tensor

from app.diffusion.schedule import NoiseSchedule


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A Gaussian with diagonal covariance: `mean` is (B, C, H, W), `var` is (B, 1, 1, 1)."""

    mean: Tensor
    var: Tensor

    def sample(self, eps: Tensor) -> Tensor:
        """Draw by reparameterisation; the caller owns `eps`, so it owns the randomness."""
        return self.mean + self.var.sqrt() * eps


def q_sample(schedule: NoiseSchedule, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """Noise `x_0` (B, C, H, W), in [-1, 1], straight to step `t` (B,) (eq. 4)."""
    a_t = schedule.alpha_bar(t)
    return a_t.sqrt().to(x_0) * x_0 + (1 - a_t).sqrt().to(x_0) * eps


def q_step(schedule: NoiseSchedule, x_s: Tensor, t: Tensor, s: Tensor) -> Gaussian:
    """q(x_t | x_s): the forward step of eq. 2, or several at once when s < t - 1.

    Raises:
        ValueError: If not s < t everywhere.
    """
    _require_backwards(t, s)
    a_ts = schedule.alpha_bar(t) / schedule.alpha_bar(s)
    return Gaussian(mean=a_ts.sqrt().to(x_s) * x_s, var=(1 - a_ts).to(x_s))


def posterior(schedule: NoiseSchedule, x_0: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Gaussian:
    """q(x_s | x_t, x_0), eqs. 6-7 with beta_t replaced by the step's own 1 - a_t / a_s.

    Raises:
        ValueError: If not s < t everywhere.
    """
    _require_backwards(t, s)
    a_t, a_s = schedule.alpha_bar(t), schedule.alpha_bar(s)
    a_ts = a_t / a_s
    # float64 until the cast: float32's 1 - a_t is 2e-4 off (relative) at t = 0.
    w_0 = a_s.sqrt() * (1 - a_ts) / (1 - a_t)
    w_t = a_ts.sqrt() * (1 - a_s) / (1 - a_t)
    var = (1 - a_ts) * (1 - a_s) / (1 - a_t)
    return Gaussian(mean=w_0.to(x_0) * x_0 + w_t.to(x_t) * x_t, var=var.to(x_t))


def _require_backwards(t: Tensor, s: Tensor) -> None:
    if not bool((s < t).all()):
        raise ValueError(f"a step is a pair with s < t, got s={s}, t={t}")
