"""What a finished run leaves: a PNG, a film strip and an animation for each picture."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from app.service.moments import Moment
from app.service.painting import Painter
from app.service.pictures import (
    AnimationFormat,
    Pixels,
    animation,
    evenly_spaced,
    film_strip,
    png_bytes,
)
from app.service.recipe import Recipe, file_stem

STRIP_PICTURES: Final = 10


@dataclass(frozen=True, eq=False)
class Result:
    """One finished picture and the film of how it came about.

    Attributes:
        recipe: Says how to paint it again, and which picture of the batch it is.
        film: The kept moments of the whole batch's run, noise first.
    """

    recipe: Recipe
    film: tuple[Moment, ...]

    @property
    def name(self) -> str:
        """A file name without its ending: "impressionist-64-ddim-50-seed-42"."""
        recipe = self.recipe
        branch = f"-from-{recipe.parent.seed}-{recipe.frame}" if recipe.parent else ""
        seed = recipe.seed + recipe.picture
        return f"{file_stem(recipe.model)}-{recipe.sampler}-{recipe.steps}-seed-{seed}{branch}"

    @property
    def pixels(self) -> Pixels:
        """The finished picture, (H, W, 3) uint8."""
        return np.asarray(self.film[-1].x_t[self.recipe.picture])

    def png(self) -> bytes:
        """The picture at its own size, with its recipe inside."""
        return png_bytes(Image.fromarray(self.pixels), self.recipe)

    def strip(self) -> bytes:
        """A PNG of ten evenly spaced moments, from noise to painting, with t under each."""
        moments = [self.film[i] for i in evenly_spaced(STRIP_PICTURES, len(self.film))]
        captions = [f"t = {moment.t}" for moment in moments]
        strip = film_strip([moment.x_t[self.recipe.picture] for moment in moments], captions)
        return png_bytes(strip, self.recipe)

    def animation(self, form: AnimationFormat) -> bytes:
        """The run as a moving picture."""
        return animation([moment.x_t[self.recipe.picture] for moment in self.film], form)


def results(painter: Painter, recipe: Recipe) -> tuple[Result, ...]:
    """The pictures of a run; it is painted first where it hasn't been lately.

    Raises:
        ModelError, RecipeError: As `Painter.paint` does.
    """
    film = painter.film(recipe)
    return tuple(Result(recipe.about(i), film) for i in range(recipe.pictures))
