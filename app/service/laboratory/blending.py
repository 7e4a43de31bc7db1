"""The parts of mixing that all of its experiments share: x_t, seeds, steps, time."""

import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final

import torch
from torch import Tensor

from app.diffusion.mixing import MixingRule, Mixture, mix_at
from app.diffusion.noise import derived_seed
from app.diffusion.schedule import code_t
from app.service.laboratory.decoding import (
    FIRST,
    SECOND,
    WAY_BACK,
    decode,
    draw_eps,
    steps_from,
)
from app.service.laboratory.experiments import Grid, Mixing, Morph, SeedMorph
from app.service.laboratory.mixtures import GridMoment, MorphMoment
from app.service.models import LoadedModel, ModelInfo
from app.service.painting import condition_for, denoiser_for
from app.service.pictures import Pixels, picture_pixels
from app.service.recipe import Recipe

MixExperiment = Mixing | Grid | Morph | SeedMorph

MORPH_BATCH: Final = 8
MEASURED_STEPS: Final = 4


def mixture_of(
    model: LoadedModel,
    pair: tuple[Tensor, Tensor],
    t: int,
    *,
    mixes: Sequence[float],
    seed: int,
    rule: MixingRule,
) -> Mixture:
    """Two pictures (1, C, H, W) noised to the paper's `t` and mixed there, once for each lambda."""
    eps = draw_eps(seed, FIRST, model.info), draw_eps(seed, SECOND, model.info)
    weights = torch.tensor(mixes, dtype=torch.float64)
    return mix_at(model.schedule, *pair, code_t(t), mix=weights, eps=eps, rule=rule)


def decoded(
    model: LoadedModel, run: Recipe, x_t: Tensor, t: int, seeds: Sequence[int]
) -> Iterator[tuple[Pixels, bool]]:
    """x_0_hat at each step and the finished pictures, which at t = 0 are x_t itself."""
    for frame in decode(model, run, x_t, t, seeds):
        yield picture_pixels(frame.x_0_hat), frame.index == frame.total


def grid_moments(
    model: LoadedModel, grid: Grid, pair: tuple[Tensor, Tensor]
) -> Iterator[GridMoment]:
    """The cells of a grid as they emerge, a row's in one batch."""
    done, steps = 0, decoding_steps(grid, model.info)
    for row, t in enumerate(grid.rows):
        mixture = mixture_of(model, pair, t, mixes=grid.mixes, seed=grid.seed, rule=grid.rule)
        seeds = cell_seeds(grid.run, len(grid.mixes), None if grid.share_noise else row)
        for pictures, finished in decoded(model, grid.run, mixture.x_t, t, seeds):
            done += not finished
            yield GridMoment(row, t, done, steps, pictures, finished)


def grid_steps(info: ModelInfo, grid: Grid, _: tuple[Tensor, Tensor]) -> tuple[int, int]:
    """The network's steps of `grid_moments`, and the pictures in each."""
    return decoding_steps(grid, info), batch_of(grid)


def morph_moments(
    model: LoadedModel, morph: Morph | SeedMorph, x_t: Tensor
) -> Iterator[MorphMoment]:
    """The frames of a morph, whose x_t (frames, C, H, W) these are, a few in one batch."""
    (t,) = morph.starts(model.info.num_train_timesteps)
    share = isinstance(morph, SeedMorph) or morph.share_noise
    seeds = cell_seeds(morph.run, morph.frames, None if share else 0)
    done, steps = 0, decoding_steps(morph, model.info)
    for low in range(0, morph.frames, MORPH_BATCH):
        part = slice(low, low + MORPH_BATCH)
        for pictures, finished in decoded(model, morph.run, x_t[part], t, seeds[part]):
            done += not finished
            yield MorphMoment(done, steps, low, pictures, finished)


def morph_steps(info: ModelInfo, morph: Morph | SeedMorph, _: Tensor) -> tuple[int, int]:
    """The network's steps of `morph_moments`, and the pictures in each."""
    return decoding_steps(morph, info), batch_of(morph)


def cell_seeds(run: Recipe, count: int, row: int | None) -> list[int]:
    """One seed for all where `row` is None, else one for each cell of that row."""
    if row is None:
        return [derived_seed(run.seed, WAY_BACK)] * count
    return [derived_seed(run.seed, WAY_BACK, row, column) for column in range(count)]


def decoding_steps(experiment: MixExperiment, info: ModelInfo) -> int:
    """The network's steps of all decodings, each of a batch."""
    length = info.num_train_timesteps
    steps = sum(steps_from(experiment.run, t, length) for t in experiment.starts(length))
    if isinstance(experiment, Morph | SeedMorph):
        return steps * -(-experiment.frames // MORPH_BATCH)
    return steps


def batch_of(experiment: MixExperiment) -> int:
    """How many pictures go through the network together."""
    match experiment:
        case Grid():
            return len(experiment.mixes)
        case Morph() | SeedMorph():
            return min(MORPH_BATCH, experiment.frames)
        case _:
            return experiment.run.pictures


@torch.no_grad()
def measured_step(model: LoadedModel, run: Recipe, batch: int) -> float:
    """Seconds of one step of the network; the median of a few, after one to warm it up."""
    denoiser, info = denoiser_for(run, model), model.info
    x = torch.zeros((batch, info.channels, info.size, info.size))
    t, condition = torch.zeros(batch, dtype=torch.int64), condition_for(run, batch)
    seconds = []
    for _ in range(MEASURED_STEPS):
        start = time.perf_counter()
        denoiser.predict(x, t, condition)
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])
