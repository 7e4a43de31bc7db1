"""The experiments of the three laboratories: JSON that says how to do one again."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, BinaryIO, Final, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from app.diffusion.cascade import RATIO
from app.diffusion.mixing import DEFAULT_RULE
from app.diffusion.schedule import MAX_T
from app.errors import RecipeError
from app.fields import Control
from app.images.encoding import png_text
from app.images.pixels import evenly_spaced
from app.laboratory.experiment import Experiment, FromOneXt, FromXt
from app.laboratory.fields import (
    NOTHING_TO_DO,
    Between,
    DenoisingT,
    Frames,
    Fresh,
    HowVaried,
    Mix,
    MixT,
    Moments,
    PaperT,
    Rule,
    ScheduleChoice,
    ShareNoise,
    StartT,
    Weights,
)
from app.laboratory.sheet_experiment import Sheet
from app.models.files import ModelInfo
from app.painting.recipe import Clip, Computed, Label, ModelName, Seed
from app.painting.sources import ExperimentPart, PictureSource

MORPH_BATCH: Final = 8

MAX_LARGE_CELLS: Final = 100
"""The pictures on a grid's sheet, where a second stage enlarges them: about 15 MB as a PNG."""

MAX_ROWS: Final = 17
ROWS: Final = 9
"""The number of rows in the paper's figure 9: t = 0, 125, 250, ..., 1000."""


MAX_SUBJECTS: Final = 8
MAX_NOISED: Final = 64
MAX_COMPARED: Final = 2


class Subject(ExperimentPart):
    """The picture, or noise, that a bound is computed for.

    Attributes:
        kind: The picture itself, the same with its pixels shuffled, or plain uniform noise.
        source: The picture; plain noise has none.
        name: What tables and plots call it.
    """

    kind: Literal["picture", "shuffled", "noise"] = "picture"
    source: PictureSource | None = None
    name: str = Field(default="picture", min_length=1, max_length=60)

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if (self.source is None) != (self.kind == "noise"):
            raise ValueError("plain noise has no source, and everything else has one")
        return self


class Compared(ExperimentPart):
    """Another model whose bound of the same pictures stands beside: what it has of its own."""

    model: ModelName
    weights: Weights = ""
    variance: HowVaried = "fixed_small"
    label: Label = None


class BoundRequest(Experiment):
    """The bound of one or several pictures under one model, and which others it is compared with.

    Attributes:
        weights: sha256 of its weights; empty where a person wrote the experiment.
        subjects: The pictures.
        compared: Other models; each draws the same noise.
    """

    experiment: Literal["bounding"] = "bounding"
    model: ModelName
    weights: Weights = ""
    subjects: tuple[Subject, ...] = Field(min_length=1, max_length=MAX_SUBJECTS)
    variance: HowVaried = "fixed_small"
    clip: Clip = True
    terms: Annotated[int | None, Control("terms: how many t")] = Field(
        default=50,
        ge=2,
        le=MAX_T,
        description="How many of the steps are evaluated; null is all T.",
    )
    draws: Annotated[int, Control("noise draws")] = Field(
        default=2,
        ge=1,
        le=64,
        description="Noise draws for each step; from two on there is an error.",
    )
    seed: Seed = 0
    precision: Computed = "exact"
    label: Label = None
    compared: tuple[Compared, ...] = Field(default=(), max_length=MAX_COMPARED)

    @property
    def each(self) -> "tuple[BoundRequest, ...]":
        """The bound of each model by itself, in order."""
        first = self.model_copy(update={"compared": ()})
        others = (first.model_copy(update=dict(other)) for other in self.compared)
        return (first, *others)

    @classmethod
    def joined(cls, each: "Sequence[BoundRequest]") -> "BoundRequest":
        """Join bounds that differ in their models alone: the first is compared with the others.

        Raises:
            RecipeError: If there are no bounds, or too many.
        """
        if not 0 < len(each) <= MAX_COMPARED + 1:
            raise RecipeError(
                f"{len(each)} models are too many to compare.", f"Choose up to {MAX_COMPARED + 1}."
            )
        names = Compared.model_fields
        others = [Compared(**{name: getattr(it, name) for name in names}) for it in each[1:]]
        return each[0].model_copy(update={"compared": tuple(others)})

    @model_validator(mode="after")
    def _is_bearable(self) -> Self:
        if len(self.subjects) * self.draws > MAX_NOISED:
            raise ValueError(f"more than {MAX_NOISED} pictures times draws")
        return self


