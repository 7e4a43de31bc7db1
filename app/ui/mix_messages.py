"""What is said to the instruments of the Mix tab; assets/lab_mix.js reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from app.service.laboratory.experiments import Morph, SeedMorph
from app.service.laboratory.mixtures import GridResult
from app.service.laboratory.sheets import mix_label
from app.ui.lab_messages import Material, png_uri
from app.ui.messages import Message
from app.ui.sheets import Pixels, frame_sheet

WAYS: Final = ("from A to B", "between two seeds")
"""What the page calls a Morph and a SeedMorph."""


@dataclass(frozen=True)
class PairMaterial(Message):
    """Enough to mix two pictures at every t, lambda and rule; `key` names their choice."""

    kind: ClassVar[str] = "pair"
    key: str
    first: Material
    second: Material


@dataclass(frozen=True)
class GridRow(Message):
    """One row's cells but for the sources, on one sheet: on the way, or finished."""

    kind: ClassVar[str] = "row"
    run: str
    row: int
    src: str
    finished: bool
    words: str


@dataclass(frozen=True)
class GridStart(Message):
    """A new grid: a box for every cell, the two sources in theirs.

    Attributes:
        run: Its name; later messages repeat it.
        columns: Headings, HTML written here.
        rows: What stands before each row, HTML likewise.
        tile: A picture's width and height.
        first: The first source, a PNG.
        second: The second.
        words: How long it will take.
        live: Whether it is under way.
        parts: Of a stored grid, its rows.
    """

    kind: ClassVar[str] = "grid"
    run: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    tile: tuple[int, int]
    first: str
    second: str
    words: str
    live: bool = True
    parts: tuple[GridRow, ...] = ()


@dataclass(frozen=True)
class MorphPart(Message):
    """A few frames on one sheet, from `first` on: on the way, or finished."""

    kind: ClassVar[str] = "part"
    run: str
    first: int
    src: str
    finished: bool
    words: str


@dataclass(frozen=True)
class MorphStart(Message):
    """A new morph: a box for every frame.

    Attributes:
        run: Its name; later messages repeat it.
        labels: What stands under each frame.
        tile: A picture's width and height.
        ends: What the slider's ends are called.
        words: How long it will take.
        live: Whether it is under way.
        parts: Of a stored morph, its frames.
    """

    kind: ClassVar[str] = "morph"
    run: str
    labels: tuple[str, ...]
    tile: tuple[int, int]
    ends: tuple[str, str]
    words: str
    live: bool = True
    parts: tuple[MorphPart, ...] = ()


@dataclass(frozen=True)
class Finish(Message):
    """The end of a grid or a morph."""

    kind: ClassVar[str] = "end"
    run: str
    words: str


def grid_start(run: str, result: GridResult, words: str, *, live: bool = True) -> GridStart:
    """The message that `result`, still without its rows, begins with."""
    between = [f"{_unsaid('λ = ')}{mix_label(mix)}" for mix in result.experiment.mixes[1:-1]]
    height, width = result.first.shape[:2]
    return GridStart(
        run=run,
        columns=("A", "A again", *between, "B again", "B"),
        rows=tuple(f"{_unsaid('t = ')}{t}" for t in result.experiment.rows),
        tile=(width, height),
        first=png_uri(result.first),
        second=png_uri(result.second),
        words=words,
        live=live,
    )


def morph_start(
    run: str, morph: Morph | SeedMorph, pictures: Pixels, words: str, *, live: bool = True
) -> MorphStart:
    """The message that a morph of `pictures` (n, H, W, 3) begins with."""
    height, width = pictures.shape[1:3]
    seeds = isinstance(morph, SeedMorph)
    return MorphStart(
        run=run,
        labels=tuple(mix_label(mix) for mix in morph.mixes),
        tile=(width, height),
        ends=(f"seed {morph.run.seed}", f"seed {morph.second}") if seeds else ("A", "B"),
        words=words,
        live=live,
    )


def _unsaid(words: str) -> str:
    """What goes without saying where there is no room for it."""
    return f'<span class="lab-unsaid">{words}</span>'


def row_sheet(pictures: Pixels | Sequence[Pixels], *, finished: bool) -> str:
    """Pictures (H, W, 3) side by side; a finished row is kept better than one under way."""
    return frame_sheet([np.stack(list(pictures))], 92 if finished else 75)
