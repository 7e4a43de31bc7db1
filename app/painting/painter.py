"""Painting: a recipe in, the moments of its reverse process out, one at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from itertools import chain, pairwise

import torch
from torch import Tensor

from app import __version__
from app.diffusion.cascade import RATIO
from app.diffusion.reverse import Frame
from app.diffusion.samplers.registry import SAMPLER_KINDS
from app.diffusion.schedule import paper_t
from app.diffusion.seeds import SeededNoise, VariedNoise
from app.errors import RecipeError
from app.images.pixels import to_unit
from app.limits import STAGE_COST, Limits
from app.models.files import ModelInfo
from app.models.loading import LoadedModel, LoadedStage
from app.models.store import ModelStore, lend
from app.painting.canvas import Canvas
from app.painting.film import MAX_BYTES, Film, Films, Moment, ReplayStep
from app.painting.latents import diffused
from app.painting.recipe import SOURCE_FIELDS, STEP_FIELDS, Filmed, Recipe, Versions
from app.painting.runs import LoadedRun
from app.painting.sampling import frames_from, noised
from app.painting.stages import HandOver, both_stages, check_stage, stage_moments


class Painter:
    """Paints recipes with the models of a store.

    Attributes:
        models: The models.
        limits: What one request may ask for.
        films: Paint recipes; a branch first paints its parent's steps again, and a recipe with a
            second stage the small pictures, unless they are remembered.
    """

    def __init__(self, models: ModelStore, limits: Limits | None = None) -> None:
        self.models = models
        self.limits = limits or Limits()
        self._stream = lend(models, _moments, _steps)
        self.films: Films[Recipe] = Films(
            self.complete, self.network_steps, self.moments, Film, MAX_BYTES
        )

    def complete(self, recipe: Recipe) -> LoadedRun[Recipe]:
        """Complete the recipe as it will be painted here, and load its model.

        Raises:
            LimitError: If the recipe is more than one request may ask for.
            ModelError: If the model isn't there or can't be used.
            PictureError: If the source or the mask can't be used.
            RecipeError: If the model can't paint this recipe.
        """
        info = self.models.describe(recipe.model)
        _check(recipe, info)
        recipe = recipe.model_copy(update={"label": info.label_of(recipe.label)})
        if recipe.size in (None, info.size):
            recipe = recipe.small
        Canvas.of(recipe, info)
        own = recipe.timesteps(info.num_train_timesteps)
        self.limits.check_work(
            len(own),
            recipe.pictures,
            info.size,
            guided=recipe.guided_of(own),
            before=sum(
                (len(steps) + run.guided_of(steps)) * run.pictures
                for run, steps in _retraced(info, recipe)
            ),
            later=recipe.later_steps,
        )
        stage = self.models.load_stage(recipe.stage) if recipe.size else None
        model = self.models.load(recipe.model)
        if stage:
            check_stage(recipe, model.info, stage.info)
        here = Versions(
            plein_air=__version__, torch=torch.__version__, diffusers=version("diffusers")
        )
        found = {
            "weights": model.weights,
            "stage_weights": stage.weights if stage else "",
            "versions": here,
        }
        return LoadedRun.of(recipe.model_copy(update=found), model, stage)

    def differences(self, recipe: Recipe) -> str:
        """Tell why a picture painted here may differ from the recipe's own; empty if it won't."""
        named = {recipe.model: (recipe.weights, self.models.load(recipe.model).weights)}
        if recipe.size:
            stage = self.models.load_stage(recipe.stage)
            named[recipe.stage] = recipe.stage_weights, stage.weights
        for name, (then, now) in named.items():
            if then and then != now:
                return (
                    f"This picture was painted with other weights of {name}; "
                    "painting it again here gives another picture."
                )
        return ""

    def branch(self, recipe: Recipe, frame: int, variations: int, seed: int) -> Recipe:
        """Return the recipe that paints on from `frame` of `recipe`'s picture, with new noise.

        A sampler that draws no noise would paint the same picture again; its branches are
        painted by DDIM with eta = 1, which draws as much as DDPM. From the second stage's frames
        the small pictures stay, and get another brushwork.

        Raises:
            RecipeError: If the frame isn't one to paint on from, or there are too many branches.
        """
        steps = recipe.num_steps(self.models.describe(recipe.model).num_train_timesteps)
        if recipe.size and steps <= frame <= steps + recipe.stage_steps:
            return Recipe.checked(recipe.model_dump() | {"stage_seed": seed, "picture": 0})
        if not 0 <= frame < steps:
            raise RecipeError(
                f"Frame {frame} of {steps} can't be painted on from.",
                "Move the slider to a moment before the finished painting.",
            )
        draws = recipe.draws_noise
        return Recipe.checked(
            recipe.model_dump()
            | {
                "sampler": recipe.sampler if draws else "ddim",
                "eta": recipe.eta if draws else 1.0,
                **({} if draws else dict.fromkeys(STEP_FIELDS)),
                **dict.fromkeys(SOURCE_FIELDS[:-1]),
                "resampling": 1,
                # Of a run from a picture `steps` counts those from T.
                "steps": recipe.steps if recipe.root.source else recipe.steps - frame,
                "seed": seed,
                "pictures": variations,
                "picture": 0,
                "parent": recipe.small.model_dump(),
                "frame": frame,
                "variation_seed": None,
                "variation_strength": 0.0,
            }
        )

    def variations(self, recipe: Recipe, count: int, seed: int, strength: float) -> Recipe:
        """Return the recipe of `count` variations of the seed of `recipe`'s picture.

        A variation's are those of the same first seed.

        Raises:
            RecipeError: If the picture is a branch's, or a value is out of range.
        """
        if recipe.parent:
            raise RecipeError(
                "A branch begins in a picture, and only what begins in noise is varied.",
                "Go to its origin, and vary that.",
            )
        return Recipe.checked(
            recipe.model_dump()
            | {
                "seed": recipe.picture_seed,
                "stage_seed": recipe.stage_seeds[recipe.picture],
                "pictures": count,
                "picture": 0,
                "variation_seed": seed,
                "variation_strength": strength,
            }
        )

    def truncation(self, request: Filmed, frame: int) -> int:
        """Return the paper's t at a `frame` of a run's first stage, to hand over there.

        Raises:
            RecipeError: If the frame is no frame of the first stage.
        """
        timesteps = self.models.describe(request.process.model).num_train_timesteps
        if not 0 <= frame <= request.num_steps(timesteps):
            raise RecipeError(
                "A picture of the second stage can't be handed to it.",
                "Move the slider to a moment of the first stage.",
            )
        return [*map(paper_t, request.timesteps(timesteps).tolist()), 0][frame]

    def enlargement(
        self, recipe: Recipe, brushwork: Mapping[str, object], truncation: int = 0
    ) -> Recipe:
        """Return the recipe that paints the same pictures anew at four times their side.

        Raises:
            RecipeError: If a value of `brushwork`, fields of the second stage, is out of range.
        """
        size = RATIO * self.models.describe(recipe.model).size
        asked = {"size": size, "stage_truncation": truncation}
        return Recipe.checked(recipe.model_dump() | dict(brushwork) | asked)

    def network_steps(self, recipe: Recipe) -> int:
        """Count the network steps that painting `recipe` takes, its parents' included."""
        return _network_steps(self.models.describe(recipe.model), recipe)

    def moments(self, run: LoadedRun[Recipe]) -> Iterator[Moment | ReplayStep]:
        """Paint a run as `films` do, whose memory it leaves as it is."""
        recipe, info = run.request, run.model.info
        canvas = Canvas.of(recipe, info)
        whole = run.stage and not recipe.is_truncated
        film = self.films.remembered(LoadedRun.of(recipe.small, run.model)) if whole else None
        if film is None:
            return self._stream(run.model, run.stage, recipe, canvas)
        total = recipe.num_steps(info.num_train_timesteps) + 1 + recipe.stage_steps
        second = self._stream(run.model, run.stage, recipe, canvas, to_unit(film[-1].x_t))
        return chain((replace(moment, total=total) for moment in film), second)


