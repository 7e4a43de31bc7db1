"""Noise schedules side by side."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from app.diffusion.bound import prior_bpd
from app.diffusion.schedule import BETA_SCHEDULES, NoiseSchedule, paper_t
from app.service.laboratory.experiment import ScheduleChoice
from app.service.pictures import evenly_spaced

MAX_POINTS: Final = 500
PAPERS_RANGE: Final = (1e-4, 0.02)


@dataclass(frozen=True)
class ScheduleCurves:
    """One schedule, at up to 500 evenly spaced t.

    Attributes:
        label: "linear", or "linear 0.0002 to 0.01" for a range that isn't the paper's.
        choice: What makes it; None for the model's own.
        t: The paper's timesteps, from 1 to T.
        beta: beta_t.
        alpha_bar: alpha_bar_t.
        log_snr: The natural logarithm of alpha_bar / (1 - alpha_bar).
        prior_bpd: L_T in bits/dim of the picture asked about.
    """

    label: str
    choice: ScheduleChoice | None
    t: tuple[int, ...]
    beta: tuple[float, ...]
    alpha_bar: tuple[float, ...]
    log_snr: tuple[float, ...]
    prior_bpd: float


def compared(x_0: Tensor, length: int, own: ScheduleChoice | None) -> tuple[ScheduleCurves, ...]:
    """The four named schedules of T = `length`, then a person's `own`, for `x_0` (1, C, H, W)."""
    choices = [ScheduleChoice(name=name) for name in BETA_SCHEDULES]
    if own is not None:
        choices.append(own)
    return tuple(curves(c.of_length(length), x_0, c, label(c)) for c in choices)


def curves(
    schedule: NoiseSchedule, x_0: Tensor, choice: ScheduleChoice | None, name: str
) -> ScheduleCurves:
    """The curves of `schedule`, and its L_T of `x_0` (1, C, H, W)."""
    at = evenly_spaced(MAX_POINTS, schedule.num_train_timesteps)
    index = torch.tensor(at)
    alpha_bar = schedule.alphas_cumprod.double()[index]
    return ScheduleCurves(
        label=name,
        choice=choice,
        t=tuple(paper_t(i) for i in at),
        beta=tuple(schedule.betas[index].tolist()),
        alpha_bar=tuple(alpha_bar.tolist()),
        log_snr=tuple((alpha_bar / (1 - alpha_bar)).log().tolist()),
        prior_bpd=float(prior_bpd(schedule, x_0)[0]),
    )


def label(choice: ScheduleChoice) -> str:
    """What plots call it."""
    ends = (choice.beta_start, choice.beta_end)
    plain = choice.name == "cosine" or ends == PAPERS_RANGE
    return choice.name if plain else f"{choice.name} {ends[0]:g} to {ends[1]:g}"
