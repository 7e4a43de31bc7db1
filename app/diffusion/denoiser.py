"""What a network predicts, and the estimates of x_0 and eps that follow from it.

The forward process x_t = sqrt(a) x_0 + sqrt(1 - a) eps ties the two together, so a network
may be trained to give either one, or v = sqrt(a) eps - sqrt(1 - a) x_0 (Salimans & Ho 2022,
https://arxiv.org/abs/2202.00512).
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

import torch
from torch import Tensor

from app.diffusion.conditioning import Condition
from app.diffusion.schedule import paper_t
from app.errors import NotFiniteError

Target = Literal["epsilon", "sample", "v_prediction"]
TARGETS: Final[tuple[Target, ...]] = get_args(Target)


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

    @classmethod
    def of(cls, out: Tensor, target: Target, channels: int) -> "Prediction":
        """Read a prediction from a raw output `out`, (B, `channels`, H, W), or twice the channels.

        A network that learned its variance puts it into the second half of the channels.
        """
        if out.shape[1] == channels:
            return cls(out, target)
        mean, variance = out.split(channels, dim=1)
        return cls(mean, target, variance)


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


def estimate(prediction: Prediction, x_t: Tensor, a_t: Tensor, *, clip: bool) -> Estimate:
    """Estimate x_0 and eps at `x_t` (B, C, H, W), whose alpha_bar is `a_t`, by eq. 15 of Ho et al.

    With `clip`, x_0_hat is kept in [-1, 1] and eps_hat is derived again from it, so that the
    two stay consistent with x_t.
    """
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


def require_finite(values: Tensor, t: Tensor, what: str) -> None:
    """Check that `values` (B, ...), computed at `t` (B,), have neither NaN nor infinity.

    Raises:
        NotFiniteError: If they have: it says what isn't finite, and from which t on.
    """
    if math.isfinite(values.sum()):  # which takes a tenth of the time of looking at each
        return
    bad = ~values.reshape(len(values), -1).isfinite().all(1)
    if bool(bad.any()):
        first = paper_t(int(t[bad].max()))
        raise NotFiniteError(
            f"{what} isn't finite from t = {first} on: it has NaN or infinity.",
            "Choose exact precision; where that is chosen, copy the model's weights again.",
        )


MAX_BATCH: Final = 16


@dataclass(frozen=True, eq=False)
class InParts:
    """A Denoiser that takes large batches through the network a part at a time."""

    denoiser: Denoiser

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        """Predict at `x_t` (B, C, H, W) and `t` (B,)."""
        answers = []
        for low in range(0, len(x_t), MAX_BATCH):
            part = slice(low, low + MAX_BATCH)
            shown = None if condition is None else condition.rows(part)
            answers.append(self.denoiser.predict(x_t[part], t[part], shown))
        variances = [a.variance for a in answers if a.variance is not None]
        return Prediction(
            torch.cat([answer.output for answer in answers]),
            answers[0].target,
            torch.cat(variances) if variances else None,
        )
