"""The examples that the page opens with: runs of the bundled model, painted once and kept.

Each is a PNG with its recipe inside, and a film: one JPEG sheet with the kept moments from
left to right and x_t, x_0_hat and eps_hat from top to bottom.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from app.errors import StudioError
from app.service.moments import Moment
from app.service.novelty import Novelty
from app.service.painting import Painter
from app.service.pictures import Pixels, evenly_spaced, read_recipe
from app.service.recipe import Recipe
from app.service.results import Result, results

FILM_MOMENTS: Final = 33
INDEX: Final = "index.json"


@dataclass(frozen=True)
class FilmMoment:
    """What is known of one moment of a film besides its pictures; as in `Moment`."""

    index: int
    t: int
    signal: float
    snr_db: float | None


@dataclass(frozen=True)
class Example:
    """One finished run.

    Attributes:
        name: Its files' name without their ending.
        total: The number of steps.
        moments: What lies in the film, from left to right.
        nearest: Which training painting it comes nearest to, in words.
        folder: Where its files are.
    """

    name: str
    total: int
    moments: tuple[FilmMoment, ...]
    nearest: str
    folder: Path

    @property
    def png(self) -> bytes:
        """The finished picture, a PNG with its recipe inside."""
        return (self.folder / f"{self.name}.png").read_bytes()

    @property
    def film(self) -> bytes:
        """The sheet of moments, a JPEG."""
        return (self.folder / f"{self.name}.jpg").read_bytes()

    @property
    def tile(self) -> tuple[int, int]:
        """Its pictures' width and height."""
        with Image.open(self.folder / f"{self.name}.png") as image:
            return image.size

    @property
    def recipe(self) -> Recipe:
        """How it was painted."""
        return read_recipe(self.png)


def load_examples(folder: Path) -> tuple[Example, ...]:
    """The examples in `folder`, in their order; none where there is no index.

    Raises:
        StudioError: If the index can't be read.
    """
    index = folder / INDEX
    if not index.exists():
        return ()
    try:
        return tuple(
            Example(
                entry["name"],
                entry["total"],
                tuple(FilmMoment(**moment) for moment in entry["moments"]),
                entry["nearest"],
                folder,
            )
            for entry in json.loads(index.read_text(encoding="utf-8"))
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StudioError(f"{index.name} can't be read.", "Run make showcase.") from error


def save_examples(
    painter: Painter, novelty: Novelty, recipes: Sequence[Recipe], folder: Path
) -> None:
    """Paint `recipes`, one picture each, and put them into `folder` instead of what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    painted = [results(painter, painter.complete(recipe))[0] for recipe in recipes]
    for old in folder.iterdir():
        old.unlink()
    examples = [_save(result, novelty, folder) for result in painted]
    entries = [{name: vars(e)[name] for name in vars(e) if name != "folder"} for e in examples]
    text = json.dumps(entries, default=asdict, indent=1, ensure_ascii=False)
    (folder / INDEX).write_text(text + "\n", encoding="utf-8")


def _save(result: Result, novelty: Novelty, folder: Path) -> Example:
    moments = [result.film[i] for i in evenly_spaced(FILM_MOMENTS, len(result.film))]
    (folder / f"{result.name}.png").write_bytes(result.png())
    sheet = Image.fromarray(film_sheet(moments, result.recipe.picture))
    sheet.save(folder / f"{result.name}.jpg", quality=75, subsampling=0)
    said = tuple(
        FilmMoment(m.index, m.t, round(m.signal, 6), round(m.snr_db, 2) if m.t else None)
        for m in moments
    )
    nearest = novelty.in_words(result.recipe.model, result.pixels[None])[0]
    return Example(result.name, result.recipe.steps, said, nearest, folder)


def film_sheet(moments: Sequence[Moment], picture: int) -> Pixels:
    """(3 H, n W, 3) uint8: moments from left to right, x_t, x_0_hat, eps_hat from top to bottom.

    The last moment has no eps_hat; its place shows the last prediction there was.
    """
    last = next(m.eps_hat for m in reversed(moments) if m.eps_hat is not None)
    columns = [
        np.concatenate(
            [view[picture] for view in (m.x_t, m.x_0_hat, last if m.eps_hat is None else m.eps_hat)]
        )
        for m in moments
    ]
    return np.concatenate(columns, axis=1)