def _check(recipe: Recipe, info: ModelInfo) -> None:
    kind = SAMPLER_KINDS.get(recipe.sampler)
    if kind is None:
        raise RecipeError(
            f"There is no sampler {recipe.sampler!r}.",
            f"Choose one of: {', '.join(SAMPLER_KINDS)}.",
        )
    if kind.variance:
        info.require_variance(kind.variance)
    if not recipe.parent and recipe.steps > info.num_train_timesteps:
        raise RecipeError(
            f"{recipe.steps} steps are more than {info.id} has ({info.num_train_timesteps}).",
            f"Choose from 1 to {info.num_train_timesteps} steps.",
        )
    if recipe.step_t and recipe.step_t[0] > info.num_train_timesteps:
        raise RecipeError(
            f"step_t begins at {recipe.step_t[0]}, beyond {info.id}'s T = "
            f"{info.num_train_timesteps}.",
            f"Its first t is at most {info.num_train_timesteps}.",
        )
    if recipe.start_t is not None and recipe.start_t > info.num_train_timesteps:
        raise RecipeError(
            f"t = {recipe.start_t} is beyond {info.id}'s T = {info.num_train_timesteps}.",
            f"Choose a t up to {info.num_train_timesteps}.",
        )
    info.label_of(recipe.label)
    if recipe.guidance_scale != 1 and info.null_label is None:
        raise RecipeError(f"{info.id} can't be guided.", "Set the guidance scale to 1.")
    if recipe.parent:
        if recipe.parent.model != recipe.model:
            raise RecipeError(
                "A branch can't change the model.", f"Paint it with {recipe.parent.model}."
            )
        _check(recipe.parent, info)
        if recipe.frame not in range(len(recipe.parent.timesteps(info.num_train_timesteps))):
            raise RecipeError(
                f"Frame {recipe.frame} can't be painted on from.",
                "Choose a moment before the finished painting.",
            )


