"""The examples that the page opens with: runs of the bundled model, painted once and kept.

Each stage of a run leaves a PNG with its recipe inside, and a film: one JPEG sheet with the kept
moments from left to right and x_t, x_0_hat and eps_hat from top to bottom.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.errors import StudioError
from app.files import read_json
from app.painting.recipe import Recipe, read_recipe

INDEX: Final = "index.json"


@dataclass(frozen=True)
class FilmMoment:
    """One moment of a film without its pictures; the attributes are those of `Moment`."""

    index: int
    t: int
    signal: float
    snr_db: float | None


@dataclass(frozen=True)
class Example:
    """One finished run.

    Attributes:
        name: The name of the finished picture's files without their ending.
        total: The number of steps of all stages.
        moments: The moments in the films, from left to right.
        nearest: The training painting that the picture comes nearest to, in words.
        folder: Where the files are.
    """

    name: str
    total: int
    moments: tuple[FilmMoment, ...]
    nearest: str
    folder: Path

    @property
    def path(self) -> Path:
        """The file of the finished picture."""
        return self.folder / f"{self.name}.png"

    @property
    def png(self) -> bytes:
        """The finished picture, a PNG with its recipe inside."""
        return self.path.read_bytes()

    @property
    def small_name(self) -> str:
        """The name of the first stage's files; without a second stage, `name`."""
        return self.recipe.small.file_name

    @property
    def small_path(self) -> Path:
        """The file of what the first stage painted."""
        return self.folder / f"{self.small_name}.png"

    @property
    def films(self) -> tuple[bytes, ...]:
        """The sheet of each stage's moments, a JPEG."""
        names = dict.fromkeys((self.small_name, self.name))
        return tuple((self.folder / f"{name}.jpg").read_bytes() for name in names)

    @property
    def second(self) -> int | None:
        """The index at which the second stage begins; None where there is none."""
        return self.recipe.steps + 1 if self.recipe.size else None

    @property
    def recipe(self) -> Recipe:
        """The recipe that painted the picture."""
        return read_recipe(self.png)


def load_examples(folder: Path) -> tuple[Example, ...]:
    """Load the examples in `folder`, in their order; none where there is no index.

    Raises:
        StudioError: If the index can't be read.
    """
    index = folder / INDEX
    if not index.exists():
        return ()
    try:
        return tuple(
            Example(
                **entry | {"moments": tuple(FilmMoment(**m) for m in entry["moments"])},
                folder=folder,
            )
            for entry in read_json(index)
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StudioError(f"{index.name} can't be read.", "Run make showcase.") from error
