"""Analytic-DPM: exact on Gaussian data, where the variance of each step is known."""

import math

import pytest
import torch
from torch import Tensor

from app.diffusion.analytic import AnalyticVariance, eps_squares
from app.diffusion.forward import beta_tilde, posterior_weights
from app.diffusion.reverse import reverse_process, spaced_timesteps
from app.diffusion.samplers.ddpm import DDPM
from app.diffusion.schedule import NoiseSchedule
from app.diffusion.seeds import SeededNoise
from app.diffusion.variance import Variance, step_log_variance, step_variance
from tests.diffusion.oracles import GaussianDenoiser

SCHEDULE = NoiseSchedule.named()
STD = 0.4
DENOISER = GaussianDenoiser(SCHEDULE, 0.1, STD)
DOUBLE = torch.zeros((), dtype=torch.float64)


def exact_squares() -> Tensor:
    """E[eps_hat^2] of data from N(mean, STD^2): (1 - a) / (a STD^2 + 1 - a)."""
    a = SCHEDULE.alphas_cumprod
    return (1 - a) / (a * STD**2 + 1 - a)


EXACT = AnalyticVariance(exact_squares())


def pictures(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return 0.1 + STD * torch.randn(count, 3, 16, 16, generator=generator)


def test_squares_are_measured_at_every_t() -> None:
    found = torch.tensor(list(eps_squares(DENOISER, SCHEDULE, pictures(40))))
    assert found.shape == (1000,)
    # 16 pictures of 768 values: a mean of squares is within a few times sqrt(2 / 12288).
    assert ((found / exact_squares() - 1).abs() < 0.07).all()


@pytest.mark.parametrize(("t", "s"), [(999, 959), (500, 499), (500, 300), (40, 0), (20, -1)])
def test_a_step_of_gaussian_data_has_its_true_variance(t: int, s: int) -> None:
    at, to = torch.tensor([t]), torch.tensor([s])
    a = SCHEDULE.alpha_bar(at)
    unknown = STD**2 * (1 - a) / (a * STD**2 + 1 - a)
    w_0, _ = posterior_weights(SCHEDULE, at, to)
    true = beta_tilde(SCHEDULE, at, to) + w_0**2 * unknown
    assert torch.allclose(step_variance(SCHEDULE, at, to, EXACT, like=DOUBLE), true, rtol=1e-9)


def spread(variance: Variance, steps: int) -> float:
    """The deviation of what DDPM draws; its last step, which adds no noise, is left out."""
    noise = SeededNoise(range(8))
    timesteps = spaced_timesteps(steps, 1000)
    stream = reverse_process(
        DENOISER, SCHEDULE, noise.draw((3, 32, 32)), timesteps,
        sampler=DDPM(SCHEDULE, timesteps, variance), noise=noise, clip=False,
    )  # fmt: skip
    last = [frame for frame in stream if frame.eps_hat is not None][-1]
    a = SCHEDULE.alpha_bar(torch.tensor([last.t])).item()
    return float(last.x_t.std()) / math.sqrt(a * STD**2 + 1 - a)


def test_few_steps_keep_the_spread_of_the_data() -> None:
    assert spread(EXACT, 6) == pytest.approx(1, abs=0.01)
    assert spread("fixed_small", 6) < 0.9
    assert spread("fixed_large", 6) > 1.05


def test_wild_estimates_stay_within_what_pictures_can_have() -> None:
    t = torch.arange(1000)
    small = step_log_variance(SCHEDULE, t, t - 1, "fixed_small", like=DOUBLE)
    for square in (0.0, 1.0, 7.0):
        wild = AnalyticVariance(torch.full((1000,), square, dtype=torch.float64))
        log = step_log_variance(SCHEDULE, t, t - 1, wild, like=DOUBLE)
        w_0, _ = posterior_weights(SCHEDULE, t, t - 1)
        assert bool(log.isfinite().all())
        assert bool((log >= small - 1e-12).all())
        assert bool((log.exp() <= small.exp() + w_0**2 + 1e-12).all())
