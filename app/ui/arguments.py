"""The arguments of the public API: what each means and may be, said once for all endpoints.

The ranges are those that the service checks; here they are only said.
"""

from dataclasses import fields
from typing import Annotated, Any, Final, Literal

import gradio as gr
from pydantic import Field

from app.diffusion import bound, mixing, reverse, samplers
from app.diffusion.noise import MAX_SEED
from app.diffusion.schedule import MAX_T, BetaSchedule
from app.service import recipe, uploads
from app.service.jobs import plan
from app.service.laboratory.experiments import MAX_BETWEEN, MAX_ROWS, MAX_STRIP
from app.service.painting import SAMPLER_KINDS
from app.service.recipe import MAX_GUIDANCE, MAX_PICTURES, MAX_STEPS

_PICTURE: Final = "an uploaded PNG, JPEG, WebP, GIF, BMP or TIFF of at most 30 MB."
_T: Final = "The paper's timestep, from 0 (clean) to T (noise)"
_LABEL: Final = "The class, counted from 0, of a model that has classes; null for one without."
_LATEST: Final = 99_999
_SETTINGS: Final = tuple(field.name for field in fields(plan.Plan))

Json = dict[str, Any]

Picture = Annotated[gr.FileData, Field(description=f"The picture: {_PICTURE}")]
First = Annotated[gr.FileData, Field(description=f"What lambda = 0 gives back: {_PICTURE}")]
Second = Annotated[gr.FileData, Field(description=f"What lambda = 1 gives back: {_PICTURE}")]
Model = Annotated[
    str,
    Field(
        description="A model's id, as `models` lists it; ID-STEP for a training's, after one of "
        "its `model_steps`."
    ),
]
Fit = Annotated[
    uploads.Fit,
    Field(description="How a picture becomes square: cut to its middle, or squashed."),
]
Sampler = Annotated[
    str,
    Field(description="The rule of each step.", json_schema_extra={"enum": [*SAMPLER_KINDS]}),
]
Steps = Annotated[int, Field(ge=1, le=MAX_STEPS, description="Network steps from T to 0.")]
ShareOfSteps = Annotated[
    int,
    Field(ge=1, le=MAX_STEPS, description="Network steps from T to 0; a run from t takes a share."),
]
Spacing = Annotated[reverse.Spacing, Field(description="How the steps lie in 0 to T.")]
Eta = Annotated[
    float, Field(ge=0, le=1, description="0 is DDIM, 1 is DDPM; only the sampler ddim uses it.")
]
Clip = Annotated[
    bool, Field(description="Keep the estimate of the clean picture in the range of pictures.")
]
Seed = Annotated[
    int, Field(ge=0, le=MAX_SEED, description="All noise derives from it; picture i adds i.")
]
Count = Annotated[
    int, Field(ge=1, le=MAX_PICTURES, description="How many pictures, painted in one batch.")
]
Precision = Annotated[
    recipe.Precision,
    Field(
        description="exact: float32, within 1/255 the same everywhere; "
        "fast: bfloat16 where it is quicker."
    ),
]
Label = Annotated[int | None, Field(ge=0, le=_LATEST, description=_LABEL)]
Guidance = Annotated[
    float, Field(ge=1, le=MAX_GUIDANCE, description="How hard the class pulls; 1 is no guidance.")
]
FreeT = Annotated[int, Field(ge=0, le=MAX_T, description=f"{_T}, at which to mix.")]
NoisedT = Annotated[int, Field(ge=1, le=MAX_T, description=f"{_T}, at which to begin.")]
Schedule = Annotated[
    BetaSchedule | None,
    Field(description="Another noise schedule than the model's; null is the model's."),
]
BetaStart = Annotated[
    float, Field(gt=0, lt=1, description="Where `schedule` begins, in (0, 1); cosine ignores it.")
]
BetaEnd = Annotated[
    float, Field(gt=0, lt=1, description="Where `schedule` ends, in (0, 1); cosine ignores it.")
]
Rule = Annotated[mixing.MixingRule, Field(description="How two x_t are mixed.")]
Mix = Annotated[
    float, Field(ge=0, le=1, description="lambda: 0 is the first picture, 1 the second.")
]
Rows = Annotated[
    list[Annotated[int, Field(ge=0, le=MAX_T)]] | None,
    Field(
        min_length=1,
        max_length=MAX_ROWS,
        description=f"The t of each row, at most {MAX_ROWS}; null is nine from 0 to T.",
    ),
]
Between = Annotated[
    int, Field(ge=1, le=MAX_BETWEEN, description="How many lambdas lie between 0 and 1.")
]
Frames = Annotated[int, Field(ge=2, le=MAX_STRIP, description="Frames, both ends included.")]
ShareNoise = Annotated[
    bool, Field(description="All pictures draw the same noise on their way back.")
]
Variance = Annotated[
    samplers.Variance, Field(description="Of p(x_{t-1} | x_t); learned where the model learned it.")
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
Moments = Annotated[
    int, Field(ge=2, le=MAX_STRIP, description="How many evenly spaced t, 0 and T among them.")
]
Fresh = Annotated[
    bool, Field(description="Each moment draws noise of its own, instead of one for all.")
]
Kind = Annotated[
    Literal["picture", "shuffled"],
    Field(description="The picture, or the same pixels in another order."),
]
Terms = Annotated[
    int | None,
    Field(ge=2, le=MAX_T, description="How many of the steps are evaluated; null is all T."),
]
Draws = Annotated[
    int, Field(ge=1, le=64, description="Noise draws for each step; from two on there is an error.")
]
FixedVariance = Annotated[bound.FixedVariance, Field(description="Of p(x_{t-1} | x_t).")]
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
