"""The base of the laboratories: sources as a model sees them, and runs from some x_t."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Final, TypeVar

import torch
from torch import Tensor

from app.diffusion.schedule import code_t
from app.diffusion.seeds import derived_seed
from app.errors import RecipeError
from app.images.arrays import Pixels
from app.images.pixels import to_unit
from app.laboratory.experiment import FromOneXt, FromXt
from app.laboratory.experiments import BoundRequest, PosteriorStep
from app.limits import STAGE_COST
from app.models.files import ModelInfo
from app.models.loading import LoadedModel, LoadedStage
from app.models.store import ModelStore, lend
from app.networks.zero_gpu import lent_step_seconds
from app.painting.film import Films, Moment, ReplayStep
from app.painting.painter import Painter
from app.painting.recipe import Recipe
from app.painting.runs import LoadedRun, at_once
from app.painting.sampling import WAY_BACK, decode, denoiser_for
from app.painting.sources import PictureSource, Replaying, Sources
from app.painting.stages import HandOver, both_stages, stage_moments

Started = TypeVar("Started", bound=FromXt)
OneXt = TypeVar("OneXt", bound=FromOneXt)

MEASURED_STEPS: Final = 4

MAX_POINTS: Final = 500
"""The most points of a curve over t."""


@dataclass(frozen=True)
class TimeEstimate:
    """The time that a run will take, estimated from the seconds of a network step.

    Attributes:
        network_steps: The number of steps, painting the sources included.
        seconds_per_step: The time of one step of a whole batch.
        seconds: The time of the whole run; the sources are painted singly.
    """

    network_steps: int
    seconds_per_step: float
    seconds: float


class Laboratory:
    """The parts that the laboratories share."""

    def __init__(self, painter: Painter) -> None:
        self._painter = painter
        self._models = painter.models
        self._sources = Sources(painter)
        self._decoded = lend(painter.models, _moments, _steps_of_both)
        self._enlarged = lend(painter.models, _second_moments, later_steps_of)

    def picture(self, model: str, source: PictureSource) -> Pixels:
        """Return `source` as `model` will see it, (H, W, 3) uint8, painting it first if need be."""
        return at_once(self._sources.pixels(source, self._models.describe(model)))

    def complete(self, experiment: Started) -> LoadedRun[Started]:
        """Complete the experiment as it will be done here, and load its model.

        Raises:
            LimitError: If the experiment is more than one request may ask for.
            ModelError, RecipeError: If the model isn't there or can't run this.
        """
        run = self._painter.complete(experiment.run)
        info = run.model.info
        for t in experiment.starts(info.num_train_timesteps):
            require_within(t, info)
        # Checked again: where the size is the model's own, the run has none.
        request = type(experiment).checked(dict(experiment) | {"run": run.request})
        later = request.later_steps
        steps = self.network_steps(request) - later
        guided = steps if run.request.is_guided else 0
        self._painter.limits.check_work(steps, request.batch, info.size, guided=guided, later=later)
        return LoadedRun.of(request, run.model, run.stage)

    def network_steps(self, experiment: FromXt) -> int:
        """Count the network steps that an experiment will take, painting its sources included."""
        info = self._models.describe(experiment.run.model)
        painting = self._sources.network_steps(*experiment.sources)
        steps = experiment.num_steps(info.num_train_timesteps)
        return painting + steps + experiment.run.is_truncated + experiment.later_steps

    def enlargement(
        self, experiment: Started, brushwork: Mapping[str, object], frame: int | None = None
    ) -> Started:
        """Return the experiment whose pictures are painted anew at four times their side.

        The first stage hands over at its `frame`, where that is said.

        Raises:
            RecipeError: If a value of `brushwork`, fields of the second stage, is out of range, or
                the frame is the second stage's.
        """
        at = 0
        if frame is not None and isinstance(experiment, FromOneXt):
            at = self._painter.truncation(experiment, frame)
        run = self._painter.enlargement(experiment.run, brushwork, at)
        return type(experiment).checked(dict(experiment) | {"run": run})

    def _x_0(self, experiment: FromXt, model: LoadedModel) -> Replaying[tuple[Tensor, ...]]:
        """Return the experiment's sources, (1, C, H, W) each, painting them if need be."""
        pictures: list[Tensor] = []
        for source in experiment.sources:
            pictures += [(yield from self._sources.x_0(source, model))]
        return tuple(pictures)

    def _film(
        self,
        films: Films[OneXt],
        run: LoadedRun[OneXt],
        start: Callable[[LoadedRun[OneXt]], Replaying[Tensor]],
    ) -> Iterator[Moment | ReplayStep]:
        """Decode the x_t (1, C, H, W) that `start` gives; enlarge what is remembered of `films`."""
        experiment, stage = run.request, run.stage
        whole = stage and not experiment.run.is_truncated
        small = LoadedRun.of(experiment.small, run.model)
        if stage and whole and (film := films.remembered(small)):
            total = film[-1].total + 1 + experiment.later_steps
            yield from (replace(moment, total=total) for moment in film)
            yield from self._enlarged(run.model, stage, experiment, to_unit(film[-1].x_t))
        else:
            x_t = yield from start(run)
            yield from self._decoded(run.model, stage, experiment, x_t)