def _moments(
    model: LoadedModel,
    stage: LoadedStage | None,
    recipe: Recipe,
    canvas: Canvas | None,
    small: Tensor | None = None,
) -> Iterator[Moment | ReplayStep]:
    """Paint `recipe` with both stages; only with the second, if it is given what the first left."""
    steps = recipe.num_steps(model.info.num_train_timesteps)
    if stage and small is not None:
        given = HandOver(small, recipe.stage_noise, known=canvas.large if canvas else None)
        return stage_moments(stage, recipe, given, steps)
    painted = _branched if recipe.parent else _frames
    return both_stages(model, painted(model, recipe, canvas), steps, recipe, stage, canvas=canvas)


def _steps(
    info: ModelInfo,
    _: LoadedStage | None,
    recipe: Recipe,
    __: Canvas | None,
    small: Tensor | None = None,
) -> tuple[int, int]:
    first = 0
    if small is None:
        own = recipe, recipe.timesteps(info.num_train_timesteps)
        guided = sum(run.guided_of(steps) for run, steps in (*_retraced(info, recipe), own))
        first = _network_steps(info, recipe) - recipe.later_steps + guided
    return first + STAGE_COST * recipe.later_steps, recipe.pictures


def _network_steps(info: ModelInfo, recipe: Recipe) -> int:
    retraced = sum(run.frame or 0 for run in (recipe, *recipe.ancestry))
    # At the hand-over of a truncated run the network is asked for x_0_hat.
    steps = recipe.num_steps(info.num_train_timesteps) + recipe.is_truncated
    return retraced + steps + recipe.later_steps


def _retraced(info: ModelInfo, recipe: Recipe) -> Iterator[tuple[Recipe, Tensor]]:
    """Yield the runs that `recipe` branches from, each with the code's timesteps done again."""
    for child, run in pairwise((recipe, *recipe.ancestry)):
        yield run, run.timesteps(info.num_train_timesteps)[: child.frame]


def _branched(
    model: LoadedModel, recipe: Recipe, canvas: Canvas | None
) -> Iterator[Frame | ReplayStep]:
    """Paint the frames of a recipe, and if it is a branch its ancestors' steps before."""
    runs, x_start = [*reversed(recipe.ancestry), recipe], None
    for run, child in pairwise(runs):
        steps = child.frame or 0
        for frame in _frames(model, run, canvas, x_start):
            if frame.index == steps:
                x_t = frame.x_t[run.picture]
                x_start = x_t.expand(child.pictures, *x_t.shape).clone()
                break
            yield ReplayStep(frame.index + 1, steps)
    yield from _frames(model, recipe, canvas, x_start)


def _frames(
    model: LoadedModel, recipe: Recipe, canvas: Canvas | None, x_start: Tensor | None = None
) -> Iterator[Frame]:
    """Run `recipe`'s own steps, from `x_start` where it is a branch, else from noise.

    With a `canvas` that is the noise that its picture has at the recipe's `start_t`.
    """
    noise = SeededNoise(recipe.noise_seeds)
    if recipe.variation_seeds:
        noise = VariedNoise(recipe.noise_seeds, recipe.variation_seeds, recipe.variation_strength)
    if x_start is None:
        x_start = noise.draw(model.info.shape)
        if canvas and recipe.start_t:
            x_0 = model.encode(canvas.x_0)
            x_start = noised(model.schedule, x_0, recipe.start_t, x_start)
    timesteps = recipe.timesteps(model.info.num_train_timesteps)
    known = diffused(model, canvas.known) if canvas and canvas.known else None
    return frames_from(recipe, model, x_start, timesteps, noise, known=known)
