"""DDPM's ancestral step.

Equation numbers follow Ho et al. (2020), https://arxiv.org/abs/2006.11239.
"""

from torch import Tensor

from app.diffusion.denoiser import Estimate
from app.diffusion.forward import posterior_weights
from app.diffusion.samplers.base import transitions
from app.diffusion.schedule import NoiseSchedule
from app.diffusion.seeds import SeededNoise
from app.diffusion.variance import Variance, step_variance


class DDPM:
    """Ancestral sampling, Algorithm 2 of Ho et al., with any of the variances."""

    def __init__(
        self, schedule: NoiseSchedule, timesteps: Tensor, variance: Variance = "fixed_small"
    ) -> None:
        self._schedule = schedule
        self._t, self._s = t, s = transitions(timesteps)
        self._w_0, self._w_t = posterior_weights(schedule, t, s)
        self._var = None
        if variance != "learned":
            self._var = step_variance(schedule, t, s, variance, like=self._w_0)

    def step(self, estimate: Estimate, x_t: Tensor, index: int, noise: SeededNoise) -> Tensor:
        """Draw x_s ~ p(x_s | x_t), eq. 11: the posterior at x_0_hat; the last step is its mean.

        Raises:
            ValueError: If the variance is to be learned and the estimate has none.
        """
        mean = self._w_0[index].to(x_t) * estimate.x_0_hat + self._w_t[index].to(x_t) * x_t
        if index == len(self._t) - 1:
            return mean
        var = self._learned(estimate, index) if self._var is None else self._var[index].to(x_t)
        return mean + var.sqrt() * noise.draw(x_t.shape[1:])

    def _learned(self, estimate: Estimate, index: int) -> Tensor:
        t, s, like = self._t[index, None], self._s[index, None], estimate.x_0_hat
        return step_variance(self._schedule, t, s, "learned", like=like, learned=estimate.variance)
