"""Mixing two pictures at x_t: four rules, and what each does to the variance of the noise.

Every rule is a choice of weights in

    x_t = sqrt(a) (u_1 x_0 + u_2 y_0) + sqrt(1 - a) (w_1 eps_1 + w_2 eps_2),    a = alpha_bar_t,

so that the noise keeps w_1^2 + w_2^2 of the variance which the network was trained to expect.
Section 4.3 and figures 8 and 9 of Ho et al. (2020), https://arxiv.org/abs/2006.11239, mix
linearly.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import torch
from torch import Tensor

from app.diffusion.forward import q_sample
from app.diffusion.schedule import NoiseSchedule

MixingRule = Literal["linear", "shared", "variance_kept", "slerp"]
MIXING_RULES: Final[tuple[MixingRule, ...]] = get_args(MixingRule)
DEFAULT_RULE: Final[MixingRule] = "variance_kept"
"""The rule that keeps as much noise as the network expects; half as much is painted as a blur."""

NEARLY_PARALLEL: Final = 0.9995
"""The cosine beyond which slerp's sin(angle) is too small to divide by."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """Mixtures at one x_t.

    Attributes:
        x_t: (B, C, H, W).
        noise_variance: (B,) float64, w_1^2 + w_2^2: what is left of the noise's variance, 1 where
            the rule keeps it.
    """

    x_t: Tensor
    noise_variance: Tensor


def mix_at(
    schedule: NoiseSchedule,
    first: Tensor,
    second: Tensor,
    t: int,
    *,
    mix: Tensor,
    eps: tuple[Tensor, Tensor],
    rule: MixingRule,
) -> Mixture:
    """Noise two pictures to `t` and mix them there.

    Args:
        schedule: The model's noise schedule.
        first: (1, C, H, W) in [-1, 1]; `second` likewise.
        second: The picture that mix = 1 gives.
        t: In [-1, T); at -1 the pictures themselves are mixed.
        mix: lambda, (B,) in [0, 1].
        eps: A standard normal draw for each picture, (1, C, H, W). `linear`, `variance_kept`
            and `slerp` keep the two apart, whatever lambda; `shared` gives the first to both.
        rule: `linear` is the paper's code, `shared` its poster.

    Raises:
        ValueError: If the rule is unknown, or a weight lies outside [0, 1].
    """
    _check(mix, rule)
    time = torch.tensor([t])
    clean = torch.zeros_like(eps[0])
    eps_1, eps_2 = (eps[0], eps[0]) if rule == "shared" else eps
    signals = q_sample(schedule, first, time, clean), q_sample(schedule, second, time, clean)
    noises = q_sample(schedule, clean, time, eps_1), q_sample(schedule, clean, time, eps_2)
    of_signal = of_noise = torch.stack([1 - mix.double(), mix.double()])
    if rule == "slerp":
        of_signal = of_noise = slerp_weights(
            signals[0] + noises[0], signals[1] + noises[1], mix.double()
        )
    elif rule == "variance_kept":
        of_noise = of_noise / (of_noise**2).sum(0).sqrt()
    x_t = _weighted(of_signal, signals) + _weighted(of_noise, noises)
    # Two equal noises add up as one: the weight is 1 whatever lambda.
    kept = of_noise.sum(0) ** 2 if rule == "shared" else (of_noise**2).sum(0)
    return Mixture(x_t.to(first), kept)


def slerp_weights(first: Tensor, second: Tensor, mix: Tensor) -> Tensor:
    """Return weights (2, B) on the arc from `first` to `second` (1, C, H, W), `mix` (B,) in [0, 1].

    They are sin((1 - lambda) angle) / sin(angle) and sin(lambda angle) / sin(angle), float64, or
    those of the straight line where the two are nearly parallel, or one of them is zero.
    """
    a, b = first.double().flatten(), second.double().flatten()
    straight = torch.stack([1 - mix, mix])
    length = a.norm() * b.norm()
    if length == 0:
        return straight
    cosine = torch.dot(a, b) / length
    if cosine.abs() > NEARLY_PARALLEL:
        return straight
    angle = cosine.acos()
    return torch.as_tensor((straight * angle).sin() / angle.sin())


def slerp(first: Tensor, second: Tensor, mix: Tensor) -> Tensor:
    """Return the points (B, C, H, W) at `mix` (B,) on the arc between two tensors (1, C, H, W)."""
    return _weighted(slerp_weights(first, second, mix.double()), (first, second)).to(first)


def _check(mix: Tensor, rule: str) -> None:
    if rule not in MIXING_RULES:
        raise ValueError(f"unknown mixing rule {rule!r}; choose from {MIXING_RULES}")
    if mix.ndim != 1 or not bool(((mix >= 0) & (mix <= 1)).all()):
        raise ValueError(f"mix must be (B,) inside [0, 1], got {mix}")


def _weighted(weights: Tensor, pair: tuple[Tensor, Tensor]) -> Tensor:
    w_1, w_2 = weights.view(2, -1, 1, 1, 1)
    return torch.as_tensor(w_1 * pair[0] + w_2 * pair[1])
