"""The reverse process of a recipe: from noise, or from the very t that a picture was noised to."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from app.diffusion.denoiser import Denoiser
from app.diffusion.forward import q_sample
from app.diffusion.guidance import GuidedDenoiser
from app.diffusion.inpainting import ConsistentDenoiser, KnownPart, ResamplingSampler
from app.diffusion.reverse import Frame, reverse_process
from app.diffusion.samplers.base import Sampler
from app.diffusion.samplers.registry import SAMPLER_KINDS
from app.diffusion.schedule import NoiseSchedule, code_t
from app.diffusion.seeds import SeededNoise, derived_seed
from app.models.files import ModelInfo
from app.models.loading import LoadedModel
from app.painting.recipe import Recipe

FIRST, SECOND, WAY_BACK = range(3)
"""The purposes of derived seeds: the first picture's eps, the second's, the sampler's draws."""


def draw_eps(seed: int, which: int, info: ModelInfo) -> Tensor:
    """Draw the eps (1, C, H, W) of an x_t, the FIRST or SECOND of an experiment of this `seed`."""
    noise = SeededNoise([derived_seed(seed, which)])
    return noise.draw(info.shape)


def noised(schedule: NoiseSchedule, x_0: Tensor, t: int, eps: Tensor) -> Tensor:
    """Noise `x_0` with `eps` to x_t at the paper's `t` (eq. 4)."""
    return q_sample(schedule, x_0, torch.tensor([code_t(t)]), eps)


def decode(
    model: LoadedModel, run: Recipe, x_t: Tensor, t: int, seeds: Sequence[int]
) -> Iterator[Frame]:
    """Run the reverse process from `x_t` (B, C, H, W) at the paper's `t`.

    Args:
        model: The model that `run` names.
        run: How to sample.
        x_t: The noised or mixed pictures at `t`.
        t: 0 to T; at 0 nothing is left to do, and the only Frame is `x_t` itself.
        seeds: For each picture, the seed of what the sampler draws. Runs with one seed draw the
            same noise at the same timestep, wherever they start.
    """
    if t == 0:
        clean = model.schedule.level(code_t(0))
        yield Frame(0, 0, code_t(0), clean, x_t=x_t, x_0_hat=x_t, eps_hat=None)
        return
    timesteps = run.timesteps_from(t, model.info.num_train_timesteps)
    noise = SeededNoise(seeds)
    if run.draws_noise:
        for _ in range(run.steps - len(timesteps)):
            noise.draw(x_t.shape[1:])
    yield from frames_from(run, model, x_t, timesteps, noise)


def frames_from(
    recipe: Recipe,
    model: LoadedModel,
    x_start: Tensor,
    timesteps: Tensor,
    noise: SeededNoise,
    *,
    known: KnownPart | None = None,
) -> Iterator[Frame]:
    """Run the reverse process of `recipe` from `x_start` (B, C, H, W) over the `timesteps`.

    What is `known` of x_0 stays as it is. Latents have no range, and aren't clipped.
    """
    clip = recipe.clip and model.info.latent is None
    kind, schedule = SAMPLER_KINDS[recipe.sampler], model.schedule
    analytic = model.analytic if kind.variance == "analytic" else None

    def sampler(timesteps: Tensor) -> Sampler:
        return kind.make(schedule, timesteps, recipe.etas(timesteps), analytic)

    denoiser = denoiser_for(recipe, model)
    if known:
        denoiser = ConsistentDenoiser(denoiser, schedule, known.blended, clip)
    jumps = recipe.root.resampling > 1
    frames = reverse_process(
        denoiser,
        schedule,
        x_start,
        timesteps,
        sampler=ResamplingSampler(schedule, timesteps, sampler) if jumps else sampler(timesteps),
        noise=noise,
        clip=clip,
        condition=model.condition(recipe.label, len(x_start)),
        jumps=jumps,
    )
    return kept(known, frames) if known else frames


def kept(known: KnownPart, frames: Iterator[Frame]) -> Iterator[Frame]:
    """Yield `frames`, in the last of which what is `known` has its very values again."""
    for frame in frames:
        if frame.eps_hat is None:
            x_0 = known.restored(frame.x_t)
            yield replace(frame, x_t=x_0, x_0_hat=x_0)
        else:
            yield frame


def denoiser_for(recipe: Recipe, model: LoadedModel) -> Denoiser:
    """Return the network that `recipe` asks for, guided where the recipe asks for guidance."""
    denoiser, null_label = model.denoiser(recipe.precision), model.info.null_label
    if not recipe.is_guided or null_label is None:
        return denoiser
    first, last = code_t(recipe.guidance_from), code_t(recipe.guidance_to)
    return GuidedDenoiser(denoiser, recipe.guidance_scale, null_label, first, last)
