"""Classifier-free guidance (Ho & Salimans 2022, https://arxiv.org/abs/2207.12598)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Denoiser, Prediction


@dataclass(frozen=True, eq=False)
class GuidedDenoiser:
    """A Denoiser whose output is unconditional + scale * (conditional - unconditional).

    A scale of 1 is no guidance, as in diffusers. The two halves go through the network in one
    batch.
    """

    denoiser: Denoiser
    scale: float
    null_label: int

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        """Predict with guidance towards `condition`.

        Raises:
            ValueError: If there is no condition to guide towards.
        """
        if condition is None or condition.labels is None:
            raise ValueError("guidance needs labels to guide towards")
        away = replace(condition, labels=torch.full_like(condition.labels, self.null_label))
        both = Condition.joined([condition, away])
        answer = self.denoiser.predict(torch.cat([x_t, x_t]), torch.cat([t, t]), both)
        towards, unlabelled = answer.output.chunk(2)
        variance = None if answer.variance is None else answer.variance.chunk(2)[0]
        output = unlabelled + self.scale * (towards - unlabelled)
        return Prediction(output, answer.target, variance)
