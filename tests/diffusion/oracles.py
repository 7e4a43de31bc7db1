"""Denoisers whose right answers are known, for the tests of the mathematics."""

from dataclasses import dataclass

import torch
from torch import Tensor

from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Prediction, Target
from app.diffusion.schedule import NoiseSchedule


@dataclass(frozen=True, eq=False)
class GaussianDenoiser:
    """The exact denoiser of data drawn from N(mean, std^2 I): E[eps | x_t] in closed form."""

    schedule: NoiseSchedule
    mean: float
    std: float

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        a = self.schedule.alpha_bar(t)
        var_t = a * self.std**2 + 1 - a
        eps = (1 - a).sqrt() / var_t * (x_t.double() - a.sqrt() * self.mean)
        return Prediction(eps.to(x_t))


@dataclass(frozen=True, eq=False)
class WavyDenoiser:
    """A smooth made-up network: differs by pixel, timestep and label, and counts its calls."""

    target: Target = "epsilon"
    learned_variance: bool = False

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        phase = t.view(-1, 1, 1, 1) / 100
        labels = None if condition is None else condition.labels
        label = 0 if labels is None else labels.view(-1, 1, 1, 1)
        out = torch.sin(3 * x_t + phase + label) + 0.1 * x_t.roll(1, -1)
        return Prediction(out, self.target, torch.cos(x_t) if self.learned_variance else None)
