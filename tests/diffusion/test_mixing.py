"""Mixing at x_t: where each rule begins and ends, and what it leaves of the noise."""

import pytest
import torch
from torch import Tensor

from app.diffusion.forward import q_sample
from app.diffusion.mixing import MIXING_RULES, MixingRule, Mixture, mix_at, slerp
from app.diffusion.schedule import CLEAN, NoiseSchedule

SCHEDULE = NoiseSchedule.named()
WEIGHTS = torch.tensor([0.0, 0.25, 0.5, 1.0])


def draws(count: int, side: int = 8) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn((1, 3, side, side), generator=generator) for _ in range(count))


def mixed(rule: MixingRule, t: int, side: int = 8, *, black: bool = False) -> Mixture:
    first, second, *eps = draws(4, side)
    if black:
        first, second = torch.zeros_like(first), torch.zeros_like(second)
    pair = first.clamp(-1, 1), second.clamp(-1, 1)
    return mix_at(SCHEDULE, *pair, t, mix=WEIGHTS, eps=(eps[0], eps[1]), rule=rule)


@pytest.mark.parametrize("t", [0, 499, 999])
@pytest.mark.parametrize("rule", MIXING_RULES)
def test_the_ends_are_the_two_noised_pictures(rule: MixingRule, t: int) -> None:
    first, second, eps_1, eps_2 = draws(4)
    time, x_t = torch.tensor([t]), mixed(rule, t).x_t
    of_second = eps_1 if rule == "shared" else eps_2
    assert torch.allclose(x_t[:1], q_sample(SCHEDULE, first.clamp(-1, 1), time, eps_1), atol=1e-5)
    assert torch.allclose(
        x_t[3:], q_sample(SCHEDULE, second.clamp(-1, 1), time, of_second), atol=1e-5
    )


@pytest.mark.parametrize(
    ("rule", "half"), [("linear", 0.5), ("shared", 1.0), ("variance_kept", 1.0), ("slerp", 1.0)]
)
def test_each_rule_leaves_the_noise_variance_that_it_says(rule: MixingRule, half: float) -> None:
    """Measured on black pictures, whose x_t is noise alone."""
    t = 499
    mixture = mixed(rule, t, side=64, black=True)
    measured = mixture.x_t.flatten(1).var(1) / (1 - SCHEDULE.level(t).signal)
    assert float(mixture.noise_variance[2]) == pytest.approx(half, abs=0.02)
    assert measured.tolist() == pytest.approx(mixture.noise_variance.tolist(), rel=0.05)


@pytest.mark.parametrize("rule", ["linear", "shared", "variance_kept"])
def test_signals_mix_linearly(rule: MixingRule) -> None:
    first, second, *_ = draws(2)
    zero = torch.zeros_like(first)
    mixture = mix_at(SCHEDULE, first, second, 300, mix=WEIGHTS, eps=(zero, zero), rule=rule)
    weights = WEIGHTS.view(-1, 1, 1, 1)
    expected = SCHEDULE.level(300).signal ** 0.5 * ((1 - weights) * first + weights * second)
    assert torch.allclose(mixture.x_t, expected, atol=1e-6)


def test_linear_keeps_both_noises_fixed_over_lambda() -> None:
    x_t = mixed("linear", 700).x_t
    assert torch.allclose(x_t[1], 0.75 * x_t[0] + 0.25 * x_t[3], atol=1e-6)


def test_clean_pictures_are_mixed_as_pixels() -> None:
    first, second, *_ = draws(2)
    pair = first.clamp(-1, 1), second.clamp(-1, 1)
    assert torch.allclose(mixed("linear", CLEAN).x_t[2], (pair[0] + pair[1])[0] / 2, atol=1e-6)


def test_slerp_keeps_the_length_of_two_equally_long() -> None:
    a, b = draws(2)
    b = b * a.norm() / b.norm()
    lengths = slerp(a, b, torch.linspace(0, 1, 5)).flatten(1).norm(dim=1)
    assert torch.allclose(lengths, a.norm().expand(5), rtol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1.001, -1.0, 0.0])
def test_slerp_of_the_nearly_parallel_is_the_straight_line(scale: float) -> None:
    (a,) = draws(1)
    middle = slerp(a, scale * a, torch.tensor([0.25]))
    assert torch.allclose(middle, (0.75 + 0.25 * scale) * a, atol=1e-6)


@pytest.mark.parametrize("mix", [torch.tensor([1.1]), torch.tensor([-0.1]), torch.tensor(0.5)])
def test_weights_outside_the_unit_interval_are_refused(mix: Tensor) -> None:
    a, b = draws(2)
    with pytest.raises(ValueError, match="mix"):
        mix_at(SCHEDULE, a, b, 5, mix=mix, eps=(a, b), rule="linear")


def test_unknown_rules_are_refused() -> None:
    a, b = draws(2)
    with pytest.raises(ValueError, match="magic"):
        mix_at(SCHEDULE, a, b, 5, mix=WEIGHTS, eps=(a, b), rule="magic")  # type: ignore[arg-type]
