"""What a network predicts, and the estimates of x_0 and eps that follow from it.

The forward process x_t = sqrt(a) x_0 + sqrt(1 - a) eps ties the two together, so a network
may be trained to give either one, or v = sqrt(a) eps - sqrt(1 - a) x_0 (Salimans & Ho 2022,
https://arxiv.org/abs/2202.00512).
"""

from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

import torch
from torch import Tensor

from app.diffusion.schedule import NoiseSchedule

Target = Literal["epsilon", "sample", "v_prediction"]
TARGETS: Final[tuple[Target, ...]] = get_args(Target)


@dataclass(frozen=True, eq=False)
class Condition:
    """What the pictures of a batch are to show: `labels` is (B,) int64."""

    labels: Tensor


@dataclass(frozen=True, eq=False)
class Prediction:
    """A network's answer at x_t.

    Attributes:
        output: (B, C, H, W) float32, in the terms of `target`.
        target: What the network was trained to predict.
        variance: (B, C, H, W) in about [-1, 1], where the network learned its variance: the
            interpolation between the two fixed ones (Nichol & Dhariwal 2021, eq. 15).
    """

    output: Tensor
    target: Target = "epsilon"
    variance: Tensor | None = None


class Denoiser(Protocol):
    """A network that takes noise off; each picture of a batch may be at its own timestep."""

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        """Predict at `x_t` (B, C, H, W) float32 and `t` (B,) int64."""
        ...


@dataclass(frozen=True, eq=False)
class Estimate:
    """Both readings of one prediction: `x_0_hat`, `eps_hat` (B, C, H, W), and the variance."""

    x_0_hat: Tensor
    eps_hat: Tensor
    variance: Tensor | None = None


def estimate(
    schedule: NoiseSchedule, prediction: Prediction, x_t: Tensor, t: Tensor, *, clip: bool
) -> Estimate:
    """x_0_hat and eps_hat at `x_t` (B, C, H, W) and `t` (B,), eq. 15 of Ho et al. solved for each.

    With `clip`, x_0_hat is kept in [-1, 1] and eps_hat is derived again from it, so that the
    two stay consistent with x_t.
    """
    a_t = schedule.alpha_bar(t)
    root_a, root_b = a_t.sqrt().to(x_t), (1 - a_t).sqrt().to(x_t)
    out = prediction.output
    match prediction.target:
        case "epsilon":
            x_0_hat, eps_hat = (x_t - root_b * out) / root_a, out
        case "sample":
            x_0_hat, eps_hat = out, (x_t - root_a * out) / root_b
        case "v_prediction":
            x_0_hat, eps_hat = root_a * x_t - root_b * out, root_b * x_t + root_a * out
    if clip:
        x_0_hat = x_0_hat.clamp(-1, 1)
        eps_hat = (x_t - root_a * x_0_hat) / root_b
    return Estimate(x_0_hat, eps_hat, prediction.variance)


@dataclass(frozen=True, eq=False)
class GuidedDenoiser:
    """Classifier-free guidance (Ho & Salimans 2022, https://arxiv.org/abs/2207.12598).

    The output is unconditional + scale * (conditional - unconditional), so that a scale of 1
    is no guidance, as in diffusers. The two halves go through the network in one batch.
    """

    denoiser: Denoiser
    scale: float
    null_label: int

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        """Predict with guidance towards `condition`.

        Raises:
            ValueError: If there is no condition to guide towards.
        """
        if condition is None:
            raise ValueError("guidance needs labels to guide towards")
        null = torch.full_like(condition.labels, self.null_label)
        both = Condition(torch.cat([condition.labels, null]))
        answer = self.denoiser.predict(torch.cat([x_t, x_t]), torch.cat([t, t]), both)
        towards, away = answer.output.chunk(2)
        variance = None if answer.variance is None else answer.variance.chunk(2)[0]
        return Prediction(away + self.scale * (towards - away), answer.target, variance)
