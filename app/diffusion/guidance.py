"""Classifier-free guidance (Ho & Salimans 2022, https://arxiv.org/abs/2207.12598).

Only in an interval of noise levels, if wanted (Kynkäänniemi et al. 2024,
https://arxiv.org/abs/2404.07724): at the noisiest steps guidance takes variety away, and at the
clearest it does nothing but double their cost.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Denoiser, Prediction
from app.diffusion.schedule import MAX_T


def guides(t: Tensor, first: int, last: int) -> Tensor:
    """Tell at which timesteps `t` guidance from `first` down to `last` is applied, as `t` bool."""
    return (last <= t) & (t <= first)


@dataclass(frozen=True, eq=False)
class GuidedDenoiser:
    """A Denoiser whose output is unconditional + scale * (conditional - unconditional).

    A scale of 1 is no guidance, as in diffusers. The two halves go through the network in one
    batch, in which a picture at a timestep without guidance has no second half.

    Attributes:
        denoiser: The network.
        scale: How far the output is taken.
        null_label: The label of the unconditional half.
        first: The largest timestep at which guidance is applied.
        last: The smallest.
    """

    denoiser: Denoiser
    scale: float
    null_label: int
    first: int = MAX_T
    last: int = 0

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        """Predict with guidance towards `condition`.

        Raises:
            ValueError: If there is no condition to guide towards.
        """
        if condition is None or condition.labels is None:
            raise ValueError("guidance needs labels to guide towards")
        (guided,) = guides(t, self.first, self.last).nonzero(as_tuple=True)
        if not len(guided):
            return self.denoiser.predict(x_t, t, condition)
        away = condition.rows(guided)
        away = replace(away, labels=torch.full((len(guided),), self.null_label))
        both = Condition.joined([condition, away])
        x_ts, ts = torch.cat([x_t, x_t[guided]]), torch.cat([t, t[guided]])
        answer = self.denoiser.predict(x_ts, ts, both)
        output, unlabelled = answer.output.split([len(x_t), len(guided)])
        variance = None if answer.variance is None else answer.variance[: len(x_t)]
        towards = unlabelled + self.scale * (output[guided] - unlabelled)
        return Prediction(output.index_copy(0, guided, towards), answer.target, variance)
