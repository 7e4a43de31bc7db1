"""The experiments of the three laboratories, one class each.

Each may come from a page, a call or a PNG's text and is checked when it is made. Timesteps are
the paper's, 0 (clean) to T.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from app.diffusion.mixing import DEFAULT_RULE, MixingRule
from app.service.laboratory.bounding import Bounding
from app.service.laboratory.experiment import (
    Experiment,
    FromXt,
    PaperT,
    ScheduleChoice,
    Seed,
    Share,
    Source,
    StartT,
)
from app.service.pictures import evenly_spaced, png_text
from app.service.recipe import MAX_PICTURES, ModelName, Precision

MAX_STRIP: Final = 64
MAX_BETWEEN: Final = MAX_PICTURES - 2
MAX_ROWS: Final = 17
ROWS: Final = 9
"""Of the paper's figure 9: t = 0, 125, 250, ..., 1000."""


class Noising(Experiment):
    """A film strip of x_t, from clean to noise.

    Attributes:
        model: Whose picture size and T it is, and whose schedule where none is given.
        source: x_0.
        schedule: Another schedule than the model's.
        moments: How many evenly spaced t, 0 and T among them.
        seed: Of eps.
        fresh: Whether each moment draws an eps of its own instead of one for all.
    """

    experiment: Literal["noising"] = "noising"
    model: ModelName
    source: Source
    schedule: ScheduleChoice | None = None
    moments: int = Field(default=10, ge=2, le=MAX_STRIP)
    seed: Seed = 0
    fresh: bool = False


class Chain(Experiment):
    """x_t drawn by t single steps q(x_t | x_{t-1}), and at once by q(x_t | x_0)."""

    experiment: Literal["chain"] = "chain"
    model: ModelName
    source: Source
    schedule: ScheduleChoice | None = None
    t: StartT = 250
    seed: Seed = 0


class Inspection(Experiment):
    """The posterior q(x_{t-1} | x_t, x_0) at one step, beside the model's p(x_{t-1} | x_t)."""

    experiment: Literal["inspection"] = "inspection"
    model: ModelName
    source: Source
    t: StartT = 250
    seed: Seed = 0
    clip: bool = True
    precision: Precision = "exact"
    label: int | None = Field(default=None, ge=0, lt=100_000)


class Denoising(FromXt):
    """Denoise from here: noise a picture to t, then run the reverse process from exactly there.

    Attributes:
        source: x_0.
        t: Where the run starts.
        seed: Of the eps that noises x_0, the same for all variations.
    """

    experiment: Literal["denoising"] = "denoising"
    source: Source
    t: StartT = 500
    seed: Seed = 0

    def starts(self, num_train_timesteps: int) -> tuple[int, ...]:
        """Its `t`, once."""
        return (self.t,)


class Pair(FromXt):
    """Two pictures to mix.

    Attributes:
        first: What mix = 0 gives back.
        second: What mix = 1 gives back.
        rule: How they are mixed.
        seed: Of eps_1 and eps_2, the same for every lambda and t.
    """

    first: Source
    second: Source
    rule: MixingRule = DEFAULT_RULE
    seed: Seed = 0


class Mixing(Pair):
    """One mixture at `t`, in as many variations as `run.pictures` says.

    At t = 0 pixels are mixed without the network, and all variations are the same.
    """

    experiment: Literal["mixing"] = "mixing"
    t: PaperT = 500
    mix: Share = 0.5

    def starts(self, num_train_timesteps: int) -> tuple[int, ...]:
        """Its `t`, once."""
        return (self.t,)


class Grid(Pair):
    """Figure 9 of the paper: t from row to row, lambda from column to column.

    Attributes:
        rows: The t of each, `even_rows` where none is wished for; 0 mixes pixels without the
            network.
        between: How many lambdas lie evenly between 0 and 1, which are the reconstructions.
        share_noise: Whether all cells draw the same noise on their way back, so that they
            compare.
    """

    experiment: Literal["grid"] = "grid"
    rows: tuple[PaperT, ...] = Field(min_length=1, max_length=MAX_ROWS)
    between: int = Field(default=5, ge=1, le=MAX_BETWEEN)
    share_noise: bool = True

    def starts(self, num_train_timesteps: int) -> tuple[int, ...]:
        """Its rows."""
        return self.rows

    @property
    def mixes(self) -> tuple[float, ...]:
        """The lambda of the cells of a row, reconstructions included."""
        return tuple(i / (self.between + 1) for i in range(self.between + 2))


def even_rows(num_train_timesteps: int, count: int = ROWS) -> tuple[int, ...]:
    """The paper's t of `count` rows of a Grid, evenly spaced from 0 to T."""
    return evenly_spaced(count, num_train_timesteps + 1)


class Morph(Pair):
    """An animation over lambda at a fixed t; `share_noise` as in a Grid."""

    experiment: Literal["morph"] = "morph"
    t: PaperT = 500
    frames: int = Field(default=16, ge=2, le=MAX_STRIP)
    share_noise: bool = True

    def starts(self, num_train_timesteps: int) -> tuple[int, ...]:
        """Its `t`, once."""
        return (self.t,)

    @property
    def mixes(self) -> tuple[float, ...]:
        """The lambda of each frame."""
        return tuple(i / (self.frames - 1) for i in range(self.frames))


class SeedMorph(FromXt):
    """An animation over the arc between two x_T: those of the seeds `run.seed` and `second`."""

    experiment: Literal["seed_morph"] = "seed_morph"
    second: Seed
    frames: int = Field(default=16, ge=2, le=MAX_STRIP)

    def starts(self, num_train_timesteps: int) -> tuple[int, ...]:
        """T, once."""
        return (num_train_timesteps,)

    @property
    def mixes(self) -> tuple[float, ...]:
        """The place of each frame on the arc."""
        return tuple(i / (self.frames - 1) for i in range(self.frames))


AnyExperiment = Annotated[
    Noising | Chain | Inspection | Denoising | Mixing | Grid | Morph | SeedMorph | Bounding,
    Field(discriminator="experiment"),
]
_ANY: Final[TypeAdapter[AnyExperiment]] = TypeAdapter(AnyExperiment)


def parse_experiment(text: str | bytes) -> AnyExperiment:
    """The experiment, of whichever kind, that a JSON text describes.

    Raises:
        RecipeError: If it is none, is broken, or has values out of range.
    """
    Experiment.require_short(text)
    try:
        return _ANY.validate_json(text)
    except ValidationError as error:
        raise Experiment.fault(error) from error


def read_experiment(data: bytes) -> AnyExperiment:
    """The experiment in a PNG file's text.

    Raises:
        RecipeError: If the file is no PNG, is too large, or has no usable experiment in it.
    """
    return parse_experiment(png_text(data, Experiment.png_key))
