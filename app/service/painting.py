"""Painting: a recipe in, the moments of its reverse process out, one at a time."""

from collections.abc import Iterator
from importlib.metadata import version
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from app import __version__
from app.diffusion.denoiser import Condition, Denoiser, GuidedDenoiser
from app.diffusion.noise import SeededNoise
from app.diffusion.reverse import Frame, reverse_process, spaced_timesteps
from app.diffusion.samplers import SAMPLERS
from app.diffusion.schedule import NoiseSchedule
from app.engine.solvers import SOLVERS
from app.errors import RecipeError
from app.service.lending import lend
from app.service.limits import Limits
from app.service.models import LoadedModel, ModelStore
from app.service.moments import Moment, Retrace, kept_frames, moment_of
from app.service.recent import Recent
from app.service.recipe import Recipe, Versions

SAMPLER_KINDS: Final = {kind.name: kind for kind in (*SAMPLERS, *SOLVERS)}


class Painter:
    """Paints recipes with the models of a store.

    Attributes:
        models: The models.
        limits: What one request may ask for.
    """

    def __init__(self, models: ModelStore, limits: Limits | None = None) -> None:
        self.models = models
        self.limits = limits or Limits()
        self._recent: Recent[tuple[Moment, ...]] = Recent()
        self._stream = lend(
            models, _moments, lambda _, recipe: (self.network_steps(recipe), recipe.pictures)
        )

    def complete(self, recipe: Recipe) -> Recipe:
        """The recipe as it will be painted here: with the weights' hash and the versions.

        Raises:
            LimitError: If it is more than one request may ask for.
            ModelError: If the model isn't there or can't be used.
            RecipeError: If the model can't paint this recipe.
        """
        side = self.models.describe(recipe.model).size
        before = sum(
            (child.frame or 0) * parent.pictures * (2 if parent.is_guided else 1)
            for child, parent in pairwise((recipe, *recipe.ancestry))
        )
        self.limits.check_work(
            recipe.steps, recipe.pictures, side, guided=recipe.is_guided, before=before
        )
        model = self.models.load(recipe.model)
        self._check(recipe, model)
        here = Versions(
            plein_air=__version__, torch=torch.__version__, diffusers=version("diffusers")
        )
        return recipe.model_copy(update={"weights": model.weights, "versions": here})

    def differences(self, recipe: Recipe) -> str:
        """Why a picture painted here may differ from the recipe's own; empty if it won't."""
        model = self.models.load(recipe.model)
        if recipe.weights and recipe.weights != model.weights:
            return (
                f"This picture was painted with other weights of {recipe.model}; "
                "painting it again here gives another picture."
            )
        return ""

    def branch(self, recipe: Recipe, frame: int, variations: int, seed: int) -> Recipe:
        """The recipe that paints on from `frame` of `recipe`'s picture, with new noise.

        A sampler that draws no noise would paint the same picture again; its branches are
        painted by DDIM with eta = 1, which draws as much as DDPM.

        Raises:
            RecipeError: If the frame isn't one to paint on from, or there are too many branches.
        """
        if not 0 <= frame < recipe.steps:
            raise RecipeError(
                f"Frame {frame} of {recipe.steps} can't be painted on from.",
                "Move the slider to a moment before the finished painting.",
            )
        kind = SAMPLER_KINDS[recipe.sampler]
        draws = kind.stochastic and not (kind.uses_eta and recipe.eta == 0)
        return Recipe.checked(
            recipe.model_dump()
            | {
                "sampler": recipe.sampler if draws else "ddim",
                "eta": recipe.eta if draws else 1.0,
                "steps": recipe.steps - frame,
                "seed": seed,
                "pictures": variations,
                "picture": 0,
                "parent": recipe.model_dump(),
                "frame": frame,
            }
        )

    def paint(self, recipe: Recipe) -> Iterator[Moment | Retrace]:
        """Paint `recipe`; a branch first retraces its parent's steps.

        Yields:
            A Retrace for each step on the way back, then `recipe.steps` + 1 Moments. Closing
            the stream ends the network's work with the step under way.

        Raises:
            ModelError: If the model isn't there or can't be used.
            RecipeError: If the model can't paint this recipe.
        """
        model = self.models.load(recipe.model)
        self._check(recipe, model)
        kept = set(kept_frames(recipe.steps, recipe.pictures, model.info.size))
        film = []
        for moment in self._stream(model, recipe):
            if isinstance(moment, Moment) and moment.index in kept:
                film.append(moment)
            yield moment
        self._recent.put(recipe.about(0), tuple(film), sum(m.nbytes for m in film))

    @staticmethod
    def network_steps(recipe: Recipe) -> int:
        """The network's steps that painting `recipe` takes, its parents' included."""
        retraced = (run.frame or 0 for run in (recipe, *recipe.ancestry))
        return recipe.steps + sum(retraced)

    def film(self, recipe: Recipe) -> tuple[Moment, ...]:
        """The kept moments of a whole run: remembered where it was painted lately, else painted.

        Raises:
            ModelError, RecipeError: As `paint` does.
        """
        key = recipe.about(0)
        if self._recent.get(key) is None:
            for _ in self.paint(recipe):
                pass
        return self._recent.get(key) or ()

    def remembered(self, recipe: Recipe) -> tuple[Moment, ...] | None:
        """The film of `recipe` if it was painted lately and is still kept."""
        return self._recent.get(recipe.about(0))

    def _check(self, recipe: Recipe, model: LoadedModel) -> None:
        info, kind = model.info, SAMPLER_KINDS.get(recipe.sampler)
        if kind is None:
            raise RecipeError(
                f"There is no sampler {recipe.sampler!r}.",
                f"Choose one of: {', '.join(SAMPLER_KINDS)}.",
            )
        if kind.learned_variance and not info.learned_variance:
            raise RecipeError(
                f"{info.id} did not learn its variance.", "Choose ddpm or ddpm-large for it."
            )
        if not recipe.parent and recipe.steps > info.num_train_timesteps:
            raise RecipeError(
                f"{recipe.steps} steps are more than {info.id} has ({info.num_train_timesteps}).",
                f"Choose from 1 to {info.num_train_timesteps} steps.",
            )
        _check_label(recipe, model)
        if recipe.parent:
            if recipe.parent.model != recipe.model:
                raise RecipeError(
                    "A branch can't change the model.", f"Paint it with {recipe.parent.model}."
                )
            self._check(recipe.parent, model)


