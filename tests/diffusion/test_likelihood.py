"""The densities of the bound, against torch's own and against what they must sum to."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from app.diffusion.bound import discretized_gaussian_log_likelihood, gaussian_kl

LEVELS = torch.arange(256, dtype=torch.float64) / 127.5 - 1


def test_kl_agrees_with_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    mean1, log_var1, mean2, log_var2 = torch.randn((4, 50), generator=generator).double()
    theirs = kl_divergence(Normal(mean1, (log_var1 / 2).exp()), Normal(mean2, (log_var2 / 2).exp()))
    assert torch.allclose(gaussian_kl(mean1, log_var1, mean2, log_var2), theirs, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-3, 0.1, 2.0])
@pytest.mark.parametrize("mean", [-1.2, -0.3, 0.9])
def test_the_256_levels_share_all_probability(mean: float, scale: float) -> None:
    log_p = discretized_gaussian_log_likelihood(
        LEVELS, torch.tensor(mean).double(), torch.tensor(math.log(scale)).double()
    )
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-9)


def test_open_tails_belong_to_the_outer_levels() -> None:
    log_scale = torch.tensor(0.0).double()
    far = discretized_gaussian_log_likelihood(LEVELS, torch.tensor(9.0).double(), log_scale)
    assert float(far[255]) == pytest.approx(0, abs=1e-9)
    assert bool((far[:255] < -20).all())


def test_both_sides_of_the_mean_are_equally_exact() -> None:
    mean, log_scale = torch.tensor(0.0).double(), torch.tensor(math.log(0.1)).double()
    log_p = discretized_gaussian_log_likelihood(LEVELS[1:-1], mean, log_scale)
    assert torch.allclose(log_p, log_p.flip(0), atol=1e-9)
