"""The reverse process from some x_t: from exactly the t that a picture was noised to."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import torch
from torch import Tensor

from app.diffusion.forward import q_sample
from app.diffusion.noise import SeededNoise, derived_seed
from app.diffusion.reverse import Frame, spaced_timesteps
from app.diffusion.schedule import code_t
from app.errors import RecipeError
from app.service.laboratory.experiment import FromXt
from app.service.models import LoadedModel, ModelInfo
from app.service.painting import SAMPLER_KINDS, Painter, frames_from
from app.service.recipe import Recipe

Started = TypeVar("Started", bound=FromXt)

FIRST: Final = 0
SECOND: Final = 1
WAY_BACK: Final = 2
"""What a derived seed is for: the first picture's eps, the second's, the sampler's draws."""


def steps_from(run: Recipe, t: int, num_train_timesteps: int) -> int:
    """How many steps of `run`, counted from T, fall to the way from the paper's `t` (rounded up).

    From T they are all of them, so that a run from there is a painting's.
    """
    return -(-run.steps * t // num_train_timesteps)


def timesteps_from(run: Recipe, t: int, num_train_timesteps: int) -> Tensor:
    """The code's timesteps from the paper's `t`, which is the first of them, down to 0."""
    steps = steps_from(run, t, num_train_timesteps)
    # The paper's t counts the code's timesteps up to and including it.
    return spaced_timesteps(steps, t, run.spacing)


def draw_eps(seed: int, which: int, info: ModelInfo) -> Tensor:
    """A picture's eps (1, C, H, W): FIRST or SECOND of an experiment with this `seed`."""
    noise = SeededNoise([derived_seed(seed, which)])
    return noise.draw((info.channels, info.size, info.size))


def noised(model: LoadedModel, x_0: Tensor, t: int, eps: Tensor) -> Tensor:
    """x_t at the paper's `t`."""
    return q_sample(model.schedule, x_0, torch.tensor([code_t(t)]), eps)


def decode(
    model: LoadedModel, run: Recipe, x_t: Tensor, t: int, seeds: Sequence[int]
) -> Iterator[Frame]:
    """Run the reverse process from `x_t` (B, C, H, W) at the paper's `t`.

    Args:
        model: The model that `run` names.
        run: How to sample.
        x_t: Noised, or mixed, at `t`.
        t: 0 to T; at 0 nothing is left to do, and the only Frame is `x_t` itself.
        seeds: For each picture, of what the sampler draws. Runs with one seed draw the same
            noise at the same timestep, wherever they start.
    """
    if t == 0:
        yield Frame(index=0, total=0, t=code_t(0), x_t=x_t, x_0_hat=x_t, eps_hat=None)
        return
    timesteps = timesteps_from(run, t, model.info.num_train_timesteps)
    kind, noise = SAMPLER_KINDS[run.sampler], SeededNoise(seeds)
    if kind.stochastic and not (kind.uses_eta and run.eta == 0):
        for _ in range(run.steps - len(timesteps)):
            noise.draw(x_t.shape[1:])
    yield from frames_from(run, model, x_t, timesteps, noise)


def completed(painter: Painter, experiment: Started) -> Started:
    """The experiment as it will be done here: with the weights' hash and the versions.

    Raises:
        ModelError, RecipeError: If the model isn't there or can't run this.
    """
    run = painter.complete(experiment.run)
    info = painter.models.describe(run.model)
    for t in experiment.starts(info.num_train_timesteps):
        require_within(t, info)
    return experiment.model_copy(update={"run": run})


def require_within(t: int, info: ModelInfo) -> None:
    """Check that the paper's `t` is one of the model's.

    Raises:
        RecipeError: If it is beyond T.
    """
    if t > info.num_train_timesteps:
        raise RecipeError(
            f"t = {t} is beyond {info.id}'s T = {info.num_train_timesteps}.",
            f"Choose a t up to {info.num_train_timesteps}.",
        )
