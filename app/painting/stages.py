"""The second stage of a painting: the small picture painted anew at four times its side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from app.diffusion.cascade import BANDS, RATIO, back_projected, enlarged
from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Denoiser
from app.diffusion.inpainting import ConsistentDenoiser, KnownPart
from app.diffusion.reverse import Frame, Spacing, reverse_process, spaced_timesteps
from app.diffusion.samplers.solvers import dpm_solver
from app.diffusion.schedule import NoiseSchedule, code_t, paper_t
from app.diffusion.seeds import SeededNoise
from app.errors import RecipeError
from app.images.pixels import picture_pixels, to_unit
from app.models.files import ModelInfo
from app.models.loading import LoadedModel, LoadedStage
from app.models.stages import StageInfo, check_enlarges, low_res_schedule
from app.painting.canvas import Canvas
from app.painting.film import Moment, ReplayStep, kept_frames, shown
from app.painting.latents import picture_frames
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


@dataclass(frozen=True, eq=False)
class HandOver:
    """What the first stage hands to the second.

    Attributes:
        low_res: The small pictures or the estimate of them, (B, 3, h, w) in [-1, 1].
        t: The paper's t, 0 for none, of the noise with which the second stage is shown them.
        x_t: The pictures with that noise; None where they are still to be noised.
        known: What is kept of the large pictures, where something is.
    """

    low_res: Tensor
    t: int
    x_t: Tensor | None = None
    known: KnownPart | None = None

    @classmethod
    def at(
        cls,
        frame: Frame,
        recipe: Recipe,
        stage: StageInfo,
        known: KnownPart | None = None,
        *,
        latent: bool = False,
    ) -> Self:
        """Hand over at a `frame` of the first stage, with what is `known` of the large pictures.

        That is x_t itself where it has no more noise than the stage knows, truncated conditioning
        augmentation (section 4.2), else x_0_hat, to be noised as `recipe` says. So it is where the
        first stage is `latent`, whose x_t is no picture's.
        """
        # In 8 bits, so that the picture that is saved is the one that is enlarged.
        low_res = to_unit(picture_pixels(frame.x_0_hat))
        alpha_bar = low_res_schedule().alphas_cumprod[: stage.low_res_noise]
        clean = frame.eps_hat is None or latent
        if clean or not len(alpha_bar) or frame.level.signal < alpha_bar[-1] * (1 - 1e-6):
            return cls(low_res, recipe.stage_noise, known=known)
        nearest = int((alpha_bar - frame.level.signal).abs().argmin())
        return cls(low_res, paper_t(nearest), frame.x_t, known)


def both_stages(
    model: LoadedModel,
    frames: Iterator[Frame | ReplayStep],
    steps: int,
    recipe: Recipe,
    stage: LoadedStage | None,
    *,
    canvas: Canvas | None = None,
) -> Iterator[Moment | ReplayStep]:
    """Show the first `steps` of the `frames` of the first stage, `model`, and then the second's.

    What is known of the pictures of `canvas` stays as it is.
    """
    kept = kept_frames(steps, recipe.pictures, model.info.size)
    seen = picture_frames(model, frames, kept, canvas.known if canvas else None)
    if stage is None:
        return map(shown, seen)
    known, latent = canvas.large if canvas else None, model.latents is not None
    return _both(seen, steps, recipe, stage, known, latent=latent)


def _both(
    frames: Iterator[Frame | ReplayStep],
    steps: int,
    recipe: Recipe,
    stage: LoadedStage,
    known: KnownPart | None,
    *,
    latent: bool,
) -> Iterator[Moment | ReplayStep]:
    total = steps + 1 + recipe.stage_steps
    for item in frames:
        yield shown(item, total)
        if isinstance(item, Frame) and item.index == steps:
            given = HandOver.at(item, recipe, stage.info, known, latent=latent)
            break
    yield from stage_moments(stage, recipe, given, steps)


def stage_frames(
    stage: LoadedStage,
    recipe: Recipe,
    given: HandOver,
    *,
    seeds: Sequence[int] | None = None,
    sde: bool = True,
    spacing: Spacing = "trailing",
) -> Iterator[Frame]:
    """Run the reverse process of `recipe` over the bands of the pictures that `stage` is given.

    The brushwork's `seeds` are the recipe's unless given.
    """
    denoiser = stage.denoiser(recipe.precision)
    if known := given.known:
        begun, bands = enlarged(given.low_res), stage.bands

        def consistent(z: Tensor) -> Tensor:
            return bands.of(known.blended(begun + bands.residual(z)) - begun)

        denoiser = ConsistentDenoiser(denoiser, stage.schedule, consistent, clip=False)
    return bands_frames(
        denoiser,
        stage.schedule,
        given,
        steps=recipe.stage_steps,
        seeds=seeds or recipe.stage_seeds,
        s_noise=stage.s_noise,
        sde=sde,
        spacing=spacing,
    )


def bands_frames(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    given: HandOver,
    *,
    steps: int,
    seeds: Sequence[int],
    s_noise: float,
    sde: bool = True,
    spacing: Spacing = "trailing",
) -> Iterator[Frame]:
    """Run a second stage's reverse process over the bands of the pictures that it is given.

    Args:
        denoiser: The stage's network.
        schedule: The schedule that it was trained with.
        given: The small pictures.
        steps: Steps of DPM-Solver++ 2M.
        seeds: For each picture, the seed of the noise of the small picture first, then of z_T,
            then of the sampler's.
        s_noise: How far the deviation of the sampler's noise is over 1, times the steps.
        sde: Whether the solver adds noise back.
        spacing: How the steps lie in 0 to T.
    """
    low_res, noise = given.low_res, SeededNoise(seeds)
    eps, z = noise.draw(low_res.shape[1:]), noise.draw((BANDS, *low_res.shape[2:]))
    x_t = noised(low_res_schedule(), low_res, given.t, eps) if given.x_t is None else given.x_t
    level = torch.tensor([max(0, code_t(given.t))])
    timesteps = spaced_timesteps(steps, schedule.num_train_timesteps, spacing)
    return reverse_process(
        denoiser,
        schedule,
        z,
        timesteps,
        sampler=dpm_solver(schedule, timesteps, sde=sde, s_noise=1 + s_noise / steps),
        noise=noise,
        clip=False,
        condition=Condition(low_res=x_t, low_res_t=level.expand(len(low_res))),
    )


def stage_moments(
    stage: LoadedStage,
    recipe: Recipe,
    given: HandOver,
    before: int,
    seeds: Sequence[int] | None = None,
) -> Iterator[Moment]:
    """Paint the small pictures `given` anew, and yield the large ones as they emerge.

    In x_t and x_0_hat stand the bicubically enlarged pictures with the bands of z_t and z_0_hat, in
    eps_hat the bands of the noise alone, its luma of unit variance. Indices count on from the
    `before` steps of the first stage. The brushwork's `seeds` are the recipe's unless given.
    """
    begun, bands = enlarged(given.low_res), stage.bands
    for frame in stage_frames(stage, recipe, given, seeds=seeds):
        x_t, x_0_hat = (begun + bands.residual(z) for z in (frame.x_t, frame.x_0_hat))
        eps_hat = frame.eps_hat
        if eps_hat is not None:
            eps_hat = bands.residual(eps_hat) / bands.luma_std
        if frame.eps_hat is None and recipe.back_projection:
            x_t = x_0_hat = back_projected(x_t, given.low_res)
        if frame.eps_hat is None and given.known:
            x_t = x_0_hat = given.known.restored(x_t)
        index = before + 1 + frame.index
        large = replace(frame, index=index, x_t=x_t, x_0_hat=x_0_hat, eps_hat=eps_hat)
        yield Moment.of(large, before + 1 + frame.total)
