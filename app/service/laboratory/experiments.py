"""The experiments of the three laboratories, one class each.

Each may come from a page, a call or a PNG's text and is checked when it is made. Timesteps are
the paper's, 0 (clean) to T.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from app.diffusion.mixing import MixingRule
from app.diffusion.samplers import Variance
from app.service.laboratory.experiment import (
    MAX_T,
    Experiment,
    FromXt,
    PaperT,
    Part,
    ScheduleChoice,
    Seed,
    Share,
    Source,
    StartT,
)
from app.service.pictures import png_text
from app.service.recipe import MAX_PICTURES, Name, Precision

MAX_STRIP: Final = 64
MAX_BETWEEN: Final = MAX_PICTURES - 2
MAX_ROWS: Final = 17
MAX_SUBJECTS: Final = 8
MAX_NOISED: Final = 64


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
    model: Name
    source: Source
    schedule: ScheduleChoice | None = None
    moments: int = Field(default=10, ge=2, le=MAX_STRIP)
    seed: Seed = 0
    fresh: bool = False


class Chain(Experiment):
    """x_t drawn by t single steps q(x_t | x_{t-1}), and at once by q(x_t | x_0)."""

    experiment: Literal["chain"] = "chain"
    model: Name
    source: Source
    schedule: ScheduleChoice | None = None
    t: StartT = 250
    seed: Seed = 0


class Inspection(Experiment):
    """The posterior q(x_{t-1} | x_t, x_0) at one step, beside the model's p(x_{t-1} | x_t)."""

    experiment: Literal["inspection"] = "inspection"
    model: Name
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
    rule: MixingRule = "linear"
    seed: Seed = 0


class Mixing(Pair):
    """One mixture at `t`, in as many variations as `run.pictures` says."""

    experiment: Literal["mixing"] = "mixing"
    t: StartT = 500
    mix: Share = 0.5

    def starts(self, num_train_timesteps: int) -> tuple[int, ...]:
        """Its `t`, once."""
        return (self.t,)


class Grid(Pair):
    """Figure 9 of the paper: t from row to row, lambda from column to column.

    Attributes:
        rows: The t of each; 0 mixes pixels without the network.
        between: How many lambdas lie evenly between 0 and 1, which are the reconstructions.
        share_noise: Whether all cells draw the same noise on their way back, so that they
            compare.
    """

    experiment: Literal["grid"] = "grid"
    rows: tuple[PaperT, ...] = Field(
        default=(0, 125, 250, 375, 500, 625, 750, 875, 1000), min_length=1, max_length=MAX_ROWS
    )
    between: int = Field(default=5, ge=1, le=MAX_BETWEEN)
    share_noise: bool = True

    def starts(self, num_train_timesteps: int) -> tuple[int, ...]:
        """Its rows."""
        return self.rows

    @property
    def mixes(self) -> tuple[float, ...]:
        """The lambda of the cells of a row, reconstructions included."""
        return tuple(i / (self.between + 1) for i in range(self.between + 2))


class Morph(Pair):
    """An animation over lambda at a fixed t; `share_noise` as in a Grid."""

    experiment: Literal["morph"] = "morph"
    t: StartT = 500
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


class Subject(Part):
    """What a bound is computed for.

    Attributes:
        kind: The picture itself, the same with its pixels shuffled, or plain uniform noise.
        source: The picture; plain noise has none.
        name: What tables and plots call it.
    """

    kind: Literal["picture", "shuffled", "noise"] = "picture"
    source: Source | None = None
    name: str = Field(default="picture", min_length=1, max_length=60)

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if (self.source is None) != (self.kind == "noise"):
            raise ValueError("plain noise has no source, and everything else has one")
        return self


class Bounding(Experiment):
    """The bound of one or several pictures under one model.

    Attributes:
        model: The model's id.
        weights: sha256 of its weights; empty where a person wrote the experiment.
        subjects: The pictures.
        variance: Of p(x_{t-1} | x_t).
        clip: Whether x_0_hat is kept in [-1, 1].
        terms: How many of the steps are evaluated; None for all T.
        draws: Noise draws for each picture and step; from two on there is an error.
        seed: Of the draws, of the choice of steps, of shuffling and of plain noise.
        precision: "exact" unless a quick look will do.
        label: The class, where the model has any.
    """

    experiment: Literal["bounding"] = "bounding"
    model: Name
    weights: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    subjects: tuple[Subject, ...] = Field(min_length=1, max_length=MAX_SUBJECTS)
    variance: Variance = "fixed_small"
    clip: bool = True
    terms: int | None = Field(default=50, ge=2, le=MAX_T)
    draws: int = Field(default=2, ge=1, le=64)
    seed: Seed = 0
    precision: Precision = "exact"
    label: int | None = Field(default=None, ge=0, lt=100_000)

    @model_validator(mode="after")
    def _is_bearable(self) -> Self:
        if len(self.subjects) * self.draws > MAX_NOISED:
            raise ValueError(f"more than {MAX_NOISED} pictures times draws")
        return self


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
