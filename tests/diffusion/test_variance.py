"""The variances of a step, against diffusers and against Nichol & Dhariwal's code written again."""

from itertools import product
from typing import Literal, get_args

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from numpy.typing import NDArray
from torch import Tensor

from app.diffusion.schedule import NoiseSchedule
from app.diffusion.variance import FixedVariance, Variance, step_log_variance, step_variance

SCHEDULE = NoiseSchedule.named()
DOUBLE = torch.zeros((), dtype=torch.float64)
Theirs = Literal[FixedVariance, "learned"]
VARIANCES: tuple[Theirs, ...] = (*get_args(FixedVariance), "learned")
LEARNED = torch.linspace(-1.2, 1.2, 12, dtype=torch.float64).view(1, 3, 2, 2)
DIFFUSERS = ("fixed_small", "fixed_large", "fixed_large_log", "learned_range")
TIMES = (0, 1, 2, 20, 500, 999)


def improved_diffusion_log_variance(variance: Theirs, learned: Tensor) -> NDArray[np.float64]:
    """`p_mean_variance`'s model_log_variance at each t of the linear schedule, (1000, 3, 2, 2)."""
    betas = np.linspace(1e-4, 0.02, 1000)
    bar = np.cumprod(1 - betas)
    posterior_variance = betas * (1 - np.append(1.0, bar[:-1])) / (1 - bar)
    clipped = np.log(np.append(posterior_variance[1], posterior_variance[1:]))
    large = np.log(np.append(posterior_variance[1], betas[1:]))
    low, high = clipped.reshape(-1, 1, 1, 1), np.log(betas).reshape(-1, 1, 1, 1)
    fraction = (learned.numpy() + 1) / 2
    found = {
        "fixed_small": low,
        "fixed_large": large.reshape(-1, 1, 1, 1),
        "learned": fraction * high + (1 - fraction) * low,
    }[variance]
    return np.broadcast_to(found, (1000, 3, 2, 2))


@pytest.mark.parametrize("variance", VARIANCES)
def test_every_log_variance_is_nichol_and_dhariwals(variance: Theirs) -> None:
    t = torch.arange(1000)
    ours = step_log_variance(SCHEDULE, t, t - 1, variance, like=DOUBLE, learned=LEARNED)
    theirs = improved_diffusion_log_variance(variance, LEARNED)
    np.testing.assert_allclose(ours.expand(1000, 3, 2, 2).numpy(), theirs, rtol=1e-9)


@pytest.mark.parametrize(
    ("kind", "t"),
    # At t = 0 diffusers interpolates between log beta and log 1e-20: see the test above for ours.
    [pair for pair in product(DIFFUSERS, TIMES) if pair != ("learned_range", 0)],
)
def test_variances_are_diffusers(kind: str, t: int) -> None:
    scheduler = DDPMScheduler(variance_type=kind)
    scheduler.set_timesteps(1000)
    theirs = scheduler._get_variance(t, predicted_variance=LEARNED, variance_type=kind)
    at, s = torch.tensor([t]), torch.tensor([t - 1])
    if kind == "learned_range":
        ours = step_log_variance(SCHEDULE, at, s, "learned", like=DOUBLE, learned=LEARNED)
    elif kind == "fixed_small":
        ours = step_variance(SCHEDULE, at, s, "fixed_small", like=DOUBLE)
    else:
        ours = step_variance(SCHEDULE, at, s, "fixed_large", like=DOUBLE)
        ours = ours.log() if kind.endswith("log") else ours
    # diffusers computes in float32, where 1 - alpha_bar is 3e-3 off at the first steps.
    torch.testing.assert_close(ours, theirs.double().expand_as(ours), rtol=5e-3, atol=1e-19)


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize(("t", "s"), [(999, 998), (640, 120), (3, 0), (1, 0)])
def test_a_step_of_any_length_has_the_variance_whose_log_it_has(
    variance: Variance, t: int, s: int
) -> None:
    step = SCHEDULE, torch.tensor([t]), torch.tensor([s]), variance
    var = step_variance(*step, like=DOUBLE, learned=LEARNED)
    log_var = step_log_variance(*step, like=DOUBLE, learned=LEARNED)
    torch.testing.assert_close(var, log_var.exp(), rtol=1e-12, atol=0)


def test_a_learned_variance_at_its_ends_is_one_of_the_fixed_ones() -> None:
    t, s = torch.tensor([700, 50]), torch.tensor([600, 49])
    for end, fixed in ((-1, "fixed_small"), (1, "fixed_large")):
        share = torch.full((2, 1, 1, 1), float(end))
        learned = step_log_variance(SCHEDULE, t, s, "learned", like=DOUBLE, learned=share)
        expected = step_log_variance(SCHEDULE, t, s, fixed, like=DOUBLE)  # type: ignore[arg-type]
        torch.testing.assert_close(learned, expected)


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("total", [1, 2, 1000])
def test_the_last_step_has_a_finite_log_variance_from_any_t(variance: Variance, total: int) -> None:
    schedule = NoiseSchedule.named(num_train_timesteps=total)
    t = torch.tensor([0, total - 1])
    found = step_log_variance(
        schedule, t, torch.full_like(t, -1), variance, like=torch.zeros(()), learned=LEARNED.float()
    )
    assert found.dtype == torch.float32
    assert bool(found.isfinite().all())


def test_a_network_without_a_variance_is_refused() -> None:
    for find in (step_variance, step_log_variance):
        with pytest.raises(ValueError, match="no variance"):
            find(SCHEDULE, torch.tensor([5]), torch.tensor([4]), "learned", like=DOUBLE)
