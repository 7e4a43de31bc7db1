"""All samplers by name; a new one is a file beside this one and an entry here."""

from typing import Final

from torch import Tensor

from app.diffusion.analytic import AnalyticVariance
from app.diffusion.samplers.base import Eta, SamplerKind
from app.diffusion.samplers.ddim import DDIM
from app.diffusion.samplers.ddpm import DDPM
from app.diffusion.samplers.dpm_solver import DPMSolver
from app.diffusion.samplers.solvers import SOLVERS
from app.diffusion.schedule import NoiseSchedule


def _analytic(
    schedule: NoiseSchedule,
    timesteps: Tensor,
    _: Eta,
    analytic: AnalyticVariance | None = None,
    /,
) -> DDPM:
    if analytic is None:
        raise ValueError("this sampler takes the variances that were estimated of a network")
    return DDPM(schedule, timesteps, analytic)


SAMPLERS: Final = (
    SamplerKind(
        "ddpm",
        "DDPM",
        "The paper's ancestral sampling: noise is added back at every step (variance beta-tilde).",
        stochastic=True,
        make=lambda schedule, timesteps, eta, _=None: DDPM(schedule, timesteps),
    ),
    SamplerKind(
        "ddpm-large",
        "DDPM, large variance",
        "The same with the larger of the paper's two variances, beta: best with all 1000 steps.",
        stochastic=True,
        make=lambda schedule, timesteps, eta, _=None: DDPM(schedule, timesteps, "fixed_large"),
    ),
    SamplerKind(
        "ddpm-learned",
        "DDPM, learned variance",
        "The same with the variance that the network predicts (Nichol & Dhariwal 2021).",
        stochastic=True,
        make=lambda schedule, timesteps, eta, _=None: DDPM(schedule, timesteps, "learned"),
        variance="learned",
    ),
    SamplerKind(
        "ddpm-analytic",
        "DDPM, analytic variance",
        "The same with the best variance that is one number for each t (Bao et al. 2022).",
        stochastic=True,
        make=_analytic,
        variance="analytic",
    ),
    SamplerKind(
        "ddim",
        "DDIM",
        "Follows the same marginals with less noise: eta = 0 draws none, eta = 1 is DDPM.",
        stochastic=True,
        make=lambda schedule, timesteps, eta, _=None: DDIM(schedule, timesteps, float(eta)),
        uses_eta=True,
    ),
)

WITH_ETA: Final = SamplerKind(
    "dpm-solver-eta",
    "DPM-Solver++ 2M, with eta",
    "The second-order solver with any share of the noise: eta = 0 is the equation's, 1 the SDE's.",
    stochastic=True,
    make=lambda schedule, timesteps, eta, _=None: DPMSolver(schedule, timesteps, eta),
    uses_eta=True,
    step_eta=True,
)

SAMPLER_KINDS: Final = {kind.name: kind for kind in (*SAMPLERS, *SOLVERS, WITH_ETA)}
