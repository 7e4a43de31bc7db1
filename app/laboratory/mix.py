"""Mix: two pictures mixed at a chosen x_t, alone, in the paper's grid, or as a morph."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import torch
from torch import Tensor

from app.diffusion.mixing import MIXING_RULES, MixingRule, Mixture, mix_at, slerp
from app.diffusion.samplers.registry import SAMPLER_KINDS
from app.diffusion.schedule import code_t
from app.diffusion.seeds import SeededNoise, derived_seed
from app.images.arrays import Pixels
from app.images.encoding import AnimationFormat, animation, png_bytes
from app.images.pixels import evenly_spaced, parted, picture_pixels, to_unit
from app.images.reading import own_picture
from app.images.sheets import film_strip, grid_sheet, mix_label
from app.laboratory.experiment import FromXt
from app.laboratory.experiments import (
    MORPH_BATCH,
    Grid,
    Mixing,
    Morph,
    PairExperiment,
    SeedMorph,
    read_experiment,
)
from app.laboratory.laboratory import (
    Laboratory,
    TimeEstimate,
    later_steps_of,
    step_seconds,
    steps_of,
)
from app.laboratory.noise import ForwardMaterial, material_of
from app.limits import STAGE_COST
from app.models.loading import LoadedModel, LoadedStage
from app.models.store import lend
from app.painting.canvas import decoded
from app.painting.film import MAX_BYTES, STRIP_PICTURES, Film, Films, Moment, ReplayStep
from app.painting.latents import picture_frames
from app.painting.painter import Painter
from app.painting.recipe import Recipe, file_stem
from app.painting.runs import LoadedRun, Runs, at_once
from app.painting.sampling import FIRST, SECOND, WAY_BACK, decode, draw_eps
from app.painting.sources import PictureSource, Replaying
from app.painting.stages import HandOver, stage_moments

Kept = TypeVar("Kept", Grid, Morph)
Whole = TypeVar("Whole", "GridResult", "MorphResult")

VARIANCE_POINTS: Final = 21


@dataclass(frozen=True)
class RuleVariance:
    """The variances that one mixing rule gives at one t.

    Attributes:
        mixes: lambda, from 0 to 1.
        noise_variance: The noise's variance over what the network was trained to expect.
        x_t_variance: The measured variance of all values of x_t.
    """

    rule: MixingRule
    mixes: tuple[float, ...]
    noise_variance: tuple[float, ...]
    x_t_variance: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class MixMoment:
    """One step of one batch of a grid or a morph.

    Attributes:
        place: The number, from 0, of the grid's row whose cells the pictures are, or of the
            morph's frame that the first of them is.
        step: The network steps done so far in the whole grid or morph.
        pictures: (B, H, W, 3) uint8: x_0_hat on the way, the finished pictures at the end.
        finished: Whether they are finished; a second stage may follow.
    """

    place: int
    step: int
    pictures: Pixels
    finished: bool


@dataclass(frozen=True, eq=False)
class GridResult:
    """A grid, whole or as far as it has come.

    Attributes:
        experiment: Says how to paint the grid again.
        first: The first source as the model saw it, (H, W, 3) uint8; `second` likewise.
        rows: The finished rows, (between + 2, H, W, 3) each, None where one hasn't come yet; a
            row that isn't enlarged yet is there as it was.
        mixed_pixels: Of a latent model, whose row at t = 0 mixes latents, the mixed pixels of the
            sources, (between + 2, H, W, 3); None of any other.
    """

    experiment: Grid
    first: Pixels
    second: Pixels
    rows: tuple[Pixels | None, ...]
    mixed_pixels: Pixels | None = None

    @property
    def name(self) -> str:
        """A file name without its ending."""
        it = self.experiment
        run = f"{it.run.sampler}-{it.run.steps}-seed-{it.seed}{it.run.size_suffix}"
        return f"{file_stem(it.run.model)}-grid-{it.rule}-{run}"

    @property
    def batches(self) -> "tuple[PictureBatch, ...]":
        """The finished rows, each a batch."""
        return tuple((row, it) for row, it in enumerate(self.rows) if it is not None)

    @property
    def nbytes(self) -> int:
        """The bytes of the finished rows."""
        return sum(row.nbytes for row in self.rows if row is not None)

    def png(self) -> bytes:
        """Draw the labelled sheet as a PNG with the experiment inside."""
        it, cells = self.experiment, len(self.experiment.mixes)
        between = [f"mix {mix_label(mix)}" for mix in it.mixes[1:-1]]
        above = [] if self.mixed_pixels is None else [self.mixed_pixels]
        sheet = grid_sheet(
            [
                [self.first, *(row if row is not None else [None] * cells), self.second]
                for row in (*above, *self.rows)
            ],
            ("source A", "rec. A", *between, "rec. B", "source B"),
            [*("pixels" for _ in above), *(f"t = {t}" for t in it.rows)],
            title=f"{it.rule.replace('_', ' ')} mixing, {SAMPLER_KINDS[it.run.sampler].label}, "
            f"{it.run.steps} steps from T",
        )
        return png_bytes(sheet, it)


@dataclass(frozen=True, eq=False)
class MorphResult:
    """An animation over lambda, or over the arc between two x_T; whole, or as far as it has come.

    Attributes:
        experiment: Says how to paint the morph again.
        frames: The first frames, or all, (n, H, W, 3) uint8.
    """

    experiment: Morph | SeedMorph
    frames: Pixels

    @property
    def name(self) -> str:
        """A file name without its ending."""
        it = self.experiment
        if isinstance(it, SeedMorph):
            stem = f"{file_stem(it.run.model)}-seed-morph-{it.run.seed}-{it.second}"
        else:
            stem = f"{file_stem(it.run.model)}-morph-{it.rule}-{it.t}-seed-{it.seed}"
        return f"{stem}{it.run.size_suffix}"

    @property
    def batches(self) -> "tuple[PictureBatch, ...]":
        """The frames, a few in a batch."""
        lows = range(0, len(self.frames), MORPH_BATCH)
        return tuple((low, self.frames[low : low + MORPH_BATCH]) for low in lows)

    @property
    def nbytes(self) -> int:
        """The bytes of the frames."""
        return self.frames.nbytes

    def strip(self) -> bytes:
        """Draw ten evenly spaced frames, lambda under each, with the experiment inside."""
        at = evenly_spaced(STRIP_PICTURES, len(self.frames))
        captions = [mix_label(self.experiment.mixes[i]) for i in at]
        strip = film_strip([self.frames[i] for i in at], captions)
        return png_bytes(strip, self.experiment)

    def animation(self, form: AnimationFormat) -> bytes:
        """Animate the frames there and back again, so that the animation loops."""
        there = list(self.frames)
        return animation([*there, *there[-2:0:-1], there[0]], form)


def _mixed_pixels(first: Pixels, second: Pixels, mixes: Sequence[float]) -> Pixels:
    """Mix two pictures (H, W, 3) pixel by pixel, as (len(mixes), H, W, 3)."""
    return np.stack([np.rint((1 - mix) * first + mix * second) for mix in mixes]).astype(np.uint8)


def grid_of(path: Path) -> GridResult:
    """Read a grid kept as a PNG of its cells; its sources are pictures of the model's size.

    Raises:
        ValueError: If the file holds anything else.
    """
    experiment, sheet = _kept(path, Grid)
    cells = parted(sheet, len(experiment.rows), len(experiment.mixes))
    first, second = (np.asarray(decoded(it.pixels or "")) for it in experiment.sources)
    return GridResult(experiment, first, second, tuple(cells))


def morph_of(path: Path) -> MorphResult:
    """Read a morph kept as a PNG of its frames in a row.

    Raises:
        ValueError: If the file holds anything else.
    """
    experiment, sheet = _kept(path, Morph)
    return MorphResult(experiment, parted(sheet, 1, experiment.frames)[0])


def _kept(path: Path, kind: type[Kept]) -> tuple[Kept, Pixels]:
    experiment = read_experiment(path.read_bytes())
    if not isinstance(experiment, kind):
        raise ValueError(f"{path} holds no {kind.__name__.lower()}")
    return experiment, np.asarray(own_picture(path))


def mixture_of(
    model: LoadedModel, pair: PairExperiment, x_0: Sequence[Tensor], t: int, mixes: Sequence[float]
) -> Mixture:
    """Noise two pictures (1, C, H, W) to the paper's `t` and mix them there, for each lambda."""
    eps = draw_eps(pair.seed, FIRST, model.info), draw_eps(pair.seed, SECOND, model.info)
    first, second = x_0
    weights = torch.tensor(mixes, dtype=torch.float64)
    return mix_at(model.schedule, first, second, code_t(t), mix=weights, eps=eps, rule=pair.rule)


