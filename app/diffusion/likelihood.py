"""The two densities that the evidence lower bound is made of, elementwise, in nats.

Section and equation numbers are those of Ho et al. (2020), https://arxiv.org/abs/2006.11239.
"""

from typing import Final

import torch
from torch import Tensor

HALF_BIN: Final = 1 / 255
"""Half the width of one of the 256 levels of a picture in [-1, 1]."""

MIN_PROBABILITY: Final = 1e-12
"""Keeps the logarithm finite where a level is all but impossible, as in Ho's code."""


def gaussian_kl(mean1: Tensor, log_var1: Tensor, mean2: Tensor, log_var2: Tensor) -> Tensor:
    """KL(N(mean1, e^log_var1) || N(mean2, e^log_var2)), of the broadcast shape."""
    ratio = log_var2 - log_var1 + (log_var1 - log_var2).exp()
    return 0.5 * (ratio - 1 + (mean1 - mean2) ** 2 * (-log_var2).exp())


def discretized_gaussian_log_likelihood(x_0: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log p(x_0) of section 3.3, eq. 13: the Gaussian's mass on x_0's level out of 256.

    Args:
        x_0: A picture of 256 levels in [-1, 1].
        mean: The decoder's mean, of x_0's shape.
        log_scale: The logarithm of its standard deviation, broadcast to x_0.

    The lowest and the highest level take the whole tail beyond them.
    """
    scale = (-log_scale).exp()
    above, below = (x_0 - mean + HALF_BIN) * scale, (x_0 - mean - HALF_BIN) * scale
    # Between two points of the upper tail both cdfs round to 1; mirrored, they keep their digits.
    mirrored = below > 0
    upper = torch.where(mirrored, -below, above)
    lower = torch.where(mirrored, -above, below)
    mass = torch.special.ndtr(upper) - torch.special.ndtr(lower)
    mass = torch.where(x_0 < -0.999, torch.special.ndtr(above), mass)
    mass = torch.where(x_0 > 0.999, torch.special.ndtr(-below), mass)
    return mass.clamp(min=MIN_PROBABILITY).log()
