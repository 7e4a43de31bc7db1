"""Each objective against its formula written out again, in float64 and without the schedule."""

import math

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from app.diffusion.denoiser import Target
from app.diffusion.schedule import NoiseSchedule
from app.training.objective import Objective, coarse

T = 50
BETAS = torch.linspace(1e-3, 0.2, T, dtype=torch.float64)
ALPHA_BAR = torch.cumprod(1 - BETAS, 0)
TIMES = torch.tensor([0, 1, 7, 30, 49])


def case() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Pictures of 256 levels, their noise, x_t, and two halves of an output."""
    draw = torch.Generator().manual_seed(0)
    x_0 = torch.randint(0, 256, (5, 3, 4, 4), generator=draw).double() / 127.5 - 1
    eps, mean, variance = torch.randn((3, 5, 3, 4, 4), generator=draw, dtype=torch.float64)
    a = ALPHA_BAR[TIMES].view(-1, 1, 1, 1)
    return x_0, eps, a.sqrt() * x_0 + (1 - a).sqrt() * eps, mean, variance.tanh()


def objective(target: Target, **changes: float) -> Objective:
    return Objective(NoiseSchedule.from_betas(BETAS), target, **changes)


def test_l_simple_is_the_mean_squared_error_of_the_noise() -> None:
    x_0, eps, x_t, mean, _ = case()
    losses = objective("epsilon").losses(mean, x_0, x_t, TIMES, eps)
    expected = [float(((mean[i] - eps[i]) ** 2).sum() / 48) for i in range(5)]
    assert losses.total.tolist() == pytest.approx(expected)
    assert losses.simple.tolist() == pytest.approx(expected)


def test_v_prediction_is_diffusers_velocity() -> None:
    x_0, eps, x_t, mean, _ = case()
    scheduler = DDPMScheduler(trained_betas=BETAS.tolist(), num_train_timesteps=T)
    v = scheduler.get_velocity(x_0.float(), eps.float(), TIMES)
    losses = objective("v_prediction").losses(mean, x_0, x_t, TIMES, eps)
    torch.testing.assert_close(losses.total.float(), ((mean - v) ** 2).flatten(1).mean(1).float())


@pytest.mark.parametrize("target", ["epsilon", "v_prediction"])
def test_min_snr_weights_the_error_of_x_0_by_the_smaller_of_snr_and_gamma(target: Target) -> None:
    x_0, eps, x_t, mean, _ = case()
    losses = objective(target, min_snr_gamma=5.0).losses(mean, x_0, x_t, TIMES, eps)
    a = ALPHA_BAR[TIMES].view(-1, 1, 1, 1)
    if target == "epsilon":
        x_0_hat = (x_t - (1 - a).sqrt() * mean) / a.sqrt()
    else:
        x_0_hat = a.sqrt() * x_t - (1 - a).sqrt() * mean
    snr = compute_snr(DDPMScheduler(trained_betas=BETAS.tolist(), num_train_timesteps=T), TIMES)
    assert snr.min() < 5 < snr.max()
    expected = snr.clamp(max=5).double() * ((x_0_hat - x_0) ** 2).flatten(1).mean(1)
    torch.testing.assert_close(losses.total, expected, rtol=1e-5, atol=0)
    unweighted = objective(target).losses(mean, x_0, x_t, TIMES, eps).total
    torch.testing.assert_close(losses.simple, unweighted)


def test_the_coarse_error_weighs_a_frequency_by_the_sizes_at_which_it_is_seen() -> None:
    flat = torch.full((1, 3, 8, 8), 0.1, dtype=torch.float64)
    board = flat * torch.tensor([1.0, -1.0]).repeat(4) * torch.tensor([[1.0], [-1.0]]).repeat(4, 1)
    both = torch.cat([flat, board])
    # A colour is the same at 4, 2 and 1 pixels; a chequerboard is gone there.
    assert coarse(both).tolist() == pytest.approx([0.01 * (2 + 4 + 8), 0])


def test_the_coarse_error_is_added_as_far_as_the_snr_lets_it_be_known() -> None:
    x_0, eps, x_t, mean, _ = case()
    plain = objective("epsilon").losses(mean, x_0, x_t, TIMES, eps)
    scaled = objective("epsilon", multiscale_gamma=0.5).losses(mean, x_0, x_t, TIMES, eps)
    torch.testing.assert_close(scaled.simple, plain.simple)
    snr = compute_snr(DDPMScheduler(trained_betas=BETAS.tolist(), num_train_timesteps=T), TIMES)
    assert snr.min() < 0.5 < snr.max()
    expected = plain.total.clone()
    for size in (1, 2):
        error = torch.nn.functional.adaptive_avg_pool2d(mean - eps, size)
        share = (0.5 / snr.double()).clamp(max=1)
        expected += share * 4 / size * error.square().flatten(1).mean(1)
    torch.testing.assert_close(scaled.total, expected, rtol=1e-5, atol=0)


def reference_vlb(t: int, x_0: Tensor, x_t: Tensor, eps_hat: Tensor, variance: Tensor) -> float:
    """L_{t} of one picture in bits per dimension, from Ho et al.'s eqs. 5-8 and 13 alone."""
    beta, alpha, bar = BETAS[t], 1 - BETAS[t], ALPHA_BAR[t]
    before = ALPHA_BAR[t - 1] if t else torch.tensor(1.0, dtype=torch.float64)
    tilde = beta * (1 - before) / (1 - bar)
    floor = BETAS[1] * (1 - ALPHA_BAR[0]) / (1 - ALPHA_BAR[1])
    small = tilde if t else floor
    var = torch.exp((variance + 1) / 2 * beta.log() + (1 - variance) / 2 * small.log())
    mean = (x_t - beta / (1 - bar).sqrt() * eps_hat) / alpha.sqrt()
    model = Normal(mean, var.sqrt())
    if t:
        weight_0, weight_t = (
            before.sqrt() * beta / (1 - bar),
            alpha.sqrt() * (1 - before) / (1 - bar),
        )
        truth = Normal(weight_0 * x_0 + weight_t * x_t, tilde.sqrt())
        nats = kl_divergence(truth, model)
    else:
        upper = torch.where(x_0 == 1, 1.0, model.cdf(x_0 + 1 / 255))
        lower = torch.where(x_0 == -1, 0.0, model.cdf(x_0 - 1 / 255))
        nats = -(upper - lower).clamp(min=1e-12).log()
    return float(nats.mean()) / math.log(2)


