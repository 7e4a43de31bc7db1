"""DDIM's step, deterministic at eta = 0.

Equation numbers follow Song et al. (2021), https://arxiv.org/abs/2010.02502. Where x_0_hat is
clipped, eps_hat is that of the clipped one: diffusers' step with `use_clipped_model_output=True`.
"""

from torch import Tensor

from app.diffusion.denoiser import Estimate
from app.diffusion.samplers.base import transitions
from app.diffusion.schedule import NoiseSchedule
from app.diffusion.seeds import SeededNoise


class DDIM:
    """DDIM with `eta` in [0, 1]: deterministic at 0, DDPM's p(x_s | x_t) at 1."""

    def __init__(self, schedule: NoiseSchedule, timesteps: Tensor, eta: float = 0.0) -> None:
        t, s = transitions(timesteps)
        a_t, a_s = schedule.alpha_bar(t), schedule.alpha_bar(s)
        self._eta, self._last = eta, len(t) - 1
        self._var = eta**2 * (1 - a_s) / (1 - a_t) * (1 - a_t / a_s)
        self._towards_x_0 = a_s.sqrt()
        self._towards_x_t = (1 - a_s - self._var).clamp(min=0).sqrt()

    def step(self, estimate: Estimate, x_t: Tensor, index: int, noise: SeededNoise) -> Tensor:
        """Take `x_t` to x_s by eqs. 12 and 16, drawing noise only where eta is above 0."""
        mean = (
            self._towards_x_0[index].to(x_t) * estimate.x_0_hat
            + self._towards_x_t[index].to(x_t) * estimate.eps_hat
        )
        if self._eta == 0 or index == self._last:
            return mean
        return mean + self._var[index].to(x_t).sqrt() * noise.draw(x_t.shape[1:])
