"""Muon for the hidden weights of a U-Net, AdamW for the rest (Jordan et al. 2024).

A step moves a matrix by the nearest orthogonal matrix to its gradient's running mean, so that no
direction is left behind for being faint. torch.optim.Muon takes matrices alone and computes in
bfloat16 on every processor; this one takes convolutions too, as matrices of one row an output
channel, and any precision.
"""

from typing import Final

import torch
from torch import Tensor, nn

_MOMENTUM: Final = 0.95
"""Of the gradient's running mean, with Nesterov's look ahead."""

_RMS: Final = 0.2
"""AdamW's usual update over its learning rate (Liu et al. 2025, arXiv 2502.16982): scaled to it,
Muon takes AdamW's learning rates."""

_ITERATIONS: Final = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315
"""Jordan's quintic: steep at zero, so that it sends any singular value to about 0.7 to 1.2."""

_ENDS: Final = frozenset({"conv_in", "conv_out", "class_embedding"})
"""Where pictures and classes come in and the output leaves: their rows are no hidden features."""


class Muon(torch.optim.AdamW):
    """AdamW over all of a network's weights but the hidden matrices, which are Muon's.

    A hidden matrix keeps one moment, "exp_avg"; any other weight AdamW's two.

    Args:
        network: A UNet2DModel; its `conv_in`, `conv_out` and `class_embedding` are AdamW's.
        dtype: What matrices are made orthogonal in: bfloat16 is enough.
        lr: The learning rate of both.
        betas: AdamW's.
        weight_decay: Of both, decoupled.
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
        """Take one step; hidden weights lose their gradients by it."""
        (group,) = self.param_groups
        for weight in self._hidden:
            if weight.grad is not None:
                self._step_hidden(weight, weight.grad, group["lr"], group["weight_decay"])
                weight.grad = None  # AdamW passes over a weight without one.
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
    """About U V^T of `matrix` = U S V^T, of the same shape, by Newton and Schulz's iteration.

    Args:
        matrix: (rows, columns); its singular values may be anything.
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
    """(out, in) as it is, (out, in, *kernel) as (out, kernel x in): channels-last's own order."""
    return weight.movedim(1, -1).flatten(1)


def _as_weight(matrix: Tensor, like: Tensor) -> Tensor:
    out, channels, *kernel = like.shape
    return matrix.reshape(out, *kernel, channels).movedim(-1, 1)
