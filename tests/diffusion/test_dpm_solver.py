"""DPM-Solver++ 2M with any eta: diffusers' two solvers, DDPM's step, the analytic Gaussian."""

import pytest
import torch
from torch import Tensor

from app.diffusion.denoiser import Estimate
from app.diffusion.reverse import reverse_process, spaced_timesteps
from app.diffusion.samplers.base import Eta, Sampler
from app.diffusion.samplers.ddpm import DDPM
from app.diffusion.samplers.dpm_solver import DPMSolver
from app.diffusion.samplers.solvers import dpm_solver
from app.diffusion.schedule import NoiseSchedule
from app.diffusion.seeds import SeededNoise
from tests.diffusion.oracles import GaussianDenoiser, WavyDenoiser

SCHEDULE = NoiseSchedule.named()
SHAPE = (3, 8, 8)
UNEVEN = torch.tensor([999, 950, 701, 640, 333, 120, 44, 9, 2])


def pictures(sampler: Sampler, timesteps: Tensor) -> list[Tensor]:
    noise = SeededNoise((1, 2))
    stream = reverse_process(
        WavyDenoiser(), SCHEDULE, noise.draw(SHAPE), timesteps, sampler=sampler, noise=noise
    )
    return [frame.x_t for frame in stream]


@pytest.mark.parametrize("timesteps", [UNEVEN, spaced_timesteps(16, 1000), spaced_timesteps(2, 9)])
@pytest.mark.parametrize("sde", [False, True])
def test_eta_zero_and_one_are_diffusers_solvers(sde: bool, timesteps: Tensor) -> None:
    ours = pictures(DPMSolver(SCHEDULE, timesteps, float(sde)), timesteps)
    theirs = pictures(dpm_solver(SCHEDULE, timesteps, sde=sde), timesteps)
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).abs().max() < 5e-5


def test_each_step_takes_its_own_eta() -> None:
    etas = torch.zeros(len(UNEVEN))
    same = pictures(DPMSolver(SCHEDULE, UNEVEN, etas), UNEVEN)
    assert all(map(torch.equal, same, pictures(DPMSolver(SCHEDULE, UNEVEN, 0.0), UNEVEN)))
    etas[3] = 1.5
    turned = pictures(DPMSolver(SCHEDULE, UNEVEN, etas), UNEVEN)
    assert [torch.equal(a, b) for a, b in zip(same, turned, strict=True)] == [True] * 4 + [
        False
    ] * 6


@pytest.mark.parametrize(("t", "s"), [(999, 998), (640, 120), (3, 0)])
def test_the_first_step_with_eta_one_is_ddpms(t: int, s: int) -> None:
    x_t = torch.randn((2, *SHAPE), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    guess, timesteps = Estimate(torch.sin(x_t), x_t), torch.tensor([t, s])
    ours = DPMSolver(SCHEDULE, timesteps, 1.0).step(guess, x_t, 0, SeededNoise((1, 2)))
    ddpm = DDPM(SCHEDULE, timesteps).step(guess, x_t, 0, SeededNoise((1, 2)))
    assert torch.allclose(ours, ddpm, atol=1e-9)


@pytest.mark.parametrize("eta", [0.5, 2.0])
def test_samples_of_a_gaussian_keep_its_deviation_with_any_eta(eta: float) -> None:
    timesteps, noise = spaced_timesteps(200, 1000), SeededNoise([0])
    *_, last = reverse_process(
        GaussianDenoiser(SCHEDULE, 0.3, 0.5),
        SCHEDULE,
        noise.draw((1, 200, 200)),
        timesteps,
        sampler=DPMSolver(SCHEDULE, timesteps, eta),
        noise=noise,
        clip=False,
    )
    assert last.x_t.mean().item() == pytest.approx(0.3, abs=0.02)
    assert last.x_t.std().item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("eta", [-0.1, torch.ones(3), float("nan")])
def test_an_eta_that_is_none_is_refused(eta: Eta) -> None:
    with pytest.raises(ValueError, match="eta must be at least 0"):
        DPMSolver(SCHEDULE, UNEVEN, eta)
