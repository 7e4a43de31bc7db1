"""Noise schedules as diffusers' scheduler configurations describe them."""

from collections.abc import Mapping
from typing import Any, Final

import torch

from app.diffusion.schedule import BetaSchedule, NoiseSchedule

SCHEDULES: Final[dict[str, BetaSchedule]] = {
    "linear": "linear",
    "scaled_linear": "scaled_linear",
    "squaredcos_cap_v2": "cosine",
    "sigmoid": "sigmoid",
}
"""diffusers' names of the schedules, and ours."""


def noise_schedule(config: Mapping[str, Any]) -> NoiseSchedule:
    """The schedule of a scheduler_config.json whose beta_schedule is one of SCHEDULES.

    Raises:
        ValueError: If its numbers are impossible.
        TypeError: If they are no numbers.
    """
    if config.get("trained_betas") is not None:
        return NoiseSchedule.from_betas(torch.tensor(config["trained_betas"]))
    return NoiseSchedule.named(
        SCHEDULES[config.get("beta_schedule", "linear")],
        config.get("num_train_timesteps", 1000),
        config.get("beta_start", 1e-4),
        config.get("beta_end", 0.02),
    )
