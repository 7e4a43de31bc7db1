"""Analytic-DPM: the best variance of a step that is one number for each t, without training.

Bao et al. (2022), https://arxiv.org/abs/2201.06503. The reverse step knows x_0 only as x_0_hat, so
to the posterior's variance comes what is left unknown of x_0. That follows from how large eps_hat
is on average: a network that told all of eps from x_t would give values of mean square 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Denoiser, estimate, require_finite
from app.diffusion.forward import beta_tilde, posterior_weights, q_sample
from app.diffusion.schedule import NoiseSchedule

BATCH: Final = 16
"""The noised pictures by which eps_hat is measured at each t."""


@dataclass(frozen=True, eq=False)
class AnalyticVariance:
    """The variance of each step that follows from a network's mean squares.

    Attributes:
        eps_square: (T,), at each t the mean square of eps_hat's values over noised pictures.
    """

    eps_square: Tensor

    def of_step(self, schedule: NoiseSchedule, t: Tensor, s: Tensor) -> Tensor:
        """Return the variance of p(x_s | x_t), (B, 1, 1, 1) float64, by theorem 1.

        What is unknown of x_0 has a variance of at most 1, for x_0 lies in [-1, 1] (theorem 2), or
        is a latent of about unit variance.
        """
        a_t, (w_0, _) = schedule.alpha_bar(t), posterior_weights(schedule, t, s)
        missing = 1 - self.eps_square.double()[t].view(-1, 1, 1, 1)
        unknown = ((1 - a_t) / a_t * missing).clamp(0, 1)
        return beta_tilde(schedule, t, s) + w_0**2 * unknown


@torch.no_grad()
def eps_squares(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    x_0: Tensor,
    *,
    seed: int = 0,
    condition: Condition | None = None,
) -> Iterator[float]:
    """Yield the mean square of eps_hat's values at each t from 0 to T - 1.

    Args:
        denoiser: The network.
        schedule: The schedule that it was trained with.
        x_0: (N, C, H, W) in [-1, 1]; each t takes the next BATCH of them, and then begins again.
        seed: The seed of the noise.
        condition: What all of BATCH pictures show, where the network takes a condition.

    Raises:
        NotFiniteError: If the network gives NaN or infinity.
    """
    generator = torch.Generator().manual_seed(seed)
    for step in range(schedule.num_train_timesteps):
        t = torch.full((BATCH,), step)
        x = x_0[(step * BATCH + torch.arange(BATCH)) % len(x_0)]
        x_t = q_sample(schedule, x, t, torch.randn(x.shape, generator=generator))
        prediction = denoiser.predict(x_t, t, condition)
        eps_hat = estimate(prediction, x_t, schedule.alpha_bar(t), clip=False).eps_hat
        require_finite(eps_hat, t, "The predicted noise")
        yield float(eps_hat.double().square().mean())
