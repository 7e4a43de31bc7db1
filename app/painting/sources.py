"""The pictures that experiments start from, painted or uploaded, as the model sees them."""

from collections.abc import Generator
from typing import Self, TypeVar

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from app.images.arrays import Pixels
from app.images.pixels import to_unit
from app.images.reading import Fit, square
from app.models.files import ModelInfo
from app.models.loading import LoadedModel
from app.painting.canvas import UPLOAD_SIDE, decoded, encoded
from app.painting.film import Film, ReplayStep
from app.painting.painter import Painter
from app.painting.recipe import MAX_SOURCE, Recipe


class ExperimentPart(BaseModel):
    """A part of an experiment."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PictureSource(ExperimentPart):
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
        """Make a source of `image`, a square RGB picture.

        Raises:
            PictureError: If `image` isn't square, or has too many pixels to travel in a recipe.
        """
        return cls(pixels=encoded(image))

    @classmethod
    def squared(cls, upload: Image.Image, size: int, fit: Fit) -> Self:
        """Make a source of `upload` for a model of `size` pixels, squared to 256 pixels at most.

        Raises:
            PictureError: If there is no such `fit`.
        """
        return cls.of(square(upload, min(size, UPLOAD_SIDE), fit))


Value = TypeVar("Value")
Replaying = Generator[ReplayStep, None, Value]
"""A stream with a ReplayStep for each step of painting a source; it returns the value asked for."""


class Sources:
    """Finds the pictures that sources mean; what was painted lately isn't painted again."""

    def __init__(self, painter: Painter) -> None:
        self._painter = painter

    def x_0(self, source: PictureSource, model: LoadedModel) -> Replaying[Tensor]:
        """Return what the model diffuses of the picture, (1, C, H, W) float32.

        That is its latent, or the picture of 256 levels in [-1, 1], of the model's size.

        Raises:
            PictureError: If the source's pixels can't be read.
            ModelError, RecipeError: As `Runs.stream` does.
        """
        pixels = yield from self.pixels(source, model.info)
        return model.encode(to_unit(pixels[None], model.info.channels))

    def pixels(self, source: PictureSource, info: ModelInfo) -> Replaying[Pixels]:
        """Return the picture as (H, W, 3) uint8 of the model's size, grey where the model is."""
        if source.painted is None:
            image = decoded(source.pixels or "")
        else:
            image = Image.fromarray((yield from self._painted(source.painted.small)))
        if image.width != info.size:
            image = square(image, info.size)
        if info.channels == 1:
            image = image.convert("L").convert("RGB")
        return np.asarray(image)

    def network_steps(self, *sources: PictureSource) -> int:
        """Count the network steps of painting those of `sources` that aren't remembered."""
        recipes = {s.painted.small.for_picture(0) for s in sources if s.painted is not None}
        new = (r for r in recipes if self._remembered(r) is None)
        return sum(self._painter.network_steps(recipe) for recipe in new)

    def _painted(self, recipe: Recipe) -> Replaying[Pixels]:
        film = self._remembered(recipe)
        if film is None:
            steps = self._painter.network_steps(recipe)
            for step, _ in enumerate(self._painter.films.stream(recipe), start=1):
                if step <= steps:  # the finished painting takes no step
                    yield ReplayStep(step, steps)
            film = self._painter.films.result(recipe)
        pixels: Pixels = film[-1].x_t[recipe.picture]
        return pixels

    def _remembered(self, recipe: Recipe) -> Film | None:
        films = self._painter.films
        film = films.remembered(recipe)
        return films.remembered(films.complete(recipe)) if film is None else film
