"""DPM-Solver++ 2M with as much noise as one likes: none at eta = 0, the SDE's at eta = 1.

The second-order multistep solver in the data-prediction form of Lu et al. (2022),
https://arxiv.org/abs/2211.01095, for the family of stochastic equations that have the marginals of
the forward process (Xue et al. 2023, SA-Solver, https://arxiv.org/abs/2309.05019, eq. 8, whose
tau is eta). With alpha = sqrt(alpha_bar), sigma = sqrt(1 - alpha_bar), lambda = log(alpha / sigma)
and h = lambda_s - lambda_t a step is

    x_s = sigma_s / sigma_t e^(-eta h) x_t + alpha_s (1 - e^(-(1 + eta) h)) D
          + sigma_s sqrt(1 - e^(-2 eta h)) z,
    D = x_0_hat + h / (2 h_before) (x_0_hat - x_0_hat_before).

The first step has no step before it, and the last, to clean data, gives x_0_hat itself: both are of
first order. Where eta is 1 the first-order step is DDPM's p(x_s | x_t).
"""

import torch
from torch import Tensor

from app.diffusion.denoiser import Estimate
from app.diffusion.samplers.base import Eta, transitions
from app.diffusion.schedule import NoiseSchedule
from app.diffusion.seeds import SeededNoise


class DPMSolver:
    """DPM-Solver++ 2M for one stream, with an `eta` >= 0 for all steps, or (n,) of them.

    Raises:
        ValueError: If eta isn't one number or one for each step, or below 0.
    """

    def __init__(self, schedule: NoiseSchedule, timesteps: Tensor, eta: Eta = 0.0) -> None:
        t, s = transitions(timesteps)
        a_t, a_s = schedule.alpha_bar(t), schedule.alpha_bar(s)
        etas = torch.as_tensor(eta, dtype=torch.float64).view(-1, 1, 1, 1)
        if len(etas) not in (1, len(t)) or not bool((etas >= 0).all()):
            raise ValueError(f"eta must be at least 0, one number or {len(t)}, got {eta}")
        etas = etas.expand(len(t), 1, 1, 1)
        # Of the last step h is infinite; what follows from it is never asked for.
        h = (torch.log(a_s / (1 - a_s)) - torch.log(a_t / (1 - a_t))) / 2
        self._last = len(t) - 1
        self._towards_x_t = ((1 - a_s) / (1 - a_t)).sqrt() * torch.exp(-etas * h)
        self._towards_data = a_s.sqrt() * -torch.expm1(-(1 + etas) * h)
        self._second = torch.cat([torch.zeros_like(h[:1]), h[1:] / (2 * h[:-1])])
        self._deviation = (1 - a_s).sqrt() * (-torch.expm1(-2 * etas * h)).sqrt()
        self._draws = (etas > 0).flatten().tolist()
        self._before: Tensor | None = None

    def step(self, estimate: Estimate, x_t: Tensor, index: int, noise: SeededNoise) -> Tensor:
        """Take `x_t` to x_s, drawing noise only where the step's eta is above 0."""
        x_0_hat, before = estimate.x_0_hat, self._before
        if index == self._last:
            return x_0_hat
        self._before, data = x_0_hat, x_0_hat
        if before is not None:
            data = x_0_hat + self._second[index].to(x_t) * (x_0_hat - before)
        x_s = self._towards_x_t[index].to(x_t) * x_t + self._towards_data[index].to(x_t) * data
        if self._draws[index]:
            x_s = x_s + self._deviation[index].to(x_t) * noise.draw(x_t.shape[1:])
        return x_s
