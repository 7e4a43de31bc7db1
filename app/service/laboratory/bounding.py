"""What the Bound laboratory is asked for: pictures, models, and how their bound is computed."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from app.diffusion.samplers import Variance
from app.diffusion.schedule import MAX_T
from app.errors import RecipeError
from app.service.laboratory.experiment import Experiment, Part, Seed, Source
from app.service.recipe import ModelName, Precision

MAX_SUBJECTS: Final = 8
MAX_NOISED: Final = 64
MAX_COMPARED: Final = 2

Weights = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]


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


class Compared(Part):
    """Another model whose bound of the same pictures stands beside: what it has of its own."""

    model: ModelName
    weights: Weights = ""
    variance: Variance = "fixed_small"
    label: int | None = Field(default=None, ge=0, lt=100_000)


class Bounding(Experiment):
    """The bound of one or several pictures under one model, and which others it is compared with.

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
        compared: Other models; each draws the same noise.
    """

    experiment: Literal["bounding"] = "bounding"
    model: ModelName
    weights: Weights = ""
    subjects: tuple[Subject, ...] = Field(min_length=1, max_length=MAX_SUBJECTS)
    variance: Variance = "fixed_small"
    clip: bool = True
    terms: int | None = Field(default=50, ge=2, le=MAX_T)
    draws: int = Field(default=2, ge=1, le=64)
    seed: Seed = 0
    precision: Precision = "exact"
    label: int | None = Field(default=None, ge=0, lt=100_000)
    compared: tuple[Compared, ...] = Field(default=(), max_length=MAX_COMPARED)

    @property
    def each(self) -> "tuple[Bounding, ...]":
        """A bound for each model by itself, in order."""
        first = self.model_copy(update={"compared": ()})
        others = (first.model_copy(update=dict(other)) for other in self.compared)
        return (first, *others)

    @classmethod
    def joined(cls, each: "Sequence[Bounding]") -> "Bounding":
        """The first of bounds that differ in their models alone, compared with the others.

        Raises:
            RecipeError: If there are too many.
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
