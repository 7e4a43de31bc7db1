"""Mix: two pictures mixed at a chosen x_t, alone, in the paper's grid, or as a morph."""

from collections import deque
from collections.abc import Iterator
from typing import Final, TypeVar

import numpy as np
import torch
from torch import Tensor

from app.diffusion.mixing import MIXING_RULES, slerp
from app.diffusion.noise import SeededNoise
from app.service.laboratory.blending import (
    MixExperiment,
    batch_of,
    decoding_steps,
    grid_moments,
    grid_steps,
    measured_step,
    mixture_of,
    morph_moments,
    morph_steps,
)
from app.service.laboratory.decoding import FIRST, SECOND, completed
from app.service.laboratory.experiment import Source
from app.service.laboratory.experiments import Grid, Mixing, Morph, Pair, SeedMorph
from app.service.laboratory.films import FilmResult, Films
from app.service.laboratory.forward import ForwardMaterial, material_of
from app.service.laboratory.mixtures import (
    Estimate,
    GridMoment,
    GridResult,
    MorphMoment,
    MorphResult,
    RuleVariance,
)
from app.service.laboratory.sources import Painting, Sources, at_once
from app.service.lending import assumed_step_seconds, lend
from app.service.models import LoadedModel
from app.service.moments import Moment, Retrace
from app.service.painting import Painter
from app.service.pictures import Pixels, picture_pixels
from app.service.recent import LABORATORY_BYTES, Recent

VARIANCE_POINTS: Final = 21

Mixed = TypeVar("Mixed", bound=MixExperiment)


