"""The schedules against diffusers' and against their definitions."""

import math

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from app.diffusion.schedule import (
    BETA_SCHEDULES,
    BetaSchedule,
    NoiseLevel,
    NoiseSchedule,
    code_t,
    paper_t,
)

DIFFUSERS_NAMES = {"cosine": "squaredcos_cap_v2"}


@pytest.mark.parametrize("steps", [1000, 50])
@pytest.mark.parametrize("name", BETA_SCHEDULES)
def test_alphas_cumprod_equal_diffusers(name: BetaSchedule, steps: int) -> None:
    theirs = DDPMScheduler(
        num_train_timesteps=steps, beta_schedule=DIFFUSERS_NAMES.get(name, name)
    ).alphas_cumprod
    ours = NoiseSchedule.named(name, steps).alphas_cumprod
    assert ours.dtype == torch.float64
    assert (ours - theirs).abs().max() < 1e-6


def test_linear_schedule_is_the_papers() -> None:
    betas = NoiseSchedule.named().betas
    assert len(betas) == 1000
    assert betas[0] == pytest.approx(1e-4, rel=1e-9)
    assert betas[-1] == pytest.approx(0.02, rel=1e-9)
    assert torch.allclose(betas.diff(), betas.diff()[0].expand(999), rtol=1e-6)


def test_betas_recover_those_the_schedule_was_made_from() -> None:
    betas = torch.rand(20, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / 2
    assert torch.allclose(NoiseSchedule.from_betas(betas).betas, betas, rtol=1e-9)


def test_clean_data_is_an_ordinary_timestep() -> None:
    schedule = NoiseSchedule.named()
    assert schedule.alpha_bar(torch.tensor([-1])).item() == 1.0
    assert schedule.level(-1) == NoiseLevel(0, 1.0, math.inf)
    assert schedule.alpha_bar(torch.tensor([5, 6])).shape == (2, 1, 1, 1)


@pytest.mark.parametrize("t", [-2, 1000])
def test_timestep_outside_the_schedule_is_an_error(t: int) -> None:
    with pytest.raises(IndexError, match="must lie in"):
        NoiseSchedule.named().alpha_bar(torch.tensor([0, t]))


@pytest.mark.parametrize(
    "table", [[0.5, 0.6], [0.5, 0.5], [1.0, 0.5], [0.5, 0.0], [[0.5, 0.4]], [float("nan"), 0.1]]
)
def test_impossible_tables_are_refused(table: list[float]) -> None:
    with pytest.raises(ValueError, match="alphas_cumprod"):
        NoiseSchedule(torch.tensor(table, dtype=torch.float64))


@pytest.mark.parametrize(
    ("start", "end", "steps"), [(0.0, 0.02, 10), (0.02, 0.01, 10), (0.1, 1.0, 10), (0.1, 0.2, 0)]
)
def test_impossible_beta_ranges_are_refused(start: float, end: float, steps: int) -> None:
    with pytest.raises(ValueError, match=r"beta_start|num_train_timesteps"):
        NoiseSchedule.named("linear", steps, start, end)


def test_unknown_schedule_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unknown schedule 'squiggle'"):
        NoiseSchedule.named("squiggle")  # type: ignore[arg-type]


def test_the_papers_timesteps_run_from_clean_to_T() -> None:
    assert [paper_t(t) for t in (-1, 0, 999)] == [0, 1, 1000]
    assert all(code_t(paper_t(t)) == t for t in range(-1, 1000))
