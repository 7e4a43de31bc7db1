"""What is said to the Train tab's instruments; assets/train*.js reads it.

A page says what it has seen, and gets what is new. Names are plain text; the page escapes them.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal, Self

import gradio as gr
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import StudioError
from app.service.jobs.curves import Curves, Point
from app.ui.messages import Message

Ask = Literal[
    "stop", "resume", "extend", "keep", "unkeep", "rename", "delete", "paint", "download", "compare"
]  # fmt: skip


class _FromPage(BaseModel):
    """What a page sends, of which nothing is taken for granted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def of(cls, event: gr.EventData) -> Self:
        """Read an event.

        Raises:
            StudioError: If it is none of the tab's.
        """
        try:
            return cls.model_validate(event._data)
        except ValidationError as error:
            raise StudioError(
                "The page sent a request that can't be read.", "Reload the page."
            ) from error


class Seen(_FromPage):
    """What a page shows already: the marks of the newest parts that it got.

    Attributes:
        listing: The mark of its list of jobs.
        job: The job that it shows in full; empty for the newest.
        detail: The mark of what it knows of that one.
        curves: The mark of its curves.
        samples: The steps of the sample grids that it has.
        log: The mark of its log; None while that is folded away.
    """

    listing: str = Field(default="", max_length=64)
    job: str = Field(default="", max_length=64)
    detail: str = Field(default="", max_length=64)
    curves: str = Field(default="", max_length=64)
    samples: tuple[int, ...] = Field(default=(), max_length=200, strict=False)
    log: str | None = Field(default=None, max_length=64)


class Wish(_FromPage):
    """What a person asks of a job.

    Attributes:
        ask: What is to be done.
        job: To which.
        name: For "rename".
        steps: For "extend".
        step: For "paint" and "download": the model after so many steps; None is the newest.
        seen: What the page shows.
    """

    ask: Ask
    job: str = Field(max_length=64)
    name: str = Field(default="", max_length=1000)
    steps: int = Field(default=0, ge=0, le=10_000_000)
    step: int | None = Field(default=None, ge=0, le=10_000_000_000)
    seen: Seen = Seen()


@dataclass(frozen=True)
class JobLine:
    """A job in the list.

    Attributes:
        id: Its id.
        name: What its owner calls it.
        state: Where it is.
        words: How far: "step 37 of 200 · 14.2 pictures/s · 1 min left".
        share: The same, from 0 to 1.
        may: What can be asked of it now.
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
    """What jobs and uploads take on the disk, in words, and which jobs are old."""

    words: str
    old: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Detail:
    """What the list doesn't say of the chosen job.

    Attributes:
        mark: Changes with it.
        fault: Why it failed, and what to do.
        facts: Its settings, by name.
        first_sample: The step at which it paints first.
    """

    mark: str
    fault: str
    facts: tuple[tuple[str, str], ...]
    first_sample: int


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

    @cached_property
    def json(self) -> str:
        """They as the browser reads them; made once for all pages that look at the job."""
        return json.dumps(vars(self), separators=(",", ":"))

    @classmethod
    def of(cls, curves: Curves, mark: str) -> Self:
        """As a page takes them."""
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
    """Sample grids that the page hasn't, and the steps of all that it should show.

    Attributes:
        tile: The side of each picture in a grid, in pixels.
    """

    tile: int
    steps: tuple[int, ...]
    new: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Log:
    """The end of the log."""

    mark: str
    text: str


@dataclass(frozen=True)
class News(Message):
    """What a page hasn't seen yet; what is None is as it was.

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

    def to_json(self) -> str:
        """The message as the browser reads it."""
        if self.curves is None:
            return super().to_json()
        rest = replace(self, curves=None).to_json()
        # Of two members of the same name the browser takes the last.
        return f'{rest[:-1]},"curves":{self.curves.json}}}'


@dataclass(frozen=True)
class ShownSet(Message):
    """A set of pictures as it will be trained on; without pictures, none is chosen.

    Attributes:
        words: How many, in words.
        sheet: The first of them as a JPEG, `columns` to a row.
        names: The person's name of each on the sheet.
        skipped: What was left out, and why.
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