class MixLab:
    """The laboratory of interpolation."""

    def __init__(self, painter: Painter) -> None:
        self._painter = painter
        self._models = painter.models
        self._sources = Sources(painter)
        self._films = Films(painter.models)
        self._grid_stream = lend(painter.models, grid_moments, grid_steps)
        self._morph_stream = lend(painter.models, morph_moments, morph_steps)
        self._grids: Recent[GridResult] = Recent(LABORATORY_BYTES)
        self._morphs: Recent[MorphResult] = Recent(LABORATORY_BYTES)

    def complete(self, experiment: Mixed) -> Mixed:
        """The experiment as it will be done here: with the weights' hash and the versions.

        Raises:
            ModelError, RecipeError: If the model isn't there or can't run this.
        """
        run = completed(self._painter, experiment)
        side = self._models.describe(run.run.model).size
        steps, guided = self.network_steps(run), run.run.is_guided
        self._painter.limits.check_work(steps, batch_of(run), side, guided=guided)
        return run

    def picture(self, model: str, source: Source) -> Pixels:
        """`source` as `model` will see it, (H, W, 3) uint8; a painted one is painted first."""
        return at_once(self._sources.pixels(source, self._models.describe(model)))

    def materials(
        self, model: str, pair: tuple[Source, Source], seed: int
    ) -> tuple[ForwardMaterial, ForwardMaterial]:
        """What a page needs to mix two pictures at every t by itself."""
        loaded = self._models.load(model)
        return (
            material_of(loaded, at_once(self._sources.x_0(pair[0], loaded.info)), seed, FIRST),
            material_of(loaded, at_once(self._sources.x_0(pair[1], loaded.info)), seed, SECOND),
        )

    def network_steps(self, experiment: MixExperiment) -> int:
        """The network's steps that an experiment will take, painting its sources included."""
        info = self._models.describe(experiment.run.model)
        pair = experiment if isinstance(experiment, Pair) else None
        painting = self._sources.network_steps(pair.first, pair.second) if pair else 0
        return painting + decoding_steps(experiment, info)

    def estimate(self, experiment: MixExperiment) -> Estimate:
        """How long it will take: its steps, times one of each kind measured here and now.

        Raises:
            ModelError, RecipeError: If the model isn't there or can't run this.
        """
        self.complete(experiment)
        model = self._models.load(experiment.run.model)
        each = self._step_seconds(model, experiment, batch_of(experiment))
        decoding, steps = decoding_steps(experiment, model.info), self.network_steps(experiment)
        painting = steps - decoding
        alone = self._step_seconds(model, experiment, 1) if painting else 0.0
        return Estimate(steps, each, decoding * each + painting * alone)

    def variances(self, mixing: Mixing) -> tuple[RuleVariance, ...]:
        """What every rule does to the variance of these two pictures' x_t at `mixing.t`."""
        self.complete(mixing)
        model = self._models.load(mixing.run.model)
        pair = at_once(self._both(mixing, model))
        mixes = tuple(i / (VARIANCE_POINTS - 1) for i in range(VARIANCE_POINTS))
        found = []
        for rule in MIXING_RULES:
            mixture = mixture_of(model, pair, mixing.t, mixes=mixes, seed=mixing.seed, rule=rule)
            found.append(
                RuleVariance(
                    rule,
                    mixes,
                    tuple(mixture.noise_variance.tolist()),
                    tuple(mixture.x_t.double().flatten(1).var(1, correction=0).tolist()),
                )
            )
        return tuple(found)

    def mix(self, mixing: Mixing) -> Iterator[Moment | Retrace]:
        """One mixture, noised to t and decoded from exactly t, in `run.pictures` variations.

        Yields:
            A Retrace for each step of painting a source, where that is needed, then Moments
            from the mixed x_t to clean. Closing the stream ends the network's work.

        Raises:
            ModelError, PictureError, RecipeError: If the model or a source can't be used, or
                the model can't run this.
        """
        self.complete(mixing)
        model = self._models.load(mixing.run.model)
        pair = yield from self._both(mixing, model)
        mixture = mixture_of(
            model, pair, mixing.t, mixes=(mixing.mix,), seed=mixing.seed, rule=mixing.rule
        )
        batch = mixture.x_t.expand(mixing.run.pictures, -1, -1, -1).clone()
        yield from self._films.run(mixing, model, batch)

    def results(self, mixing: Mixing) -> tuple[FilmResult, ...]:
        """The pictures of a mixture; it is done first where it hasn't been lately.

        Raises:
            ModelError, PictureError, RecipeError: As `mix` does.
        """
        found = self._films.results(mixing)
        if found is None:
            for _ in self.mix(mixing):
                pass
            found = self._films.results(mixing)
        return found or ()

    def paint_grid(self, grid: Grid) -> Iterator[Retrace | GridMoment | GridResult]:
        """The grid, row after row, the cells of a row in one batch.

        Yields:
            A Retrace for each step of painting a source, where that is needed; then the grid
            without its rows; then for each row its GridMoments and the grid with it filled in.
            Closing the stream ends the network's work.

        Raises:
            ModelError, PictureError, RecipeError: If the model or a source can't be used, or
                the model can't run this.
        """
        self.complete(grid)
        model = self._models.load(grid.run.model)
        pair = yield from self._both(grid, model)
        first, second = (picture_pixels(x_0)[0] for x_0 in pair)
        rows: list[Pixels | None] = [None] * len(grid.rows)
        yield GridResult(grid, first, second, tuple(rows))
        for moment in self._grid_stream(model, grid, pair):
            yield moment
            if moment.finished:
                rows[moment.row] = moment.pictures
                yield GridResult(grid, first, second, tuple(rows))
        whole = GridResult(grid, first, second, tuple(rows))
        self._grids.put(grid, whole, whole.nbytes)

    def grid_result(self, grid: Grid) -> GridResult:
        """The whole grid; it is painted first where it hasn't been lately.

        Raises:
            ModelError, PictureError, RecipeError: As `paint_grid` does.
        """
        found = self._grids.get(grid)
        if found is None:
            (last,) = deque(self.paint_grid(grid), maxlen=1)
            found = last if isinstance(last, GridResult) else None
        if found is None:
            raise ValueError("a grid ended without its result")
        return found

    def paint_morph(
        self, morph: Morph | SeedMorph
    ) -> Iterator[Retrace | MorphMoment | MorphResult]:
        """The frames of a morph, a few in one batch.

        Yields:
            A Retrace for each step of painting a source, where that is needed; MorphMoments, and
            before the last of each batch the morph as far as it has come; at the end all of it.

        Raises:
            ModelError, PictureError, RecipeError: If the model or a source can't be used, or
                the model can't run this.
        """
        self.complete(morph)
        model = self._models.load(morph.run.model)
        x_t = yield from self._morph_starts(morph, model)
        frames = []
        for moment in self._morph_stream(model, morph, x_t):
            if moment.finished:
                frames.append(moment.pictures)
                yield MorphResult(morph, np.concatenate(frames))
            yield moment
        whole = MorphResult(morph, np.concatenate(frames))
        self._morphs.put(morph, whole, whole.nbytes)
        yield whole

    def morph_result(self, morph: Morph | SeedMorph) -> MorphResult:
        """The whole morph; it is painted first where it hasn't been lately.

        Raises:
            ModelError, PictureError, RecipeError: As `paint_morph` does.
        """
        found = self._morphs.get(morph)
        if found is None:
            (last,) = deque(self.paint_morph(morph), maxlen=1)
            found = last if isinstance(last, MorphResult) else None
        if found is None:
            raise ValueError("a morph ended without its result")
        return found

    def _step_seconds(self, model: LoadedModel, experiment: MixExperiment, batch: int) -> float:
        assumed = assumed_step_seconds(self._models, batch, model.info.size)
        return measured_step(model, experiment.run, batch) if assumed is None else assumed

    def _both(self, pair: Pair, model: LoadedModel) -> Painting[tuple[Tensor, Tensor]]:
        first = yield from self._sources.x_0(pair.first, model.info)
        second = yield from self._sources.x_0(pair.second, model.info)
        return first, second

    def _morph_starts(self, morph: Morph | SeedMorph, model: LoadedModel) -> Painting[Tensor]:
        if isinstance(morph, Morph):
            pair = yield from self._both(morph, model)
            return mixture_of(
                model, pair, morph.t, mixes=morph.mixes, seed=morph.seed, rule=morph.rule
            ).x_t
        shape = (model.info.channels, model.info.size, model.info.size)
        ends = SeededNoise([morph.run.seed, morph.second]).draw(shape)
        return slerp(ends[:1], ends[1:], torch.tensor(morph.mixes))