Batch = tuple[int, int, Tensor, Sequence[int]]
"""A batch's place, the paper's t, x_t (B, C, H, W) there, and the seeds of the way back."""

PictureBatch = tuple[int, Pixels]
"""A batch's place, and its finished pictures (B, H, W, 3)."""


def batches_of(
    model: LoadedModel, experiment: Grid | Morph | SeedMorph, x_0: Sequence[Tensor]
) -> Iterator[Batch]:
    """Yield a grid's rows with their cells, or a morph's frames in batches of a few each."""
    if isinstance(experiment, Grid):
        for row, t in enumerate(experiment.rows):
            x_t = mixture_of(model, experiment, x_0, t, experiment.mixes).x_t
            share = None if experiment.share_noise else row
            yield row, t, x_t, cell_seeds(experiment.run, len(x_t), share)
        return
    morph = experiment
    (t,) = morph.starts(model.info.num_train_timesteps)
    if isinstance(morph, Morph):
        x_t = mixture_of(model, morph, x_0, t, morph.mixes).x_t
    else:
        ends = SeededNoise([morph.run.seed, morph.second]).draw(model.info.shape)
        x_t = slerp(ends[:1], ends[1:], torch.tensor(morph.mixes))
    share = None if isinstance(morph, SeedMorph) or morph.share_noise else 0
    seeds = cell_seeds(morph.run, morph.frames, share)
    for low in range(0, morph.frames, MORPH_BATCH):
        part = slice(low, low + MORPH_BATCH)
        yield low, t, x_t[part], seeds[part]


