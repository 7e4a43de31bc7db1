"""Muon, and moving averages of weights whose memory grows with the run.

Power-function averages: Karras et al. (2024), "Analyzing and improving the training dynamics of
diffusion models" (EDM2), https://arxiv.org/abs/2312.02696, section 3. The weight at age tau of a
run of t steps is proportional to tau^gamma; sigma_rel, the profile's standard deviation relative
to t, is the setting.

Muon (Jordan et al. 2024) for the hidden weights of a U-Net, AdamW for the rest: a step moves a
matrix by the nearest orthogonal matrix to its gradient's running mean, so that faint directions
move as far as strong ones. torch.optim.Muon takes matrices alone and computes in bfloat16 on every
processor; this Muon also takes convolutions, as matrices with a row for each output channel, and
computes in any precision.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn


def power_exponent(sigma_rel: float) -> float:
    """Solve for the exponent gamma of the profile of relative width `sigma_rel` (EDM2, alg. 2).

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
        """Compute the decay at step `step`, counted from 1, where it is 0 (EDM2, section 3.1)."""
        return float((1 - 1 / step) ** (self.gamma + 1))

    @torch.no_grad()
    def update(self, parameters: Sequence[Tensor], step: int) -> None:
        """Update the averages with the parameters after step `step`, counted from 1."""
        torch._foreach_lerp_(self.values, list(parameters), 1 - self.decay(step))


_MOMENTUM: Final = 0.95
"""The decay of the gradient's running mean, used with Nesterov's look-ahead."""

_RMS: Final = 0.2
"""The usual RMS of AdamW's update over its learning rate (Liu et al. 2025, arXiv 2502.16982):
scaled to this, Muon takes AdamW's learning rates."""

_ITERATIONS: Final = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315
"""Jordan's quintic, steep at zero: iterated, it takes singular values to about 0.7 to 1.2."""

_ENDS: Final = frozenset({"conv_in", "conv_out", "class_embedding"})
"""The layers of pictures, classes and output: their rows are no hidden features."""


class Muon(torch.optim.AdamW):
    """Muon for the hidden matrices of a network, and AdamW for all its other weights.

    A hidden matrix keeps one moment, "exp_avg"; any other weight keeps AdamW's two.

    Args:
        network: A UNet2DModel; its `conv_in`, `conv_out` and `class_embedding` are AdamW's.
        dtype: The precision in which matrices are made orthogonal; bfloat16 is enough.
        lr: The learning rate of both.
        betas: AdamW's betas.
        weight_decay: The weight decay of both, decoupled.
    """

    def __init__(
        self,
        network: nn.Module,
        dtype: torch.dtype,
        *,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        super().__init__(network.parameters(), lr, betas, weight_decay=weight_decay, fused=True)
        self._dtype = dtype
        self._hidden = [p for name, p in network.named_parameters() if _is_hidden(name, p)]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step, which clears the gradients of the hidden weights."""
        (group,) = self.param_groups
        for weight in self._hidden:
            if weight.grad is not None:
                self._step_hidden(weight, weight.grad, group["lr"], group["weight_decay"])
                weight.grad = None  # AdamW passes over a weight without a gradient.
        super().step(closure)

    def _step_hidden(self, weight: Tensor, gradient: Tensor, rate: float, decay: float) -> None:
        state = self.state[weight]
        if not state:
            state |= {"step": torch.tensor(0.0), "exp_avg": torch.zeros_like(weight)}
        state["step"] += 1
        mean: Tensor = state["exp_avg"].lerp_(gradient, 1 - _MOMENTUM)
        matrix = _as_matrix(gradient.lerp(mean, _MOMENTUM))
        update = orthogonal(matrix.to(self._dtype)).to(weight.dtype)
        weight.mul_(1 - rate * decay)
        weight.add_(_as_weight(update, weight), alpha=-rate * _RMS * max(matrix.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """Approximate U V^T of `matrix` = U S V^T by Newton and Schulz's iteration.

    Args:
        matrix: (rows, columns), with any singular values.

    Returns:
        The approximation, (rows, columns).
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp_min(1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.T if tall else x


def _is_hidden(name: str, parameter: Tensor) -> bool:
    return parameter.ndim > 1 and name.partition(".")[0] not in _ENDS


def _as_matrix(weight: Tensor) -> Tensor:
    """Flatten (out, in, *kernel) to (out, kernel x in), the order of channels-last memory."""
    return weight.movedim(1, -1).flatten(1)


def _as_weight(matrix: Tensor, like: Tensor) -> Tensor:
    out, channels, *kernel = like.shape
    return matrix.reshape(out, *kernel, channels).movedim(-1, 1)