def test_l_vlb_is_the_papers_bound_with_the_learned_variance() -> None:
    x_0, eps, x_t, _, variance = case()
    near = eps + 0.01 * torch.sin(7 * x_t)  # an estimate near enough for L_0 not to saturate
    ours = objective("epsilon").vlb_terms(near, variance, x_0, x_t, TIMES)
    pairs = enumerate(TIMES.tolist())
    expected = [reference_vlb(t, x_0[i], x_t[i], near[i], variance[i]) for i, t in pairs]
    assert ours.tolist() == pytest.approx(expected, rel=1e-6)


def test_the_hybrid_adds_lambda_times_the_whole_bound_estimated_from_one_timestep() -> None:
    x_0, eps, x_t, mean, variance = case()
    hybrid = objective("epsilon", vlb_weight=0.001)
    losses = hybrid.losses(torch.cat([mean, variance], 1), x_0, x_t, TIMES, eps)
    terms = hybrid.vlb_terms(mean, variance, x_0, x_t, TIMES)
    torch.testing.assert_close(losses.total, losses.simple + 0.001 * T * terms)


def test_the_bound_moves_the_variance_and_never_the_mean() -> None:
    x_0, _, x_t, mean, variance = case()
    mean.requires_grad_(True)
    variance.requires_grad_(True)
    objective("epsilon").vlb_terms(mean, variance, x_0, x_t, TIMES).sum().backward()
    assert mean.grad is None
    assert variance.grad is not None
    assert bool((variance.grad.flatten(1).abs().sum(1) > 0).all())