def _moments(model: LoadedModel, recipe: Recipe) -> Iterator[Moment | Retrace]:
    for frame in _frames(model, recipe):
        yield frame if isinstance(frame, Retrace) else moment_of(frame, model.schedule)


def _frames(model: LoadedModel, recipe: Recipe) -> Iterator[Frame | Retrace]:
    noise = SeededNoise(recipe.noise_seeds)
    if recipe.parent is None or recipe.frame is None:
        side = model.info.size
        x_start = noise.draw((model.info.channels, side, side))
    else:
        for frame in _frames(model, recipe.parent):
            if isinstance(frame, Retrace):
                yield frame
            elif frame.index == recipe.frame:
                x_t = frame.x_t[recipe.parent.picture]
                x_start = x_t.expand(recipe.pictures, *x_t.shape).clone()
                break
            else:
                yield Retrace(frame.index + 1, recipe.frame)
    yield from frames_from(recipe, model, x_start, _timesteps(recipe, model.schedule), noise)


def frames_from(
    recipe: Recipe, model: LoadedModel, x_start: Tensor, timesteps: Tensor, noise: SeededNoise
) -> Iterator[Frame]:
    """The reverse process as `recipe` says, from `x_start` (B, C, H, W) over the `timesteps`."""
    return reverse_process(
        denoiser_for(recipe, model),
        model.schedule,
        x_start,
        timesteps,
        sampler=SAMPLER_KINDS[recipe.sampler].make(model.schedule, timesteps, recipe.eta),
        noise=noise,
        clip=recipe.clip,
        condition=condition_for(recipe, len(x_start)),
    )


def _check_label(recipe: Recipe, model: LoadedModel) -> None:
    info = model.info
    if bool(info.labels) != (recipe.label is not None):
        raise RecipeError(
            f"{info.id} {'paints classes' if info.labels else 'has no classes'}.",
            f"Choose a label from 0 to {len(info.labels) - 1}."
            if info.labels
            else "Leave the label out.",
        )
    if recipe.label is not None and recipe.label >= len(info.labels):
        raise RecipeError(
            f"{info.id} has no class {recipe.label}.",
            f"Choose a label from 0 to {len(info.labels) - 1}.",
        )
    if recipe.guidance_scale != 1 and info.null_label is None:
        raise RecipeError(f"{info.id} can't be guided.", "Set the guidance scale to 1.")


def denoiser_for(recipe: Recipe, model: LoadedModel) -> Denoiser:
    """The network that `recipe` asks for, guided where it asks for that."""
    denoiser = model.denoiser(recipe.precision)
    if recipe.guidance_scale == 1 or model.info.null_label is None:
        return denoiser
    return GuidedDenoiser(denoiser, recipe.guidance_scale, model.info.null_label)


def condition_for(recipe: Recipe, pictures: int) -> Condition | None:
    """`recipe`'s label for each of a batch; None where it has none."""
    return None if recipe.label is None else Condition(torch.full((pictures,), recipe.label))


def _timesteps(recipe: Recipe, schedule: NoiseSchedule) -> Tensor:
    if recipe.parent:
        return _timesteps(recipe.parent, schedule)[recipe.frame :]
    return spaced_timesteps(recipe.steps, schedule.num_train_timesteps, recipe.spacing)
