"""The bound's terms while they come in, sent to the page a few times a second."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final
from uuid import uuid4

from app.laboratory.bound import BoundLab
from app.laboratory.bound_results import BoundMoment, BoundResult, StepWeights, Unit
from app.laboratory.experiments import BoundRequest
from app.painting.film import ReplayStep
from app.ui.components.films import MessagePace, Told, duration
from app.ui.components.layout import STORED, counted
from app.ui.components.messages import Finish, Message

YIELD_SECONDS: Final = 1 / 4

NUMBERS: Final = (
    *("bpd", "bpd_error", "eps_mse", "rate", "distortion"),
    *("prior", "vb", "decoder", "total", "total_error"),
)
Row = tuple[int | float | str | None, ...]
"""One term of one line, in the order of KEYS in assets/bound/bound.js."""


@dataclass(frozen=True)
class Line:
    """A picture under a model: its name, its colour, its dash."""

    name: str
    model: str
    subject: str
    colour: int
    dash: int


@dataclass(frozen=True)
class BoundStart(Message):
    """A new bound, or a stored one with its `rows`."""

    kind: ClassVar[str] = "bound"
    run: str
    lines: tuple[Line, ...]
    T: int
    weights: StepWeights
    words: str
    unit: Unit
    live: bool = True
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Terms(Message):
    """The terms since the last message."""

    kind: ClassVar[str] = "terms"
    run: str
    rows: tuple[Row, ...]
    words: str


def rows_of(moment: BoundMoment, first: int) -> tuple[Row, ...]:
    """Make a row for each subject of a moment; `first` is the line of the first subject."""
    about = (moment.kind, moment.t, moment.weight)
    return tuple(
        (first + i, *about, *(_short(getattr(subject, name)) for name in NUMBERS))
        for i, subject in enumerate(moment.subjects)
    )


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def tell_bound(lab: BoundLab, wish: Callable[[], BoundRequest]) -> Iterator[Told[BoundResult]]:
    """Compute the bound that `wish` asks for; yield messages and the result so far."""
    run, name, pace = lab.complete(wish()), uuid4().hex, MessagePace(YIELD_SECONDS)
    it, total = run.request, lab.network_steps(run.request)
    done, waiting = 0, list[Row]()
    for result in lab.bounds.stream(run):
        if isinstance(result, ReplayStep):
            done += 1
            continue
        moment, model = result.latest, len(result.moments) - 1
        if moment is None:
            pictures = len(it.subjects) * it.draws
            words = f"{counted(total, 'network step')} of {counted(pictures, 'picture')} each"
            yield bound_start(name, result, words), result
            continue
        done += moment.kind != "prior"
        waiting += rows_of(moment, model * len(it.subjects))
        if moment.index == moment.total or pace.due:
            words = (
                f"{it.each[model].model} · term {moment.index} of {moment.total} · t = {moment.t} "
                f"· {duration(pace.left(done, total))} left"
            )
            yield Terms(name, tuple(waiting), words), result
            waiting = []
            pace.told()
    yield Finish(name, f"finished in {duration(pace.seconds)}"), None


def bound_start(run: str, result: BoundResult, words: str) -> BoundStart:
    """Return the message that `result` begins with; a kept result is shown by it alone."""
    each = result.experiment.each
    subjects = each[0].subjects
    rows = (
        row
        for model, moments in enumerate(result.moments)
        for moment in moments
        for row in rows_of(moment, model * len(subjects))
    )
    # Colours tell pictures apart, dashes models.
    lines = (
        Line(it.name, each[it.model].model, subjects[it.subject].name, it.subject, it.model)
        for it in result.lines
    )
    return BoundStart(
        run=run,
        lines=tuple(lines),
        T=result.length,
        weights=_thinned(result.weights),
        words=words,
        unit=result.unit,
        live=run != STORED,
        rows=tuple(rows),
    )


def _thinned(weights: StepWeights) -> StepWeights:
    """Thin the weights to what a plot can show."""
    at = range(0, len(weights.t), max(1, len(weights.t) // 150))
    vlb = (float(f"{weights.vlb[i]:.4g}") for i in at)
    return StepWeights(tuple(weights.t[i] for i in at), tuple(vlb))
