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
    """Return q(x_t | x_s): the forward step of eq. 2, or several at once when s < t - 1.

    Raises:
        ValueError: If not s < t everywhere.
    """
    _require_backwards(t, s)
    a_ts = schedule.alpha_bar(t) / schedule.alpha_bar(s)
    return Gaussian(mean=a_ts.sqrt().to(x_s) * x_s, var=beta(schedule, t, s).to(x_s))


def beta(schedule: NoiseSchedule, t: Tensor, s: Tensor) -> Tensor:
    """Return beta of step (t, s), q(x_t | x_s)'s variance 1 - a_t / a_s, (B, 1, 1, 1) float64."""
    return 1 - schedule.alpha_bar(t) / schedule.alpha_bar(s)


def beta_tilde(schedule: NoiseSchedule, t: Tensor, s: Tensor) -> Tensor:
    """Return q(x_s | x_t, x_0)'s variance (eq. 7), (B, 1, 1, 1) float64; 0 where s is clean."""
    a_t, a_s = schedule.alpha_bar(t), schedule.alpha_bar(s)
    return (1 - a_t / a_s) * (1 - a_s) / (1 - a_t)


def posterior(schedule: NoiseSchedule, x_0: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Gaussian:
    """Return q(x_s | x_t, x_0), eqs. 6-7 with beta_t replaced by the step's own 1 - a_t / a_s.

    Raises:
        ValueError: If not s < t everywhere.
    """
    w_0, w_t = posterior_weights(schedule, t, s)
    mean = w_0.to(x_0) * x_0 + w_t.to(x_t) * x_t
    return Gaussian(mean, beta_tilde(schedule, t, s).to(x_t))


def posterior_weights(schedule: NoiseSchedule, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights of x_0 and x_t in the posterior's mean, each (B, 1, 1, 1) float64.

    Raises:
        ValueError: If not s < t everywhere.
    """
    _require_backwards(t, s)
    # float64, for float32's 1 - a_t is 2e-4 off (relative) at t = 0.
    a_t, a_s = schedule.alpha_bar(t), schedule.alpha_bar(s)
    a_ts = a_t / a_s
    return a_s.sqrt() * (1 - a_ts) / (1 - a_t), a_ts.sqrt() * (1 - a_s) / (1 - a_t)


def _require_backwards(t: Tensor, s: Tensor) -> None:
    if not bool((s < t).all()):
        raise ValueError(f"a step is a pair with s < t, got s={s}, t={t}")
