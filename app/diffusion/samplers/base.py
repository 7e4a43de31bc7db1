"""The protocol of samplers: how a transition from x_t to x_s, s < t, is taken and drawn."""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from app.diffusion.analytic import AnalyticVariance
from app.diffusion.denoiser import Estimate
from app.diffusion.schedule import CLEAN, NoiseSchedule
from app.diffusion.seeds import SeededNoise

Eta = float | Tensor
"""How much noise a sampler adds back: one number for all steps, or (n,), one for each."""


class Sampler(Protocol):
    """The steps of one stream: made for its timesteps, whose coefficients are computed once."""

    def step(self, estimate: Estimate, x_t: Tensor, index: int, noise: SeededNoise) -> Tensor:
        """Take `x_t` to x_s, both (B, C, H, W), by the stream's step `index`.

        Args:
            estimate: The network's estimates at x_t.
            x_t: The pictures so far, at `timesteps[index]`.
            index: 0 for the first step.
            noise: The pictures' generators, of which only what this step needs is drawn.
        """
        ...


class MakeSampler(Protocol):
    """Makes a stream's sampler."""

    def __call__(
        self,
        schedule: NoiseSchedule,
        timesteps: Tensor,
        eta: Eta,
        analytic: AnalyticVariance | None = None,
        /,
    ) -> Sampler:
        """Make it from a schedule, the stream's (n,) timesteps, eta and the model's variance.

        Only kinds with `step_eta` take an eta for each step.
        """
        ...


def transitions(timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """Return each step's t and s, (n,) int64 each; the last step's s is clean data."""
    return timesteps, torch.cat([timesteps[1:], timesteps.new_tensor([CLEAN])])


@dataclass(frozen=True)
class SamplerKind:
    """A sampler that a person can choose.

    Attributes:
        name: What recipes and shells call it.
        label: What the page calls it.
        about: One sentence that stands under the control.
        stochastic: Whether it draws noise between x_T and the picture (at eta = 1, if it uses eta).
        make: Makes a stream's sampler.
        uses_eta: Whether eta changes it.
        step_eta: Whether each step may have an eta of its own.
        variance: The variance of its steps that needs something of the model, if it has such.
    """

    name: str
    label: str
    about: str
    stochastic: bool
    make: MakeSampler
    uses_eta: bool = False
    step_eta: bool = False
    variance: Literal["learned", "analytic"] | None = None