def _moments(
    model: LoadedModel, stage: LoadedStage | None, experiment: FromOneXt, x_t: Tensor
) -> Iterator[Moment | ReplayStep]:
    """Decode `x_t` (1, C, H, W), each variation with noise of its own, and enlarge what comes."""
    run, steps = experiment.run, experiment.num_steps(model.info.num_train_timesteps)
    (t,) = experiment.starts(model.info.num_train_timesteps)
    seeds = [derived_seed(run.seed + i, WAY_BACK) for i in range(run.pictures)]
    x_ts = x_t.expand(run.pictures, -1, -1, -1).clone()
    frames = decode(model, run, x_ts, t, seeds)
    return both_stages(model, frames, steps, run, stage)


def _second_moments(
    model: LoadedModel, stage: LoadedStage, experiment: FromOneXt, small: Tensor
) -> Iterator[Moment]:
    """Enlarge what was decoded before, `small` (B, 3, H, W)."""
    run, steps = experiment.run, experiment.num_steps(model.info.num_train_timesteps)
    return stage_moments(stage, run, HandOver(small, run.stage_noise), steps)


def _steps_of_both(
    info: ModelInfo, stage: LoadedStage | None, experiment: FromOneXt, _: Tensor
) -> tuple[int, int]:
    steps, batch = later_steps_of(info, stage, experiment)
    first = experiment.num_steps(info.num_train_timesteps) + experiment.run.is_truncated
    return first + steps, batch


def later_steps_of(
    _: ModelInfo, __: LoadedStage | None, experiment: FromXt, *___: object
) -> tuple[int, int]:
    """Count an experiment's second stage in network steps, and the pictures in each."""
    return STAGE_COST * experiment.later_steps, experiment.batch


def steps_of(info: ModelInfo, experiment: FromXt, *_: object) -> tuple[int, int]:
    """Count the network steps of an experiment's decodings, and the pictures in each."""
    return experiment.num_steps(info.num_train_timesteps), experiment.batch


@torch.no_grad()
def step_seconds(models: ModelStore, model: LoadedModel, run: Recipe, batch: int) -> float:
    """Measure the seconds of a network step: the median of a few, after one to warm up."""
    info = model.info
    if models.gpu:  # which is lent for a run, and not to measure a step
        return lent_step_seconds(batch, info.size)
    denoiser = denoiser_for(run, model)
    x = torch.zeros((batch, *info.shape))
    # Where it is guided, if it is: such a step takes the longest.
    t = torch.full((batch,), code_t(min(max(1, run.guidance_to), info.num_train_timesteps)))
    condition = model.condition(run.label, batch)
    seconds = []
    for _ in range(MEASURED_STEPS):
        start = time.perf_counter()
        denoiser.predict(x, t, condition)
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])


def checked_model(painter: Painter, experiment: BoundRequest | PosteriorStep) -> LoadedModel:
    """Load the model of `experiment`, whose label must fit it.

    Raises:
        ModelError: If the model isn't there or can't be used.
        RecipeError: If the label doesn't fit.
    """
    it = experiment
    recipe = Recipe(model=it.model, steps=1, label=it.label, precision=it.precision)
    return painter.complete(recipe).model


def require_within(t: int, info: ModelInfo) -> None:
    """Check that the paper's `t` is one of the model's.

    Raises:
        RecipeError: If `t` is beyond T.
    """
    if t > info.num_train_timesteps:
        raise RecipeError(
            f"t = {t} is beyond {info.id}'s T = {info.num_train_timesteps}.",
            f"Choose a t up to {info.num_train_timesteps}.",
        )
