"""The messages to the Train tab's instruments, which the scripts of assets/train read.

A page says what it has seen, and gets what is new. Names are plain text; the page escapes them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from pydantic import Field

from app.jobs.curves import Point, TrainingCurves
from app.ui.components.messages import Message
from app.ui.components.player import FromPage

Ask = Literal[
    "stop", "resume", "extend", "keep", "unkeep", "rename", "delete",
    "paint", "download", "compare", "enlarge", "curves",
]  # fmt: skip


class Seen(FromPage):
    """The parts that a page shows already, by the marks of the newest that it got.

    Attributes:
        listing: The mark of the page's list of jobs.
        job: The job that the page shows in full; empty for the newest.
        detail: The mark of that job's details.
        curves: The mark of that job's curves.
        samples: The steps of the sample grids that the page has.
        log: The mark of that job's log; None while the log is folded away.
    """

    listing: str = Field(default="", max_length=64)
    job: str = Field(default="", max_length=64)
    detail: str = Field(default="", max_length=64)
    curves: str = Field(default="", max_length=64)
    samples: tuple[int, ...] = Field(default=(), max_length=200, strict=False)
    log: str | None = Field(default=None, max_length=64)


class Wish(FromPage):
    """A person's request about a job.

    Attributes:
        ask: What is to be done.
        job: The job's id.
        name: The new name, for "rename".
        steps: How many steps more, for "extend".
        step: For "paint" and "download": the model after so many steps; None is the newest. For
            "enlarge": the samples after so many.
        picture: For "enlarge": which of the samples, from 0.
        seen: What the page shows.
    """

    ask: Ask
    job: str = Field(max_length=64)
    name: str = Field(default="", max_length=1000)
    steps: int = Field(default=0, ge=0, le=10_000_000)
    step: int | None = Field(default=None, ge=0, le=10_000_000_000)
    picture: int = Field(default=0, ge=0, lt=1000)
    seen: Seen = Seen()


@dataclass(frozen=True)
class JobLine:
    """A job in the list.

    Attributes:
        id: The job's id.
        name: What its owner calls it.
        state: The job's state.
        words: How far the job is: "step 37 of 200 · 14.2 pictures/s · 1 min left".
        share: The share of the steps that are done, from 0 to 1.
        may: What can be asked of the job now.
        models: The steps whose models are kept, the newest last.
    """

    id: str
    name: str
    state: str
    words: str
    share: float
    may: tuple[Ask, ...]
    models: tuple[int, ...]


@dataclass(frozen=True)
class Room:
    """The room that jobs and uploads take on the disk, in words, and the jobs that are old."""

    words: str
    old: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Detail:
    """The details of the chosen job that the list doesn't show.

    Attributes:
        mark: Changes with the details.
        fault: Why the job failed, and what to do.
        facts: The job's settings, by name.
        first_sample: The step at which the job first paints samples.
        no_likeness: Why its samples can't be compared with its pictures; empty if they can.
    """

    mark: str
    fault: str
    facts: tuple[tuple[str, str], ...]
    first_sample: int
    no_likeness: str = ""


Line = tuple[tuple[int, ...], tuple[float, ...]]
"""Steps, and a value at each."""


@dataclass(frozen=True)
class CurveLines:
    """The chosen job's curves, each of at most 500 points."""

    mark: str
    loss: Line
    smoothed: Line
    held_out: tuple[tuple[str, Line], ...]
    quarters: tuple[Line, ...]
    turned_up: bool

    @classmethod
    def of(cls, curves: TrainingCurves, mark: str) -> Self:
        """Turn a job's curves into lines for the page, without values that aren't finite."""
        return cls(
            mark=mark,
            loss=_line(curves.loss),
            smoothed=_line(curves.smoothed),
            held_out=tuple((name, _line(points)) for name, points in curves.held_out.items()),
            quarters=tuple(_line(points) for points in curves.held_out_by_quarter),
            turned_up=curves.turned_up,
        )


@dataclass(frozen=True)
class SampleGrids:
    """Sample grids that the page hasn't got, and the steps of all that it should show.

    Attributes:
        tile: The side of each picture in a grid, in pixels.
        enlarges: Whether there is a second stage for the pictures.
    """

    tile: int
    enlarges: bool
    steps: tuple[int, ...]
    new: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Log:
    """The end of the log."""

    mark: str
    text: str


@dataclass(frozen=True)
class News(Message):
    """The parts that a page hasn't seen yet; a part that is None hasn't changed.

    Attributes:
        job: The job that the parts below `room` are about.
        listing: The mark of `jobs` and `room`.
        choose: Whether the page is to turn to `job`, whatever it shows.
    """

    kind: ClassVar[str] = "news"
    job: str
    listing: str | None = None
    jobs: tuple[JobLine, ...] | None = None
    room: Room | None = None
    detail: Detail | None = None
    curves: CurveLines | None = None
    samples: SampleGrids | None = None
    log: Log | None = None
    choose: bool = False


@dataclass(frozen=True)
class ShownSet(Message):
    """A set of pictures as it will be trained on; without pictures, none is chosen.

    Attributes:
        words: How many pictures there are, and how they were squared, in words.
        sheet: The first pictures as a JPEG, `columns` to a row.
        names: The person's name for each picture on the sheet.
        skipped: The files that were left out, and why.
    """

    kind: ClassVar[str] = "set"
    words: str = ""
    sheet: str = ""
    columns: int = 1
    names: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


def _line(points: Sequence[Point]) -> Line:
    finite = [point for point in points if math.isfinite(point.value)]
    return tuple(p.step for p in finite), tuple(float(f"{p.value:.4g}") for p in finite)
