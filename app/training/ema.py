"""Exponential moving averages whose memory grows with the run, so that one width fits them all.

Power-function profiles: Karras et al. (2024), "Analyzing and improving the training dynamics of
diffusion models" (EDM2), https://arxiv.org/abs/2312.02696, section 3. The weight at age tau of a
run of t steps is proportional to tau^gamma; sigma_rel, the profile's standard deviation relative
to t, is what a person chooses.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor


def power_exponent(sigma_rel: float) -> float:
    """The exponent gamma of the profile whose relative width is `sigma_rel` (EDM2, algorithm 2).

    Raises:
        ValueError: If no profile has that width.
    """
    if not 0 < sigma_rel < 0.28:
        raise ValueError(f"sigma_rel must lie in (0, 0.28), got {sigma_rel}")
    inverse = sigma_rel**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


class PowerEma:
    """The running average of a list of parameters.

    Attributes:
        gamma: The exponent of the profile.
        values: The averages, shaped and laid out as the parameters are.
    """

    def __init__(self, parameters: Iterable[Tensor], sigma_rel: float) -> None:
        self.gamma = power_exponent(sigma_rel)
        self.values = [p.detach().clone() for p in parameters]

    def decay(self, step: int) -> float:
        """The average's decay at the `step`-th step, from 1, where it is 0 (EDM2, section 3.1)."""
        return float((1 - 1 / step) ** (self.gamma + 1))

    @torch.no_grad()
    def update(self, parameters: Sequence[Tensor], step: int) -> None:
        """Take in the parameters after the `step`-th step, counted from 1."""
        torch._foreach_lerp_(self.values, list(parameters), 1 - self.decay(step))
