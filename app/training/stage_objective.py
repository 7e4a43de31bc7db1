"""The objective of a second stage: v's squared error, each band with a weight of its own."""

from dataclasses import dataclass

from torch import Tensor

from app.training.objective import Losses, Objective


@dataclass(frozen=True, eq=False, kw_only=True)
class StageObjective(Objective):
    """The error of v, each band weighted by a power of its deviation.

    To compare by, the weights are the deviations themselves, whatever is learned with: so the
    losses of all runs on the same pictures can be compared.

    Attributes:
        std: (24,), the bands' deviations.
        exponent: The power of the deviation by which a band counts in learning.
    """

    std: Tensor
    exponent: float

    def losses(self, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, eps: Tensor) -> Losses:
        """Compute the losses of `output` (B, 24, h, w) for the bands `x_t` at `t` (B,)."""
        by_band = (output - self._wanted(x_0, t, eps)).square().mean((2, 3))
        weights = (self.std / self.std.mean()).to(by_band)
        simple, total = ((by_band * weights**p).mean(1) for p in (1, self.exponent))
        return Losses(simple, total, by_band)
