"""The second stage of a painting: the small picture painted anew at four times its side."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from app.diffusion.cascade import BANDS, RATIO, back_projected, enlarged
from app.diffusion.conditioning import Condition
from app.diffusion.reverse import Frame, reverse_process, spaced_timesteps
from app.diffusion.samplers.solvers import dpm_solver
from app.diffusion.schedule import code_t
from app.diffusion.seeds import SeededNoise
from app.errors import RecipeError
from app.images.pixels import to_unit
from app.models.files import ModelInfo
from app.models.loading import LoadedStage
from app.models.stages import StageInfo, check_enlarges, low_res_schedule
from app.painting.film import Moment, ReplayStep, shown
from app.painting.recipe import Recipe
from app.painting.sampling import noised


def check_stage(recipe: Recipe, info: ModelInfo, stage: StageInfo) -> None:
    """Check that `stage` can paint what the model paints as large as `recipe` says.

    Raises:
        ModelError: If the model's pictures can't be enlarged.
        RecipeError: If the size is another, or the stage has fewer steps or knows less noise.
    """
    check_enlarges(info)
    if recipe.size != RATIO * info.size:
        raise RecipeError(
            f"{info.id} doesn't paint pictures of {recipe.size} px.",
            f"Choose {info.size}, its own size, or {RATIO * info.size}, with a second stage.",
        )
    if recipe.stage_steps > stage.num_train_timesteps:
        raise RecipeError(
            f"{recipe.stage_steps} steps are more than {stage.id} has.",
            f"Choose from 1 to {stage.num_train_timesteps} steps.",
        )
    if recipe.stage_noise > stage.low_res_noise:
        raise RecipeError(
            f"{stage.id} has never seen small pictures as noisy as at t = {recipe.stage_noise}.",
            f"Choose from 0 to {stage.low_res_noise}.",
        )


def both_stages(
    frames: Iterator[Frame | ReplayStep], steps: int, recipe: Recipe, stage: LoadedStage | None
) -> Iterator[Moment | ReplayStep]:
    """Show the `frames` of the first stage, which has so many `steps`, and then the second's."""
    if stage is None:
        return map(shown, frames)
    return _both(
        map(partial(shown, total=steps + 1 + recipe.stage_steps), frames), steps, recipe, stage
    )


def _both(
    moments: Iterator[Moment | ReplayStep], steps: int, recipe: Recipe, stage: LoadedStage
) -> Iterator[Moment | ReplayStep]:
    for moment in moments:
        yield moment
        if isinstance(moment, Moment) and moment.index == steps:
            small = to_unit(moment.x_t)
    yield from stage_moments(stage, recipe, small, steps)


def stage_frames(
    stage: LoadedStage, recipe: Recipe, low_res: Tensor, seeds: Sequence[int]
) -> Iterator[Frame]:
    """Run the second stage's reverse process over the bands of the pictures `low_res`.

    Args:
        stage: The stage that `recipe` names.
        recipe: How to sample. Each picture's generator draws the noise of the small picture first,
            then z_T, then the sampler's.
        low_res: The small pictures, (B, 3, h, w) in [-1, 1].
        seeds: A seed for the brushwork of each.
    """
    noise = SeededNoise(seeds)
    eps, z = noise.draw(low_res.shape[1:]), noise.draw((BANDS, *low_res.shape[2:]))
    given = noised(low_res_schedule(), low_res, recipe.stage_noise, eps)
    level = torch.tensor([max(0, code_t(recipe.stage_noise))])
    s_noise = 1 + stage.s_noise / recipe.stage_steps
    timesteps = spaced_timesteps(recipe.stage_steps, stage.info.num_train_timesteps)
    return reverse_process(
        stage.denoiser(recipe.precision),
        stage.schedule,
        z,
        timesteps,
        sampler=dpm_solver(stage.schedule, timesteps, sde=True, s_noise=s_noise),
        noise=noise,
        clip=False,
        condition=Condition(low_res=given, low_res_t=level.expand(len(low_res))),
    )


def stage_moments(
    stage: LoadedStage,
    recipe: Recipe,
    low_res: Tensor,
    before: int,
    seeds: Sequence[int] | None = None,
) -> Iterator[Moment]:
    """Paint the pictures `low_res` (B, 3, h, w) anew, and yield the large ones as they emerge.

    In x_t and x_0_hat stand the bicubically enlarged pictures with the bands of z_t and z_0_hat, in
    eps_hat the bands of the noise alone, its luma of unit variance. Indices count on from the
    `before` steps of the first stage. The brushwork's `seeds` are the recipe's unless given.
    """
    begun, bands = enlarged(low_res), stage.bands
    for frame in stage_frames(stage, recipe, low_res, seeds or recipe.stage_seeds):
        x_t, x_0_hat = (begun + bands.residual(z) for z in (frame.x_t, frame.x_0_hat))
        eps_hat = frame.eps_hat
        if eps_hat is not None:
            eps_hat = bands.residual(eps_hat) / bands.luma_std
        if frame.eps_hat is None and recipe.back_projection:
            x_t = x_0_hat = back_projected(x_t, low_res)
        index = before + 1 + frame.index
        large = replace(frame, index=index, x_t=x_t, x_0_hat=x_0_hat, eps_hat=eps_hat)
        yield Moment.of(large, before + 1 + frame.total)