def mix_moments(
    model: LoadedModel, experiment: Grid | Morph | SeedMorph, x_0: Sequence[Tensor]
) -> Iterator[MixMoment]:
    """Yield the pictures as they emerge: x_0_hat at each step, the finished pictures at the end."""
    done = 0
    for place, t, x_t, seeds in batches_of(model, experiment, x_0):
        steps = experiment.run.steps_from(t, model.info.num_train_timesteps)
        frames = decode(model, experiment.run, x_t, t, seeds)
        for frame in picture_frames(model, frames, range(steps + 1)):
            finished = frame.index == frame.total
            done += not finished
            yield MixMoment(place, done, picture_pixels(frame.x_0_hat), finished)


def large_moments(
    model: LoadedModel,
    stage: LoadedStage,
    experiment: Grid | Morph | SeedMorph,
    batches: Sequence[PictureBatch],
) -> Iterator[MixMoment]:
    """Paint the pictures of `batches` anew: x_0_hat at each step, the finished ones at the end.

    All have one brushwork, lest a morph flickers.
    """
    done = experiment.num_steps(model.info.num_train_timesteps)
    run = experiment.run
    for place, pictures in batches:
        seeds = [run.stage_seed] * len(pictures)
        given = HandOver(to_unit(pictures), run.stage_noise)
        for moment in stage_moments(stage, run, given, 0, seeds):
            finished = moment.index == moment.total
            done += not finished
            yield MixMoment(place, done, moment.x_0_hat, finished)


def cell_seeds(run: Recipe, count: int, row: int | None) -> list[int]:
    """Return one seed for all cells where `row` is None, else one for each cell of that row."""
    if row is None:
        return [derived_seed(run.seed, WAY_BACK)] * count
    return [derived_seed(run.seed, WAY_BACK, row, column) for column in range(count)]


MixItem = ReplayStep | MixMoment
GridItem = MixItem | GridResult
MorphItem = MixItem | MorphResult


