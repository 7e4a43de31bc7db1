"""The bound's terms while they come in, told to the page a few times a second."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final
from uuid import uuid4

from app.service.laboratory.bound import BoundLab
from app.service.laboratory.bound_result import BoundResult
from app.service.laboratory.bounding import Bounding
from app.service.laboratory.bounds import BoundMoment, StepWeights, SubjectBound
from app.service.moments import Retrace
from app.ui.messages import Message
from app.ui.mix_messages import Finish
from app.ui.mix_stream import duration
from app.ui.stream import failure

YIELD_SECONDS: Final = 1 / 4

Row = tuple[int | float | str | None, ...]
"""One term of one line, in the order of KEYS in assets/lab_bound.js."""

BoundTold = tuple[Message, BoundResult | None]


@dataclass(frozen=True)
class Line:
    """A picture under a model: its name, its colour, its dash."""

    name: str
    model: str
    subject: str
    colour: int
    dash: int


@dataclass(frozen=True)
class Weights:
    """What L_vlb multiplies each step's eps error by."""

    t: tuple[int, ...]
    vlb: tuple[float, ...]

    @classmethod
    def of(cls, weights: StepWeights) -> "Weights":
        """Thinned to what a plot can show."""
        at = range(0, len(weights.t), max(1, len(weights.t) // 150))
        return cls(
            tuple(weights.t[i] for i in at), tuple(float(f"{weights.vlb[i]:.4g}") for i in at)
        )


@dataclass(frozen=True)
class BoundStart(Message):
    """A new bound, or a stored one with its `rows`."""

    kind: ClassVar[str] = "bound"
    run: str
    lines: tuple[Line, ...]
    T: int
    weights: Weights
    words: str
    live: bool = True
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Terms(Message):
    """The terms since the last message."""

    kind: ClassVar[str] = "terms"
    run: str
    rows: tuple[Row, ...]
    words: str


def lines_of(wishes: Sequence[Bounding]) -> tuple[Line, ...]:
    """A line for each model and picture: colours tell pictures apart, dashes models."""
    several = len(wishes) > 1
    return tuple(
        Line(
            name=f"{subject.name}, {wish.model}" if several else subject.name,
            model=wish.model,
            subject=subject.name,
            colour=colour,
            dash=dash,
        )
        for dash, wish in enumerate(wishes)
        for colour, subject in enumerate(wish.subjects)
    )


def rows_of(moment: BoundMoment, first: int) -> tuple[Row, ...]:
    """One row for each subject of a moment; `first` is the line of the first of them."""
    return tuple(_row(moment, s, first + i) for i, s in enumerate(moment.subjects))


def _row(moment: BoundMoment, s: SubjectBound, line: int) -> Row:
    numbers = (s.bpd, s.bpd_error, s.eps_mse, s.rate, s.distortion)
    totals = (s.prior, s.vb, s.decoder, s.total, s.total_error)
    return (line, moment.kind, moment.t, moment.weight, *map(_short, (*numbers, *totals)))


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


@dataclass
class _Run:
    """How far a run over several models is."""

    steps: int
    name: str = field(default_factory=lambda: uuid4().hex)
    began: float = field(default_factory=time.monotonic)
    done: int = 0

    def words(self, moment: BoundMoment, model: str) -> str:
        left = (time.monotonic() - self.began) / max(1, self.done) * (self.steps - self.done)
        return (
            f"{model} · term {moment.index} of {moment.total} · t = {moment.t} · "
            f"{duration(left)} left"
        )


def tell_bound(
    lab: BoundLab, wish: Callable[[], Sequence[Bounding]]
) -> Generator[BoundTold, None, None]:
    """Compute the bounds that are wished for, one model after the other; and what has come."""
    try:
        wishes = [lab.complete(bounding) for bounding in wish()]
        yield from _told(lab, wishes)
    except Exception as error:
        yield failure(error), None


def _told(lab: BoundLab, wishes: Sequence[Bounding]) -> Iterator[BoundTold]:
    run = _Run(sum(lab.network_steps(w) for w in wishes))
    result = lab.started(Bounding.joined(wishes))
    words = f"{run.steps} network steps of {pictures_of(wishes[0])} pictures each"
    yield bound_start(run.name, result, words), result
    first, due = 0, 0.0
    for wish in wishes:
        before = result.moments
        waiting: list[Row] = []
        moments: list[BoundMoment] = []
        for item in lab.bound(wish):
            run.done += 1
            if isinstance(item, Retrace):
                continue
            moments.append(item)
            waiting += rows_of(item, first)
            if item.kind == "decoder" or time.monotonic() >= due:
                result = replace(result, moments=(*before, tuple(moments)))
                yield Terms(run.name, tuple(waiting), run.words(item, wish.model)), result
                waiting, due = [], time.monotonic() + YIELD_SECONDS
        first += len(wish.subjects)
    yield Finish(run.name, f"finished in {duration(time.monotonic() - run.began)}"), result


def bound_start(run: str, result: BoundResult, words: str, *, live: bool = True) -> BoundStart:
    """The message that `result` begins with; a stored one is shown by it alone."""
    subjects = len(result.experiment.subjects)
    rows = (
        row
        for model, moments in enumerate(result.moments)
        for moment in moments
        for row in rows_of(moment, model * subjects)
    )
    return BoundStart(
        run=run,
        lines=lines_of(result.experiment.each),
        T=result.length,
        weights=Weights.of(result.weights),
        words=words,
        live=live,
        rows=tuple(rows),
    )


def pictures_of(bounding: Bounding) -> int:
    """How many noised pictures go through the network at each step."""
    return len(bounding.subjects) * bounding.draws