class ForwardStrip(Experiment):
    """A film strip of x_t, from clean to noise.

    Attributes:
        model: Whose picture size and T it is, and whose schedule where none is given.
        source: x_0.
        schedule: Another schedule than the model's.
    """

    experiment: Literal["noising"] = "noising"
    model: ModelName
    source: PictureSource
    schedule: ScheduleChoice | None = None
    moments: Moments = 10
    seed: Seed = 0
    fresh: Fresh = False


class Chain(Experiment):
    """x_t drawn by t single steps q(x_t | x_{t-1}), and at once by q(x_t | x_0)."""

    experiment: Literal["chain"] = "chain"
    model: ModelName
    source: PictureSource
    schedule: ScheduleChoice | None = None
    t: StartT = 250
    seed: Seed = 0


class PosteriorStep(Experiment):
    """The posterior q(x_{t-1} | x_t, x_0) at one step, beside the model's p(x_{t-1} | x_t)."""

    experiment: Literal["inspection"] = "inspection"
    model: ModelName
    source: PictureSource
    t: StartT = 250
    seed: Seed = 0
    clip: Clip = True
    precision: Computed = "exact"
    label: Label = None


class Denoising(FromOneXt):
    """Denoise from here: noise a picture to t, then run the reverse process from exactly there.

    From t = 0 on nothing is done to a picture but that a second stage enlarges it.

    Attributes:
        source: x_0.
        t: Where the run starts.
        seed: Of the eps that noises x_0, the same for all variations.
    """

    experiment: Literal["denoising"] = "denoising"
    source: PictureSource
    t: DenoisingT = 500
    seed: Seed = 0

    @classmethod
    def enlarging(cls, fields: Mapping[str, Any], source: PictureSource, info: ModelInfo) -> Self:
        """Make the experiment that only enlarges a picture, at a model's side, by `fields`.

        Raises:
            RecipeError: If a field is missing, of a wrong type or out of range.
        """
        fixed = {"t": 0, "steps": 1, "size": RATIO * info.size, "label": info.some_label}
        return cls.of({**fields, **fixed}, [source])

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.t == 0 and not self.run.size:
            raise ValueError(NOTHING_TO_DO)
        return self

    @property
    def sources(self) -> tuple[PictureSource, ...]:
        """The picture that is noised."""
        return (self.source,)

    def starts(self, num_train_timesteps: int) -> tuple[int, ...]:
        """Return `t`, once."""
        return (self.t,)


class PairExperiment(FromXt):
    """Two pictures to mix.

    Attributes:
        first: What mix = 0 gives back.
        second: What mix = 1 gives back.
        seed: Of eps_1 and eps_2, the same for every lambda and t.
    """

    first: PictureSource
    second: PictureSource
    rule: Rule = DEFAULT_RULE
    seed: Seed = 0

    @property
    def sources(self) -> tuple[PictureSource, ...]:
        """Both pictures."""
        return (self.first, self.second)


class Mixing(PairExperiment, FromOneXt):
    """One mixture at `t`, in as many variations as `run.pictures` says.

    At t = 0 pixels are mixed without the network, and all variations are the same but for a second
    stage's brushwork.
    """

    experiment: Literal["mixing"] = "mixing"
    t: MixT = 500
    mix: Mix = 0.5

    def starts(self, num_train_timesteps: int) -> tuple[int, ...]:
        """Return `t`, once."""
        return (self.t,)