class MixLab(Laboratory):
    """The laboratory of interpolation.

    Attributes:
        films: Single mixtures, noised to t and decoded from exactly t, in as many variations as
            a run has pictures.
        grids: Give a ReplayStep for each step of painting a source, where that is needed; then the
            grid without its rows; then for each row, whose cells are one batch, its MixMoments
            and the grid with that row filled in. A second stage goes on from the whole grid.
        morphs: Give the same ReplaySteps; then MixMoments, and before the last of each batch the
            morph as far as it has come; at the end the whole morph. A second stage begins again
            with the first frames.
    """

    def __init__(self, painter: Painter) -> None:
        super().__init__(painter)
        self._emerging = lend(painter.models, mix_moments, steps_of)
        self._enlarging = lend(painter.models, large_moments, later_steps_of)
        how = self.complete, self.network_steps
        self.films: Films[Mixing] = Films(*how, self._mix, Film, MAX_BYTES)
        self.grids: Runs[Grid, GridItem, GridResult] = Runs(*how, self._grid, GridResult)
        self.morphs: Runs[Morph | SeedMorph, MorphItem, MorphResult] = Runs(
            *how, self._morph, MorphResult
        )

    def materials(
        self, model: str, pair: tuple[PictureSource, PictureSource], seed: int
    ) -> tuple[ForwardMaterial, ForwardMaterial]:
        """Return what a page needs to mix two pictures at every t by itself."""
        loaded = self._models.load(model)
        first, second = (at_once(self._sources.x_0(source, loaded)) for source in pair)
        return material_of(loaded, first, seed, FIRST), material_of(loaded, second, seed, SECOND)

    def estimate(self, run: LoadedRun[FromXt]) -> TimeEstimate:
        """Estimate how long `run` will take: its steps times the seconds of a step of each kind."""
        experiment, model = run.request, run.model
        each = step_seconds(self._models, model, experiment.run, experiment.batch)
        decoding = experiment.num_steps(model.info.num_train_timesteps)
        steps, later = self.network_steps(experiment), experiment.later_steps
        painting = steps - decoding - later
        alone = step_seconds(self._models, model, experiment.run, 1) if painting else 0.0
        seconds = (decoding + STAGE_COST * later) * each + painting * alone
        return TimeEstimate(steps, each, seconds)

    def variances(self, run: LoadedRun[Mixing]) -> tuple[RuleVariance, ...]:
        """Compute what every rule does to the variance of two pictures' x_t at the mixing's t."""
        mixing, model = run.request, run.model
        x_0 = at_once(self._x_0(mixing, model))
        mixes = tuple(i / (VARIANCE_POINTS - 1) for i in range(VARIANCE_POINTS))
        found = []
        for rule in MIXING_RULES:
            pair = mixing.model_copy(update={"rule": rule})
            mixture = mixture_of(model, pair, x_0, mixing.t, mixes)
            found.append(
                RuleVariance(
                    rule,
                    mixes,
                    tuple(mixture.noise_variance.tolist()),
                    tuple(mixture.x_t.double().flatten(1).var(1, correction=0).tolist()),
                )
            )
        return tuple(found)

    def _mix(self, run: LoadedRun[Mixing]) -> Iterator[Moment | ReplayStep]:
        return self._film(self.films, run, self._mixed)

    def _mixed(self, run: LoadedRun[Mixing]) -> Replaying[Tensor]:
        mixing, model = run.request, run.model
        x_0 = yield from self._x_0(mixing, model)
        return mixture_of(model, mixing, x_0, mixing.t, (mixing.mix,)).x_t

    def _grid(self, run: LoadedRun[Grid]) -> Iterator[GridItem]:
        grid, model = run.request, run.model
        if run.stage:
            small = yield from self._small(self.grids, run)
            done = replace(small, experiment=grid)
            moments = self._enlarging(model, run.stage, grid, small.batches)
        else:
            x_0 = yield from self._x_0(grid, model)
            first, second = (picture_pixels(model.decode(it))[0] for it in x_0)
            pixels = _mixed_pixels(first, second, grid.mixes) if model.latents else None
            done = GridResult(grid, first, second, (None,) * len(grid.rows), pixels)
            moments = self._emerging(model, grid, x_0)
        yield done
        for moment in moments:
            yield moment
            if moment.finished:
                rows = list(done.rows)
                rows[moment.place] = moment.pictures
                done = replace(done, rows=tuple(rows))
                yield done

    def _morph(self, run: LoadedRun[Morph | SeedMorph]) -> Iterator[MorphItem]:
        morph, model = run.request, run.model
        if run.stage:
            small = yield from self._small(self.morphs, run)
            moments = self._enlarging(model, run.stage, morph, small.batches)
        else:
            x_0 = yield from self._x_0(morph, model)
            moments = self._emerging(model, morph, x_0)
        frames = []
        for moment in moments:
            if moment.finished:
                frames.append(moment.pictures)
                yield MorphResult(morph, np.concatenate(frames))
            yield moment
        yield MorphResult(morph, np.concatenate(frames))

    def _small(
        self, runs: Runs[Any, MixItem | Whole, Whole], run: LoadedRun[Any]
    ) -> Generator[MixItem | Whole, None, Whole]:
        """Return what `run` leaves at the model's own size, which is done first if need be."""
        small: LoadedRun[Any] = LoadedRun.of(run.request.small, run.model)
        found = runs.remembered(small)
        if found is None:
            return (yield from runs.stream(small))
        yield found
        steps = small.request.num_steps(run.model.info.num_train_timesteps)
        for place, pictures in found.batches:
            yield MixMoment(place, steps, pictures, finished=True)
        return found
