"""What the Mix laboratory hands over: a grid, a morph, and what each rule does to the variance."""

from dataclasses import dataclass

from PIL import Image

from app.diffusion.mixing import MixingRule
from app.service.laboratory.experiments import Grid, Morph, SeedMorph
from app.service.laboratory.sheets import grid_sheet, mix_label
from app.service.pictures import (
    AnimationFormat,
    Pixels,
    animation,
    evenly_spaced,
    film_strip,
    png_bytes,
)
from app.service.recipe import file_stem
from app.service.results import STRIP_PICTURES


@dataclass(frozen=True)
class Estimate:
    """How long something will take, from a network step measured just before.

    Attributes:
        network_steps: How many there are, painting the sources included.
        seconds_per_step: Of one step of a whole batch.
        seconds: All of it; the sources are painted singly.
    """

    network_steps: int
    seconds_per_step: float
    seconds: float


@dataclass(frozen=True)
class RuleVariance:
    """What one rule does to the variance at one t.

    Attributes:
        rule: The rule.
        mixes: lambda, from 0 to 1.
        noise_variance: The noise's variance over what the network was trained to expect.
        x_t_variance: Of all values of x_t, measured.
    """

    rule: MixingRule
    mixes: tuple[float, ...]
    noise_variance: tuple[float, ...]
    x_t_variance: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class GridMoment:
    """One step of one row of a grid.

    Attributes:
        row: Which one, from 0.
        t: The row's, the paper's.
        step: The network's steps done so far in the whole grid.
        steps: How many there will be.
        pictures: The row's cells but for the sources, (between + 2, H, W, 3) uint8: x_0_hat on
            the way, the finished pictures at the end.
        finished: Whether the row is.
    """

    row: int
    t: int
    step: int
    steps: int
    pictures: Pixels
    finished: bool


@dataclass(frozen=True, eq=False)
class GridResult:
    """A grid, whole or as far as it has come.

    Attributes:
        experiment: Says how to do it again.
        first: The first source as the model saw it, (H, W, 3) uint8.
        second: The second.
        rows: The finished rows, (between + 2, H, W, 3) each, None where one hasn't come yet.
    """

    experiment: Grid
    first: Pixels
    second: Pixels
    rows: tuple[Pixels | None, ...]

    @property
    def name(self) -> str:
        """A file name without its ending."""
        it = self.experiment
        run = f"{it.run.sampler}-{it.run.steps}-seed-{it.seed}"
        return f"{file_stem(it.run.model)}-grid-{it.rule}-{run}"

    @property
    def nbytes(self) -> int:
        """The bytes of its pictures."""
        return sum(row.nbytes for row in self.rows if row is not None)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' headings."""
        between = [f"mix {mix_label(mix)}" for mix in self.experiment.mixes[1:-1]]
        return ("source A", "rec. A", *between, "rec. B", "source B")

    def image(self, side: int = 96) -> Image.Image:
        """The labelled sheet."""
        cells = len(self.experiment.mixes)
        rows = [
            [self.first, *(row if row is not None else [None] * cells), self.second]
            for row in self.rows
        ]
        run = self.experiment.run
        return grid_sheet(
            rows,
            self.columns,
            [f"t = {t}" for t in self.experiment.rows],
            title=f"{self.experiment.rule.replace('_', ' ')} mixing, {run.sampler}, "
            f"{run.steps} steps from T",
            side=side,
        )

    def png(self) -> bytes:
        """The labelled sheet, with the experiment inside."""
        return png_bytes(self.image(), self.experiment)


@dataclass(frozen=True, eq=False)
class MorphMoment:
    """One step of a morph.

    Attributes:
        step: The network's steps done so far.
        steps: How many there will be.
        first_frame: Which frame the first of `pictures` is.
        pictures: The frames under way, (B, H, W, 3) uint8: x_0_hat, finished at the end.
        finished: Whether these frames are.
    """

    step: int
    steps: int
    first_frame: int
    pictures: Pixels
    finished: bool


@dataclass(frozen=True, eq=False)
class MorphResult:
    """An animation over lambda, or over the arc between two x_T; whole, or as far as it has come.

    Attributes:
        experiment: Says how to do it again.
        frames: The first of its frames, or all, (n, H, W, 3) uint8.
    """

    experiment: Morph | SeedMorph
    frames: Pixels

    @property
    def name(self) -> str:
        """A file name without its ending."""
        it = self.experiment
        if isinstance(it, SeedMorph):
            return f"{file_stem(it.run.model)}-seed-morph-{it.run.seed}-{it.second}"
        return f"{file_stem(it.run.model)}-morph-{it.rule}-{it.t}-seed-{it.seed}"

    @property
    def nbytes(self) -> int:
        """The bytes of its frames."""
        return self.frames.nbytes

    def strip(self) -> bytes:
        """Ten evenly spaced frames, lambda under each, with the experiment inside."""
        at = evenly_spaced(STRIP_PICTURES, len(self.frames))
        captions = [mix_label(self.experiment.mixes[i]) for i in at]
        strip = film_strip([self.frames[i] for i in at], captions)
        return png_bytes(strip, self.experiment)

    def animation(self, form: AnimationFormat) -> bytes:
        """There and back again, so that it loops."""
        there = list(self.frames)
        return animation([*there, *there[-2:0:-1], there[0]], form)
