"""The arguments of the public API that are no fields of a recipe or an experiment.

The ranges are those that the service checks; here they are only described.
"""

from dataclasses import fields
from typing import Annotated, Any, Final, Literal

import gradio as gr
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

from app.diffusion import variance
from app.diffusion.schedule import BetaSchedule
from app.fields import Fields
from app.images import reading
from app.jobs import plan
from app.laboratory.experiments import MAX_ROWS
from app.laboratory.fields import BetaEnd, BetaStart, PaperT
from app.laboratory.sheet_experiment import MAX_VALUES, AxisValue, Setting
from app.painting import recipe

_PICTURE: Final = "an uploaded PNG, JPEG, WebP, GIF, BMP or TIFF of at most 30 MB."
_SETTINGS: Final = tuple(field.name for field in fields(plan.TrainingPlan))

Json = dict[str, Any]


def argument(it: FieldInfo, words: str) -> Any:
    """Return the type of a field's argument; the service checks how texts are spelled."""
    said = Field(description=words, json_schema_extra=it.json_schema_extra)
    bounds = [each for each in it.metadata if isinstance(each, Ge | Gt | Le | Lt)]
    return Annotated[it.annotation, said, *bounds]


Picture = Annotated[gr.FileData, Field(description=f"The picture: {_PICTURE}")]
First = Annotated[gr.FileData, Field(description=f"What lambda = 0 gives back: {_PICTURE}")]
Second = Annotated[gr.FileData, Field(description=f"What lambda = 1 gives back: {_PICTURE}")]
Model = Annotated[str, Fields(recipe.Recipe, ("model",))]
Fit = Annotated[
    reading.Fit,
    Field(description="How a picture becomes square: cut to its middle, or squashed."),
]
Rows = Annotated[
    list[PaperT] | None,
    Field(
        min_length=1,
        max_length=MAX_ROWS,
        description=f"The t of each row, at most {MAX_ROWS}; null is nine from 0 to T.",
    ),
]
RowSetting = Annotated[Setting, Field(description="The setting that differs from row to row.")]
ColumnSetting = Annotated[
    Setting, Field(description="The setting that differs from column to column.")
]
AxisValues = Annotated[
    list[AxisValue],
    Field(
        min_length=1,
        max_length=MAX_VALUES,
        description=f"Its values, at most {MAX_VALUES}; a class by number or name.",
    ),
]
Preset = Annotated[plan.Preset, Field(description="200, 10,000 or 40,000 steps, with what fits.")]
Set = Annotated[str, Field(description="A set's id, as `upload_pictures` returned it.")]
Job = Annotated[str, Field(description="A training's id, as `start_training` returned it.")]
ModelStep = Annotated[
    int | None,
    Field(ge=0, description="One of the training's `model_steps`; null is the newest."),
]
Recipe = Annotated[str, Field(description="A recipe: its JSON as one string.")]
Painted = Annotated[gr.FileData, Field(description="An uploaded PNG that was painted here.")]
FixedVariance = Annotated[variance.FixedVariance, Field(description="Of p(x_{t-1} | x_t).")]
Files = Annotated[
    list[gr.FileData], Field(description="Uploaded pictures, or zips of them, of at most 2 GB.")
]
Classes = Annotated[bool, Field(description="A zip's folders are the pictures' classes.")]
Name = Annotated[str, Field(description="What the training is called.")]
Changes = Annotated[
    Json | None,
    Field(description=f"Settings that differ from the preset's: {', '.join(_SETTINGS)}."),
]
MoreSteps = Annotated[int, Field(ge=1, description="How many steps more.")]


class Shown(BaseModel):
    """How a picture is shown to a model: fields of several calls, and of no experiment."""

    model: recipe.ModelName
    fit: Fit = "crop"
    kind: Literal["picture", "shuffled"] = Field(
        default="picture", description="The picture, or the same pixels in another order."
    )
    schedule: BetaSchedule | None = Field(
        default=None, description="Another noise schedule than the model's; null is the model's."
    )
    beta_start: BetaStart = 1e-4
    beta_end: BetaEnd = 0.02


class Held(BaseModel):
    """The picture that a painting starts from: fields of a call, of which a recipe is made."""

    source: gr.FileData | None = Field(
        default=None,
        description=f"A picture to start from, with `start_t` or a `mask`: {_PICTURE}",
    )
    mask: gr.FileData | None = Field(
        default=None,
        description="Of the source's size: white where that is painted anew, black where every "
        "pixel stays.",
    )
    sketch: bool = Field(
        default=False, description="The source is a sketch: its strokes are softened a little."
    )
    fit: Fit = "crop"