class Grid(PairExperiment):
    """Figure 9 of the paper: t from row to row, lambda from column to column.

    Attributes:
        rows: The t of each, `even_rows` where none is wished for; 0 mixes pixels without the
            network.
        between: How many lambdas lie evenly between 0 and 1, which are the reconstructions.
    """

    experiment: Literal["grid"] = "grid"
    rows: tuple[PaperT, ...] = Field(min_length=1, max_length=MAX_ROWS)
    between: Between = 5
    share_noise: ShareNoise = True

    @property
    def batch(self) -> int:
        """The number of cells in a row."""
        return len(self.mixes)

    @property
    def batches(self) -> int:
        """The number of rows."""
        return len(self.rows)

    @model_validator(mode="after")
    def _fits_a_sheet(self) -> Self:
        if self.run.size and len(self.rows) * (self.between + 4) > MAX_LARGE_CELLS:
            raise ValueError(
                f"run: a sheet has room for {MAX_LARGE_CELLS} enlarged pictures, sources included"
            )
        return self

    def starts(self, num_train_timesteps: int) -> tuple[int, ...]:
        """Return the t of each row."""
        return self.rows

    @property
    def mixes(self) -> tuple[float, ...]:
        """The lambda of each cell of a row, reconstructions included."""
        return tuple(i / (self.between + 1) for i in range(self.between + 2))


def even_rows(num_train_timesteps: int, count: int = ROWS) -> tuple[int, ...]:
    """Return the paper's t of `count` rows of a Grid, evenly spaced from 0 to T."""
    return evenly_spaced(count, num_train_timesteps + 1)


class Animated(FromXt):
    """The frames of an animation, decoded a few in one batch."""

    @property
    @abstractmethod
    def mixes(self) -> tuple[float, ...]:
        """The place of each frame, from 0 to 1."""

    @property
    def batch(self) -> int:
        """The number of frames that are decoded together."""
        return min(MORPH_BATCH, len(self.mixes))

    @property
    def batches(self) -> int:
        """The number of batches."""
        return -(-len(self.mixes) // MORPH_BATCH)

    def num_steps(self, num_train_timesteps: int) -> int:
        """Count the network steps of all batches."""
        return super().num_steps(num_train_timesteps) * self.batches


class Morph(PairExperiment, Animated):
    """An animation over lambda at a fixed t."""

    experiment: Literal["morph"] = "morph"
    t: MixT = 500
    frames: Frames = 16
    share_noise: ShareNoise = True

    def starts(self, num_train_timesteps: int) -> tuple[int, ...]:
        """Return `t`, once."""
        return (self.t,)

    @property
    def mixes(self) -> tuple[float, ...]:
        """The lambda of each frame."""
        return tuple(i / (self.frames - 1) for i in range(self.frames))


class SeedMorph(Animated):
    """An animation over the arc between two x_T: those of the seeds `run.seed` and `second`."""

    experiment: Literal["seed_morph"] = "seed_morph"
    second: Seed
    frames: Frames = 16

    def starts(self, num_train_timesteps: int) -> tuple[int, ...]:
        """Return T, once."""
        return (num_train_timesteps,)

    @property
    def mixes(self) -> tuple[float, ...]:
        """The place of each frame on the arc, from 0 to 1."""
        return tuple(i / (self.frames - 1) for i in range(self.frames))


AnyExperiment = Annotated[
    ForwardStrip
    | Chain
    | PosteriorStep
    | Denoising
    | Mixing
    | Grid
    | Morph
    | SeedMorph
    | BoundRequest
    | Sheet,
    Field(discriminator="experiment"),
]
_ANY: Final[TypeAdapter[AnyExperiment]] = TypeAdapter(AnyExperiment)


def parse_experiment(text: str | bytes) -> AnyExperiment:
    """Read the experiment, of whichever kind, that a JSON text describes.

    Raises:
        RecipeError: If the text is no experiment, is broken, or has values out of range.
    """
    Experiment.require_short(text)
    try:
        return _ANY.validate_json(text)
    except ValidationError as error:
        raise Experiment.fault(error) from error


def read_experiment(file: bytes | BinaryIO) -> AnyExperiment:
    """Read the experiment in a PNG file's text.

    Raises:
        RecipeError: If the file is no PNG, or has no usable experiment in it.
    """
    return parse_experiment(png_text(file, Experiment.png_key))
