"""What all experiments are made of: JSON that says how to do one again.

Like a painting's recipe an experiment travels in a PNG's text and comes back from a page, so
types are strict, numbers bounded and unknown fields refused. Timesteps are the paper's, 0
(clean) to T.
"""

import base64
import io
from typing import Annotated, ClassVar, Final, Literal, Self

from PIL import Image
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.diffusion.noise import MAX_SEED
from app.diffusion.schedule import MAX_T, BetaSchedule, NoiseSchedule
from app.errors import PictureError, RecipeError
from app.service.recipe import Document, Recipe
from app.service.uploads import Fit, square

MAX_SOURCE: Final = 400_000
"""Base64 characters of a source: a photograph of 256 x 256 pixels as a PNG has about 200,000."""
UPLOAD_SIDE: Final = 256
"""An upload is kept at this size at most; the laboratory brings it to the model's."""
MAX_EXPERIMENT: Final = 4_000_000

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


def _noised(t: int) -> int:
    if t == 0:
        raise ValueError("at t = 0 the picture has no noise to take away; move t to 1 or more")
    return t


PaperT = Annotated[int, Field(ge=0, le=MAX_T)]
StartT = Annotated[PaperT, AfterValidator(_noised)]
"""A t that a step leads back from."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Beta = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class Part(BaseModel):
    """A part of an experiment."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Source(Part):
    """A picture that something is done to: one painted by a recipe, or the pixels themselves.

    Attributes:
        painted: Its recipe.
        pixels: A square PNG, base64: an upload, at the size the model sees. The recipe of what
            is made from it then repeats without the upload.
    """

    painted: Recipe | None = None
    pixels: str | None = Field(default=None, max_length=MAX_SOURCE)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.painted is None) == (self.pixels is None):
            raise ValueError("a source is either painted or has pixels")
        return self

    @classmethod
    def of(cls, image: Image.Image) -> Self:
        """The source that `image`, a square RGB picture, is.

        Raises:
            PictureError: If it is not square, or has too many pixels to travel in a recipe.
        """
        if image.width != image.height:
            raise PictureError("The picture isn't square.", "Crop or squash it first.")
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "png", optimize=True)
        text = base64.b64encode(buffer.getvalue()).decode()
        if len(text) > MAX_SOURCE:
            raise PictureError(
                f"The picture of {image.width} x {image.height} pixels is too large.",
                "Square it to at most 256 x 256.",
            )
        return cls(pixels=text)

    @classmethod
    def squared(cls, upload: Image.Image, size: int, fit: Fit) -> Self:
        """The source that `upload` is to a model of `size` pixels; it travels at 256 at most.

        Raises:
            PictureError: If there is no such `fit`.
        """
        return cls.of(square(upload, min(size, UPLOAD_SIDE), fit))


class ScheduleChoice(Part):
    """A noise schedule; `cosine` has no beta range and ignores the two ends."""

    name: BetaSchedule = "linear"
    beta_start: Beta = 1e-4
    beta_end: Beta = 0.02

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.beta_start > self.beta_end:
            raise ValueError("beta_start is larger than beta_end")
        return self

    def of_length(self, num_train_timesteps: int) -> NoiseSchedule:
        """The schedule itself, T long.

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


class Experiment(Document):
    """What all experiments have in common."""

    png_key: ClassVar[str] = "plein-air-laboratory"
    max_json: ClassVar[int] = MAX_EXPERIMENT
    called: ClassVar[str] = "experiment"

    format: Literal["plein-air-laboratory/1"] = "plein-air-laboratory/1"

    def to_json(self) -> str:
        """All that was chosen; None too, for where it isn't the default it says something."""
        return self.model_dump_json()


class FromXt(Experiment):
    """An experiment that ends with a reverse process started from some x_t.

    Attributes:
        run: The reverse process, as in a painting's recipe: model, sampler, eta, precision and
            the seed of what the sampler draws. `steps` is counted over the whole way from T; a
            run from t takes its share of them. `pictures` is how many variations there are.
    """

    run: Recipe

    @model_validator(mode="after")
    def _starts_anywhere(self) -> Self:
        if self.run.parent:
            raise ValueError("run: a run from x_t can't be a branch")
        if self.run.spacing == "leading":
            raise ValueError("run: leading spacing doesn't start at t; choose trailing or linspace")
        return self

    def starts(self, num_train_timesteps: int) -> tuple[int, ...]:
        """The paper's t from which each of its reverse processes runs, for a model of this T."""
        raise NotImplementedError
