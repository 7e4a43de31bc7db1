"""diffusers' ordinary- and stochastic-differential-equation solvers as Samplers.

A diffusers scheduler keeps mutable state, so each stream gets one of its own. Timesteps and
noise levels are ours, set on it after its own `set_timesteps`: its spacings are wrong for
some n, and its tables are float32. Estimates reach it already clipped, as x_0_hat where it
takes that, so clipping means the same for every sampler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from app.diffusion.denoiser import Estimate
from app.diffusion.samplers.base import SamplerKind, transitions
from app.diffusion.schedule import NoiseSchedule
from app.diffusion.seeds import SeededNoise

if TYPE_CHECKING:
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
    from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

    Scheduler = DPMSolverMultistepScheduler | UniPCMultistepScheduler


def _prepare(scheduler: Scheduler, schedule: NoiseSchedule, timesteps: Tensor) -> None:
    sigmas = _sigmas(schedule, timesteps)
    scheduler.set_timesteps(len(timesteps))
    scheduler.timesteps = timesteps
    scheduler.sigmas = sigmas
    scheduler.set_begin_index(0)


def _sigmas(schedule: NoiseSchedule, timesteps: Tensor) -> Tensor:
    """Return the deviations of the noise at unit signal, (n + 1,) float32, the last of them 0."""
    alpha_bar = schedule.alpha_bar(timesteps).flatten()
    return torch.cat([((1 - alpha_bar) / alpha_bar).sqrt(), torch.zeros(1)]).float()


class MultistepSolver:
    """DPM-Solver++ or UniPC for one stream: variance-preserving, remembers earlier steps.

    With `s_noise`, noise of that deviation is added back at each step.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        schedule: NoiseSchedule,
        timesteps: Tensor,
        *,
        s_noise: float = 0.0,
    ) -> None:
        _prepare(scheduler, schedule, timesteps)
        self.scheduler = scheduler
        self.s_noise = s_noise

    def step(self, estimate: Estimate, x_t: Tensor, index: int, noise: SeededNoise) -> Tensor:
        """Take `x_t` to x_s by the scheduler's next step."""
        drawn: dict[str, Any] = {}
        if self.s_noise:
            drawn["variance_noise"] = self.s_noise * noise.draw(x_t.shape[1:])
        t = self.scheduler.timesteps[index]
        stepped = self.scheduler.step(estimate.x_0_hat, t, x_t, return_dict=False, **drawn)
        return torch.as_tensor(stepped[0])


class EulerAncestral:
    """Euler ancestral for one stream: its x is x_t / sqrt(alpha_bar), ours is x_t.

    The arithmetic is diffusers' EulerAncestralDiscreteScheduler's, which draws its noise itself.
    """

    def __init__(self, schedule: NoiseSchedule, timesteps: Tensor) -> None:
        self._roots = [schedule.alpha_bar(at).sqrt() for at in transitions(timesteps)]
        self._sigmas = _sigmas(schedule, timesteps)

    def step(self, estimate: Estimate, x_t: Tensor, index: int, noise: SeededNoise) -> Tensor:
        """Take `x_t` down to less noise than x_s has, and add noise up to that."""
        root_t, root_s = (root[index].to(x_t) for root in self._roots)
        sigma_t, sigma_s = self._sigmas[index : index + 2].to(x_t)
        up = (sigma_s**2 * (sigma_t**2 - sigma_s**2) / sigma_t**2) ** 0.5
        down = (sigma_s**2 - up**2) ** 0.5
        x = x_t / root_t
        derivative = (x - (x - sigma_t * estimate.eps_hat)) / sigma_t
        x = x + derivative * (down - sigma_t) + noise.draw(x_t.shape[1:]).to(x_t) * up
        return torch.as_tensor(x * root_s)


def dpm_solver(
    schedule: NoiseSchedule, timesteps: Tensor, *, sde: bool, s_noise: float = 1.0
) -> MultistepSolver:
    """Make DPM-Solver++ 2M for one stream through `timesteps`; with `sde`, noise is added back.

    Its deviation is `s_noise`: a little over 1 makes up for detail that few steps lose (Karras et
    al. 2022, https://arxiv.org/abs/2206.00364, section 4).
    """
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(
        trained_betas=schedule.betas.tolist(),
        algorithm_type="sde-dpmsolver++" if sde else "dpmsolver++",
        prediction_type="sample",
        solver_order=2,
    )
    return MultistepSolver(scheduler, schedule, timesteps, s_noise=s_noise if sde else 0.0)


def _unipc(schedule: NoiseSchedule, timesteps: Tensor) -> MultistepSolver:
    from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

    scheduler = UniPCMultistepScheduler(
        trained_betas=schedule.betas.tolist(), prediction_type="sample", solver_order=2
    )
    return MultistepSolver(scheduler, schedule, timesteps)


SOLVERS: Final = (
    SamplerKind(
        "dpm-solver",
        "DPM-Solver++ 2M",
        "A second-order solver of the probability-flow equation: good in 12 to 25 steps.",
        stochastic=False,
        make=lambda schedule, timesteps, eta, _=None: dpm_solver(schedule, timesteps, sde=False),
    ),
    SamplerKind(
        "dpm-solver-sde",
        "DPM-Solver++ 2M SDE",
        "A second-order solver that adds noise back at every step: good in 25 to 100 steps.",
        stochastic=True,
        make=lambda schedule, timesteps, eta, _=None: dpm_solver(schedule, timesteps, sde=True),
    ),
    SamplerKind(
        "unipc",
        "UniPC",
        "Predicts and corrects each step: good in 10 to 20 steps.",
        stochastic=False,
        make=lambda schedule, timesteps, eta, _=None: _unipc(schedule, timesteps),
    ),
    SamplerKind(
        "euler-a",
        "Euler ancestral",
        "First order, with noise added back at every step.",
        stochastic=True,
        make=lambda schedule, timesteps, eta, _=None: EulerAncestral(schedule, timesteps),
    ),
)
