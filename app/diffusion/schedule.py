"""Noise schedules: how much of the picture is left after each step of the forward process.

Notation follows Ho et al. (2020), https://arxiv.org/abs/2006.11239. Timesteps are 0-based,
so t = 0 is the first noising step and t = -1 is clean data; what a person reads is the
paper's t, 0 (clean) to T, and `paper_t` / `code_t` are the one place that converts. Schedules
are also read from diffusers' scheduler configurations.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, get_args

import torch
from torch import Tensor

BetaSchedule = Literal["linear", "scaled_linear", "cosine", "sigmoid"]
BETA_SCHEDULES: Final[tuple[BetaSchedule, ...]] = get_args(BetaSchedule)

CLEAN: Final = -1
"""The timestep of clean data."""

MAX_T: Final = 10_000
"""The most timesteps of a schedule, to train with or to look at."""

MAX_BETA: Final = 0.999
"""Nichol & Dhariwal (2021), section 3.2: keeps the cosine schedule's last steps finite."""


def paper_t(t: int) -> int:
    """Return the paper's timestep, 0 (clean) to T, of the code's `t` in [-1, T)."""
    return t + 1


def code_t(t: int) -> int:
    """Return the code's timestep, in [-1, T), of the paper's `t`, 0 (clean) to T."""
    return t - 1


@dataclass(frozen=True)
class NoiseLevel:
    """A timestep as a person reads it.

    Attributes:
        t: The paper's timestep, 0 (clean) to T.
        signal: alpha_bar, the share of x_t's variance that is a picture's of variance 1.
        snr_db: The signal-to-noise ratio alpha_bar / (1 - alpha_bar) in decibels; infinite at 0.
    """

    t: int
    signal: float
    snr_db: float


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """The signal power left after each step: `alphas_cumprod` is (T,), float64, on the CPU.

    Raises:
        ValueError: If the values do not fall strictly and stay inside (0, 1).
    """

    alphas_cumprod: Tensor

    def __post_init__(self) -> None:
        a = self.alphas_cumprod
        if a.ndim != 1 or not bool(((a > 0) & (a < 1)).all() and (a.diff() < 0).all()):
            raise ValueError("alphas_cumprod must be 1-D, strictly decreasing, inside (0, 1)")

    @classmethod
    def from_betas(cls, betas: Tensor) -> "NoiseSchedule":
        """Make the schedule whose one-step variances are `betas`, (T,), each inside (0, 1)."""
        return cls((1 - betas.double()).cumprod(0))

    @classmethod
    def named(
        cls,
        name: BetaSchedule = "linear",
        num_train_timesteps: int = 1000,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
    ) -> "NoiseSchedule":
        """Make a schedule by its name; the default is the paper's, section 4.

        `cosine` is Nichol & Dhariwal (2021), eq. 17, and has no beta range of its own.
        `sigmoid` and `scaled_linear` are diffusers': the betas follow a logistic curve over
        [-6, 6], or are linear in their square root.

        Raises:
            ValueError: If the name is unknown, or the range is not 0 < start <= end < 1.
        """
        if num_train_timesteps < 1:
            raise ValueError(f"num_train_timesteps must be at least 1, got {num_train_timesteps}")
        if not 0 < beta_start <= beta_end < 1:
            raise ValueError(f"need 0 < beta_start <= beta_end < 1, got {beta_start}, {beta_end}")
        match name:
            case "linear":
                betas = _linspace(beta_start, beta_end, num_train_timesteps)
            case "scaled_linear":
                roots = _linspace(math.sqrt(beta_start), math.sqrt(beta_end), num_train_timesteps)
                betas = roots**2
            case "cosine":
                betas = _cosine_betas(num_train_timesteps)
            case "sigmoid":
                curve = _linspace(-6.0, 6.0, num_train_timesteps).sigmoid()
                betas = beta_start + (beta_end - beta_start) * curve
            case _:
                raise ValueError(f"unknown schedule {name!r}; choose from {BETA_SCHEDULES}")
        return cls.from_betas(betas)

    @property
    def num_train_timesteps(self) -> int:
        """The number of timesteps, T."""
        return len(self.alphas_cumprod)

    @cached_property
    def _padded(self) -> Tensor:
        # Index -1 picks the appended 1.0: clean data is an ordinary timestep, not a special case.
        return torch.cat([self.alphas_cumprod.double(), torch.ones(1, dtype=torch.float64)])

    @cached_property
    def betas(self) -> Tensor:
        """The one-step variances beta_t = 1 - alpha_bar_t / alpha_bar_{t-1}, (T,) float64."""
        return 1 - self.alphas_cumprod.double() / self._padded.roll(1)[:-1]

    def alpha_bar(self, t: Tensor) -> Tensor:
        """Return alpha_bar at `t`, a (B,) int64 CPU tensor in [-1, T), as (B, 1, 1, 1) float64."""
        if not bool(((t >= CLEAN) & (t < self.num_train_timesteps)).all()):
            raise IndexError(f"timesteps must lie in [-1, {self.num_train_timesteps}), got {t}")
        return self._padded[t].view(-1, 1, 1, 1)

    def level(self, t: int) -> NoiseLevel:
        """Return the noise level at `t`, in [-1, T)."""
        signal = float(self.alpha_bar(torch.tensor([t])))
        snr = signal / (1 - signal) if signal < 1 else math.inf
        return NoiseLevel(paper_t(t), signal, 10 * math.log10(snr))


def _linspace(start: float, end: float, steps: int) -> Tensor:
    return torch.linspace(start, end, steps, dtype=torch.float64)


def _cosine_betas(steps: int) -> Tensor:
    edges = _linspace(0.0, 1.0, steps + 1)
    alpha_bar = torch.cos((edges + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=MAX_BETA)


SCHEDULES: Final[dict[str, BetaSchedule]] = {
    "linear": "linear",
    "scaled_linear": "scaled_linear",
    "squaredcos_cap_v2": "cosine",
    "sigmoid": "sigmoid",
}
"""diffusers' names of the schedules, and ours."""


def noise_schedule(config: Mapping[str, Any]) -> NoiseSchedule:
    """Read the schedule of a whole scheduler_config.json whose beta_schedule is one of SCHEDULES.

    Raises:
        ValueError: If its numbers are impossible.
        TypeError: If one of them is not a number.
    """
    trained, total = config["trained_betas"], config["num_train_timesteps"]
    if trained is not None:
        if len(trained) != total:
            raise ValueError(f"{len(trained)} trained_betas for num_train_timesteps = {total}")
        return NoiseSchedule.from_betas(torch.tensor(trained))
    return NoiseSchedule.named(
        SCHEDULES[config["beta_schedule"]],
        total,
        config["beta_start"],
        config["beta_end"],
    )
