"""Immiscible assignment: each picture gets the noise of its batch that lies nearest to it.

Li et al. (2024), "Immiscible Diffusion", https://arxiv.org/abs/2406.12303, algorithm 1. Only
which noise goes to which picture changes. The noise was drawn without looking at the pictures,
and a permutation of independent draws has their marginal still, so each is N(0, I); but given
the picture it no longer is, which leaves the network less to disentangle at high noise.
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def immiscible(x_0: Tensor, eps: Tensor) -> Tensor:
    """`eps` (B, C, H, W) reordered so that the sum of ||x_0 - eps||^2 is least."""
    # ||x - e||^2 = ||x||^2 + ||e||^2 - 2 x.e, and any assignment sums the first two alike.
    cost = -(x_0.flatten(1).double() @ eps.flatten(1).double().T)
    _, columns = linear_sum_assignment(cost.numpy())
    return eps[torch.from_numpy(columns)]
