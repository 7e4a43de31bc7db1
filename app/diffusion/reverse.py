"""The reverse process as a stream of Frames: Algorithm 2 of Ho et al. (2020), one step at a time.

A stream is a generator, and closing it is the one way to stop it. Nothing is held across a
`yield`: callers may resume it from any thread.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, get_args

import torch
from torch import Tensor

from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Denoiser, estimate, require_finite
from app.diffusion.samplers.base import Sampler
from app.diffusion.schedule import CLEAN, NoiseLevel, NoiseSchedule
from app.diffusion.seeds import SeededNoise

Spacing = Literal["leading", "even", "trailing", "linspace"]
SPACINGS: Final[tuple[Spacing, ...]] = get_args(Spacing)


@dataclass(frozen=True, eq=False)
class Frame:
    """One moment of the reverse process.

    Attributes:
        index: 0 at the start, `total` at the clean picture.
        total: The number of steps, n; a run has n + 1 frames.
        t: The timestep of `x_t`; -1 on the last frame.
        level: The noise level at t.
        x_t: (B, C, H, W) float32, variance-preserving whatever the sampler.
        x_0_hat: The estimate of the clean picture made at this x_t; on the last frame x_t itself.
        eps_hat: The noise predicted at this x_t; None on the last frame.
    """

    index: int
    total: int
    t: int
    level: NoiseLevel
    x_t: Tensor
    x_0_hat: Tensor
    eps_hat: Tensor | None


def spaced_timesteps(num_steps: int, num_timesteps: int, spacing: Spacing = "trailing") -> Tensor:
    """Choose `num_steps` of the timesteps [0, num_timesteps), descending, (n,) int64.

    The three spacings of Lin et al. (2023), https://arxiv.org/abs/2305.08891, table 2, as
    diffusers computes them, but in exact arithmetic, so that each is right for every n; and `even`,
    floor(i T / n) where `leading` is i floor(T / n). `trailing` and `linspace` begin at the last
    timestep; `leading` and `even` end at 0 and begin earlier. To start from a given t, pass t + 1
    as `num_timesteps`.

    Raises:
        ValueError: If not 1 <= num_steps <= num_timesteps, or the spacing is unknown.
    """
    if not 1 <= num_steps <= num_timesteps:
        raise ValueError(f"need 1 <= steps <= {num_timesteps}, got {num_steps}")
    rising = range(num_steps)
    match spacing:
        case "leading":
            ascending = [i * (num_timesteps // num_steps) for i in rising]
        case "even":
            ascending = [i * num_timesteps // num_steps for i in rising]
        case "trailing":
            ascending = [round(Fraction((i + 1) * num_timesteps, num_steps)) - 1 for i in rising]
        case "linspace" if num_steps == 1:
            ascending = [num_timesteps - 1]
        case "linspace":
            ascending = [round(Fraction(i * (num_timesteps - 1), num_steps - 1)) for i in rising]
        case _:
            raise ValueError(f"unknown spacing {spacing!r}; choose from {SPACINGS}")
    return torch.tensor(ascending[::-1])


@torch.no_grad()
def reverse_process(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    x_start: Tensor,
    timesteps: Tensor,
    *,
    sampler: Sampler,
    noise: SeededNoise,
    clip: bool = True,
    condition: Condition | None = None,
    jumps: bool = False,
) -> Iterator[Frame]:
    """Denoise `x_start` (B, C, H, W), noised to `timesteps[0]`, down to clean data.

    Args:
        denoiser: The network.
        schedule: The schedule that it was trained with.
        x_start: x_T, or any x_t to start from.
        timesteps: (n,) int64, strictly descending, in [0, T); the process ends at -1.
        sampler: A sampler made for this stream.
        noise: The pictures' generators, which have already drawn x_start where it is x_T.
        clip: Whether x_0_hat is kept in [-1, 1].
        condition: What to show, where the network takes a condition.
        jumps: Whether the timesteps may go back up, which their sampler then does.

    Yields:
        n + 1 Frames, each with the predictions made at its own x_t.

    Raises:
        NotFiniteError: If the network or a step gives NaN or infinity.
        ValueError: If the timesteps do not descend.
    """
    if timesteps.numel() == 0 or not (jumps or bool((timesteps.diff() < 0).all())):
        raise ValueError("timesteps must descend strictly and not be empty")
    total, x_t = len(timesteps), x_start
    path = [*timesteps.tolist(), CLEAN]
    levels, alpha_bar = [schedule.level(t) for t in path], schedule.alpha_bar(timesteps)
    for index, t in enumerate(path[:-1]):
        prediction = denoiser.predict(x_t, torch.full((len(x_t),), t), condition)
        guess = estimate(prediction, x_t, alpha_bar[index], clip=clip)
        yield Frame(index, total, t, levels[index], x_t, guess.x_0_hat, guess.eps_hat)
        x_t = sampler.step(guess, x_t, index, noise)
    require_finite(x_t, torch.full((len(x_t),), t), "The last step of the way back")
    yield Frame(total, total, CLEAN, levels[total], x_t, x_t, None)
