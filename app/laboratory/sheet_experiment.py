"""The same seed side by side: a sheet over two settings of a recipe, and their values."""

from collections.abc import Sequence
from typing import Any, Final, Literal, Self, get_args

from pydantic import Field, ValidationError, model_validator

from app.diffusion.samplers.registry import SAMPLER_KINDS
from app.documents import in_words
from app.errors import RecipeError
from app.fields import kinds, whole
from app.laboratory.experiment import Experiment
from app.laboratory.fields import Weights
from app.painting.recipe import STEP_FIELDS, Recipe
from app.painting.sources import ExperimentPart

Setting = Literal["sampler", "steps", "guidance_scale", "label", "eta", "stage_noise", "model"]
SETTINGS: Final[tuple[Setting, ...]] = get_args(Setting)

MAX_VALUES: Final = 8

AxisValue = int | float | str

_WORDS: Final[dict[str, str]] = {
    "steps": "{} steps",
    "guidance_scale": "guidance {}",
    "eta": "eta {}",
    "stage_noise": "noise to t = {}",
}

_MATTERS: Final = {
    "eta": "of all samplers only ddim and dpm-solver-eta use it",
    "guidance_scale": "only a class is guided to, and there is none",
    "stage_noise": "the pictures have no second stage",
}


class SheetAxis(ExperimentPart):
    """A setting, and its value in each row, or in each column, of a sheet.

    Attributes:
        setting: The recipe's field.
        values: Its values, in order; a class by number or name.
        weights: Where the values are models, the sha256 of each one's weights; empty where a
            person wrote the sheet.
    """

    setting: Setting
    values: tuple[AxisValue, ...] = Field(min_length=1, max_length=MAX_VALUES)
    weights: tuple[Weights, ...] = ()

    @model_validator(mode="after")
    def _has_values_of_the_setting(self) -> Self:
        for value in self.values:
            try:
                Recipe.model_validate({"model": "any", self.setting: value})
            except ValidationError as error:
                what, hint = in_words(error)
                raise RecipeError(
                    f"A sheet can't have {value!r} as a value of {self.setting}: {what}.", hint
                ) from error
        if len(set(self.values)) < len(self.values):
            twice = next(value for value in self.values if self.values.count(value) > 1)
            raise ValueError(f"{self.setting} is {twice!r} twice")
        if self.weights and (self.setting != "model" or len(self.weights) != len(self.values)):
            raise ValueError("weights are those of each model, in order")
        return self

    @classmethod
    def written(cls, setting: str, text: str) -> Self:
        """Read an axis as people write it: "steps", and "10, 25, 50".

        Raises:
            RecipeError: As `of` does.
        """
        return cls.of(setting, [word.strip() for word in text.split(",") if word.strip()])

    @classmethod
    def of(cls, setting: str, values: Sequence[Any]) -> Self:
        """Make an axis of values, or of the words for them.

        Raises:
            RecipeError: If there is no such setting, there are no values or too many, or one isn't
                the setting's.
        """
        if setting not in SETTINGS:
            raise RecipeError(
                f"A sheet has no setting {setting!r}.", f"Choose one of: {', '.join(SETTINGS)}."
            )
        read = tuple(_value(setting, whole(value)) for value in values)
        if not 0 < len(read) <= MAX_VALUES:
            raise RecipeError(
                f"{len(read)} values of {setting} are {'too many' if read else 'too few'}.",
                f"Name from 1 to {MAX_VALUES}, with commas between them.",
            )
        try:
            return cls.model_validate({"setting": setting, "values": read})
        except ValidationError as error:
            what, hint = in_words(error)
            raise RecipeError(f"A sheet can't be painted: {what}.", hint) from error

    def label(self, value: AxisValue) -> str:
        """Say a value as a heading does: "50 steps"."""
        if self.setting == "sampler" and value in SAMPLER_KINDS:
            return SAMPLER_KINDS[str(value)].label
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        return _WORDS.get(self.setting, "{}").format(shown)


class Sheet(Experiment):
    """One seed's picture in every cell: a setting differs from row to row, another by column.

    Attributes:
        run: What all cells have in common, one picture; the axes' own settings in it don't matter,
            and where those say how steps are taken, neither does a list of its steps.
        rows: The setting of the rows.
        columns: The setting of the columns.
    """

    experiment: Literal["sheet"] = "sheet"
    run: Recipe
    rows: SheetAxis
    columns: SheetAxis

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.run.parent or self.run.source:
            raise ValueError("run: a sheet begins in noise, not in a branch or a picture")
        if self.run.pictures > 1:
            raise ValueError("run: a cell of a sheet has one picture")
        if self.rows.setting == self.columns.setting:
            raise ValueError(f"{self.rows.setting} can't be both in the rows and in the columns")
        if idle := [axis.setting for axis in (self.rows, self.columns) if not self._matters(axis)]:
            raise ValueError(f"{idle[0]} changes nothing here: {_MATTERS[idle[0]]}")
        return self

    def _matters(self, axis: SheetAxis) -> bool:
        match axis.setting:
            case "eta":
                used = (SAMPLER_KINDS.get(cell.sampler) for cell in self.cells)
                return any(kind is None or kind.uses_eta for kind in used)
            case "guidance_scale":
                return any(cell.label is not None for cell in self.cells)
            case "stage_noise":
                return self.run.size is not None
            case _:
                return True

    @property
    def cells(self) -> tuple[Recipe, ...]:
        """The recipe of each cell, row by row."""
        axes = {self.rows.setting, self.columns.setting}
        common = self.run.model_dump() | ({"weights": ""} if "model" in axes else {})
        if axes & {"sampler", "steps", "eta"}:
            common |= dict.fromkeys(STEP_FIELDS)
        return tuple(
            Recipe.checked(common | {self.rows.setting: row, self.columns.setting: column})
            for row in self.rows.values
            for column in self.columns.values
        )


def _value(setting: str, value: object) -> object:
    """Read a word as the number that it is, where the setting takes one."""
    if not isinstance(value, str):
        return value
    numbers = [kind for kind in kinds(Recipe.model_fields[setting]) if kind in (int, float)]
    try:
        return whole(numbers[0](value)) if numbers else value
    except ValueError as error:
        if setting == "label":
            return value  # a name
        raise RecipeError(
            f"{value!r} is no value of {setting}.", "Write numbers, with commas between them."
        ) from error
