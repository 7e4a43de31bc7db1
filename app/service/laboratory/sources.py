"""The pictures that experiments start from, painted or uploaded, as the model sees them."""

import base64
import binascii
import io
from collections.abc import Generator
from typing import Final, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.errors import PictureError
from app.service.laboratory.experiment import Source
from app.service.models import ModelInfo
from app.service.moments import Retrace
from app.service.painting import Painter
from app.service.pictures import Pixels
from app.service.recipe import Recipe
from app.service.uploads import read_picture

MAX_SOURCE_SIDE: Final = 1024

Value = TypeVar("Value")
Painting = Generator[Retrace, None, Value]
"""A Retrace for each step of painting what is asked for, which is returned."""


class Sources:
    """Finds the pictures that sources mean; what was painted lately isn't painted again."""

    def __init__(self, painter: Painter) -> None:
        self._painter = painter

    def x_0(self, source: Source, info: ModelInfo) -> Painting[Tensor]:
        """The picture as (1, C, H, W) float32 of 256 levels in [-1, 1], of the model's size.

        Raises:
            PictureError: If its pixels can't be read.
            ModelError, RecipeError: As `Painter.paint` does.
        """
        pixels = yield from self.pixels(source, info)
        picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
        if info.channels == 1:
            picture = picture[:, :1]
        return picture.float() / 127.5 - 1

    def pixels(self, source: Source, info: ModelInfo) -> Painting[Pixels]:
        """The same as (H, W, 3) uint8, grey where the model is."""
        if source.painted is None:
            image = decoded(source.pixels or "")
        else:
            image = Image.fromarray((yield from self._painted(source.painted)))
        if image.width != info.size:
            image = image.resize((info.size, info.size), Image.Resampling.LANCZOS)
        if info.channels == 1:
            image = image.convert("L").convert("RGB")
        return np.asarray(image)

    def network_steps(self, *sources: Source) -> int:
        """The network's steps that painting those of `sources` takes that aren't remembered."""
        recipes = {s.painted.about(0) for s in sources if s.painted is not None}
        new = (r for r in recipes if self._painter.remembered(r) is None)
        return sum(self._painter.network_steps(recipe) for recipe in new)

    def _painted(self, recipe: Recipe) -> Painting[Pixels]:
        film = self._painter.remembered(recipe)
        if film is None:
            self._painter.complete(recipe)  # it came with an experiment, from anywhere
            steps = self._painter.network_steps(recipe)
            for step, _ in enumerate(self._painter.paint(recipe), start=1):
                if step <= steps:  # the finished painting takes no step
                    yield Retrace(step, steps)
            film = self._painter.film(recipe)
        pixels: Pixels = film[-1].x_t[recipe.picture]
        return pixels


def at_once(painting: Painting[Value]) -> Value:
    """What `painting` returns, for callers that have nobody to tell of its steps."""
    while True:
        try:
            next(painting)
        except StopIteration as end:
            value: Value = end.value
            return value


def decoded(text: str) -> Image.Image:
    """A source's pixels, as they travel in a recipe.

    Raises:
        PictureError: If they are damaged, or no square.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise PictureError("A source's pixels are damaged.", "Upload the picture again.") from error
    image = read_picture(io.BytesIO(data), max_side=MAX_SOURCE_SIDE)
    if image.width != image.height:
        raise PictureError("A source isn't square.", "Crop or squash the picture first.")
    return image
