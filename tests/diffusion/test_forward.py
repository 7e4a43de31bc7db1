"""The forward process and its posterior, by their identities."""

import pytest
import torch
from torch import Tensor

from app.diffusion.forward import Gaussian, posterior, q_sample, q_step
from app.diffusion.schedule import NoiseSchedule

SCHEDULE = NoiseSchedule.named()


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def at(*t: int) -> Tensor:
    return torch.tensor(t)


def test_q_sample_has_the_mean_and_variance_of_equation_4() -> None:
    x_0 = torch.full((1, 1, 400, 400), 0.5)
    x_t = q_sample(SCHEDULE, x_0, at(300), normal(0, 1, 1, 400, 400))
    a = SCHEDULE.level(300).signal
    assert x_t.mean().item() == pytest.approx(a**0.5 * 0.5, abs=0.01)
    assert x_t.var().item() == pytest.approx(1 - a, rel=0.02)


def test_q_sample_at_clean_data_is_the_picture() -> None:
    x_0 = normal(1, 2, 3, 4, 4)
    assert torch.equal(q_sample(SCHEDULE, x_0, at(-1, -1), normal(2, 2, 3, 4, 4)), x_0)


def test_two_steps_of_q_make_one() -> None:
    x_0 = normal(3, 1, 1, 2, 2).double()
    first = q_step(SCHEDULE, x_0, at(100), at(-1))
    second = q_step(SCHEDULE, first.mean, at(700), at(100))
    whole = q_step(SCHEDULE, x_0, at(700), at(-1))
    scale = SCHEDULE.alpha_bar(at(700)) / SCHEDULE.alpha_bar(at(100))
    assert torch.allclose(second.mean, whole.mean)
    assert torch.allclose(second.var + scale * first.var, whole.var)


def test_single_steps_of_q_have_the_schedules_betas() -> None:
    t = torch.arange(1000)
    var = q_step(SCHEDULE, torch.zeros(1000, 1, 1, 1).double(), t, t - 1).var
    assert torch.allclose(var.flatten(), SCHEDULE.betas)


@pytest.mark.parametrize(("t", "s"), [(700, 699), (700, 100), (1, 0), (999, 0)])
def test_posterior_agrees_with_bayes(t: int, s: int) -> None:
    """The product q(x_t | x_s) q(x_s | x_0), as a function of x_s, completed to a square."""
    x_0, x_t = normal(4, 1, 1, 3, 3).double(), normal(5, 1, 1, 3, 3).double()
    a_t, a_s = SCHEDULE.alpha_bar(at(t)), SCHEDULE.alpha_bar(at(s))
    a_ts = a_t / a_s
    precision = a_ts / (1 - a_ts) + 1 / (1 - a_s)
    mean = (a_ts.sqrt() / (1 - a_ts) * x_t + a_s.sqrt() / (1 - a_s) * x_0) / precision
    ours = posterior(SCHEDULE, x_0, x_t, at(t), at(s))
    assert torch.allclose(ours.mean, mean)
    assert torch.allclose(ours.var, 1 / precision)


def test_posterior_arriving_at_clean_data_is_the_picture() -> None:
    x_0 = normal(6, 1, 1, 3, 3)
    ours = posterior(SCHEDULE, x_0, normal(7, 1, 1, 3, 3), at(0), at(-1))
    assert torch.allclose(ours.mean, x_0)
    assert ours.var.item() == 0


def test_each_picture_may_be_at_its_own_step() -> None:
    x_0, x_t = normal(8, 2, 1, 3, 3), normal(9, 2, 1, 3, 3)
    both = posterior(SCHEDULE, x_0, x_t, at(5, 900), at(4, 2))
    alone = posterior(SCHEDULE, x_0[1:], x_t[1:], at(900), at(2))
    assert torch.equal(both.mean[1:], alone.mean)


@pytest.mark.parametrize("s", [5, 6])
def test_steps_that_do_not_run_backwards_are_refused(s: int) -> None:
    x = torch.zeros(1, 1, 1, 1)
    with pytest.raises(ValueError, match="s < t"):
        posterior(SCHEDULE, x, x, at(5), at(s))
    with pytest.raises(ValueError, match="s < t"):
        q_step(SCHEDULE, x, at(5), at(s))


def test_sampling_a_gaussian_takes_the_callers_noise() -> None:
    eps = normal(10, 1, 1, 2, 2)
    drawn = Gaussian(torch.ones(1, 1, 2, 2), torch.full((1, 1, 1, 1), 4.0)).sample(eps)
    assert torch.equal(drawn, 1 + 2 * eps)
