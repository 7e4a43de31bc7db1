"""The fields of experiments, bounds and words said once; timesteps are the paper's, 0 to T."""

from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, model_validator

from app.diffusion.mixing import MixingRule
from app.diffusion.schedule import MAX_T, BetaSchedule, NoiseSchedule
from app.diffusion.variance import VarianceName
from app.errors import RecipeError
from app.fields import Control, UpToT
from app.painting.recipe import MAX_PICTURES
from app.painting.sources import ExperimentPart

MAX_STRIP: Final = 64

MAX_BETWEEN: Final = MAX_PICTURES - 2


Weights = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]

NOTHING_TO_DO: Final = "at t = 0 the picture has no noise to take away; move t to 1 or more"


def _noised(t: object) -> object:
    if t == 0:
        raise ValueError(NOTHING_TO_DO)
    return t


_T: Final = "The paper's timestep, from 0 (clean) to T (noise)"

PaperT = Annotated[int, Field(ge=0, le=MAX_T)]
MixT = Annotated[PaperT, UpToT(), Field(description=f"{_T}, at which to mix.")]
StartT = Annotated[
    int,
    Field(ge=1, le=MAX_T, description=f"{_T}, at which to begin."),
    BeforeValidator(_noised),
    UpToT(),
]
"""A t that a step leads back from."""
DenoisingT = Annotated[PaperT, UpToT(), Field(description=f"{_T}, at which to begin.")]

_Beta = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
BetaStart = Annotated[
    _Beta, Field(description="Where `schedule` begins, in (0, 1); cosine ignores it.")
]
BetaEnd = Annotated[
    _Beta, Field(description="Where `schedule` ends, in (0, 1); cosine ignores it.")
]
Moments = Annotated[
    int,
    Field(ge=2, le=MAX_STRIP, description="How many evenly spaced t, 0 and T among them."),
    Control("pictures"),
]
Fresh = Annotated[
    bool,
    Field(description="Each moment draws noise of its own, instead of one for all."),
    Control("fresh noise at every t"),
]
Rule = Annotated[MixingRule, Field(description="How two x_t are mixed."), Control("mixing rule")]
Mix = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="lambda: 0 is the first picture, 1 the second.",
    ),
    Control("\u03bb"),
]
Between = Annotated[
    int,
    Field(ge=1, le=MAX_BETWEEN, description="How many lambdas lie between 0 and 1."),
    Control("\u03bb between A and B", says=False),
]
Frames = Annotated[
    int, Field(ge=2, le=MAX_STRIP, description="Frames, both ends included."), Control(says=False)
]
ShareNoise = Annotated[
    bool,
    Field(description="All pictures draw the same noise on their way back."),
    Control("one noise on the way back for all", says=False),
]
HowVaried = Annotated[
    VarianceName,
    Field(description="Of p(x_{t-1} | x_t); learned or analytic where the model has it."),
    Control("variance of a step", says=False),
]


class ScheduleChoice(ExperimentPart):
    """A noise schedule; `cosine` has no beta range and ignores the two ends."""

    name: BetaSchedule = "linear"
    beta_start: BetaStart = 1e-4
    beta_end: BetaEnd = 0.02

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.beta_start > self.beta_end:
            raise ValueError("beta_start is larger than beta_end")
        return self

    def of_length(self, num_train_timesteps: int) -> NoiseSchedule:
        """Build the schedule, T long.

        Raises:
            RecipeError: If float64 can't hold what so many steps of such betas leave of a picture.
        """
        try:
            return NoiseSchedule.named(
                self.name, num_train_timesteps, self.beta_start, self.beta_end
            )
        except ValueError as error:
            raise RecipeError(
                f"{num_train_timesteps} {self.name} steps can't have betas from "
                f"{self.beta_start:g} to {self.beta_end:g}: a picture would be gone before the "
                "last, or never begin to go.",
                "Choose betas nearer to the paper's, 0.0001 to 0.02.",
            ) from error
