"""Grids and morphs while they are painted, sent to the instruments of assets/mix/mix.js."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeVar
from uuid import uuid4

from app.diffusion.samplers.registry import SAMPLER_KINDS
from app.images.arrays import Pixels
from app.images.encoding import png_uri
from app.images.sheets import mix_label
from app.laboratory.experiments import Grid, Morph, SeedMorph
from app.laboratory.mix import GridResult, MixItem, MixLab, MixMoment, MorphResult
from app.models.files import ModelInfo
from app.painting.runs import LoadedRun, Runs
from app.ui.components.films import MessagePace, Told, duration, frame_sheet, summary
from app.ui.components.layout import STORED, counted
from app.ui.components.messages import Finish, ForwardMessage, Message


@dataclass(frozen=True)
class PairMaterial(Message):
    """Enough to mix two pictures at every t, lambda and rule; `key` names their choice."""

    kind: ClassVar[str] = "pair"
    key: str
    first: ForwardMessage
    second: ForwardMessage


@dataclass(frozen=True)
class MixPart(Message):
    """One row's cells except the sources, or a few frames, on one sheet.

    Attributes:
        place: The row's, or the first frame's.
        tile: A picture's width and height in pixels.
    """

    kind: ClassVar[str] = "part"
    run: str
    place: int
    tile: tuple[int, int]
    src: str
    finished: bool
    words: str

    @classmethod
    def of(
        cls, run: str, place: int, pictures: Pixels, finished: bool = True, words: str = ""
    ) -> Self:
        """Join pictures (n, H, W, 3) side by side, as a JPEG that is better for finished ones."""
        height, width = pictures.shape[1:3]
        sheet = frame_sheet([pictures], 92 if finished else 75)
        return cls(run, place, (width, height), sheet, finished, words)


@dataclass(frozen=True, kw_only=True)
class MixStart(Message):
    """A new grid or morph: a box for every picture.

    Attributes:
        run: The run's name; later messages repeat it.
        words: How long the run will take.
        live: Whether the run is under way.
        enlarges: Whether a second stage can still be asked for.
        parts: The pictures of a stored run.
    """

    run: str
    words: str
    live: bool = True
    enlarges: bool = False
    parts: tuple[MixPart, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GridStart(MixStart):
    """A new grid, the two sources in their boxes.

    Attributes:
        columns: Headings, HTML written here.
        rows: The heading of each row, HTML likewise.
        first: The first source, a PNG.
        second: The second source, a PNG.
    """

    kind: ClassVar[str] = "grid"
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    first: str
    second: str


@dataclass(frozen=True, kw_only=True)
class MorphStart(MixStart):
    """A new morph.

    Attributes:
        labels: The label under each frame.
        ends: The names of the slider's ends.
    """

    kind: ClassVar[str] = "morph"
    labels: tuple[str, ...]
    ends: tuple[str, str]


def grid_start(run: str, result: GridResult, enlarges: bool, words: str = "") -> GridStart:
    """Return the message that a grid begins with, and the rows that `result` has.

    Of a latent model a row of mixed pixels stands over the others.
    """
    above = [] if result.mixed_pixels is None else [result.mixed_pixels]
    between = [f"{_unsaid('λ = ')}{mix_label(mix)}" for mix in result.experiment.mixes[1:-1]]
    return GridStart(
        run=run,
        columns=("A", "A again", *between, "B again", "B"),
        rows=(
            *("pixels" for _ in above),
            *(f"{_unsaid('t = ')}{t}" for t in result.experiment.rows),
        ),
        first=png_uri(result.first),
        second=png_uri(result.second),
        words=words or summary(result.experiment.run),
        live=run != STORED,
        enlarges=enlarges,
        parts=tuple(
            MixPart.of(run, place, row)
            for place, row in enumerate((*above, *result.rows))
            if row is not None
        ),
    )


def morph_start(
    run: str, morph: Morph | SeedMorph, enlarges: bool, words: str = "", kept: Pixels | None = None
) -> MorphStart:
    """Return the message that a morph begins with; a `kept` one has all frames (n, H, W, 3)."""
    seeds = isinstance(morph, SeedMorph)
    return MorphStart(
        run=run,
        labels=tuple(mix_label(mix) for mix in morph.mixes),
        ends=(f"seed {morph.run.seed}", f"seed {morph.second}") if seeds else ("A", "B"),
        words=words or summary(morph.run),
        live=kept is None,
        enlarges=enlarges,
        parts=() if kept is None else (MixPart.of(run, 0, kept),),
    )


def _unsaid(words: str) -> str:
    """Mark words, as HTML, that the page leaves out where there is no room for them."""
    return f'<span class="lab-unsaid">{words}</span>'


YIELD_SECONDS: Final = 1 / 5

Asked = TypeVar("Asked", Grid, Morph | SeedMorph)
Whole = TypeVar("Whole", GridResult, MorphResult)


def tell_mix(
    lab: MixLab,
    runs: Runs[Asked, MixItem | Whole, Whole],
    wish: Callable[[], Asked],
    enlarges: Callable[[ModelInfo], bool],
) -> Iterator[Told[Whole]]:
    """Paint a grid or a morph: its boxes, its rows or frames as they come, its end.

    Args:
        lab: Does it.
        runs: Those of its kind.
        wish: Says what to paint.
        enlarges: Tells whether there is a second stage for a model's pictures.
    """
    run = lab.complete(wish())
    it, words, info = run.request, estimate_words(lab, run), run.model.info
    steps, taken = it.num_steps(info.num_train_timesteps) + it.later_steps, 0
    more = not it.run.size and enlarges(info)
    result: Whole | None = None
    name, pace, begun, above = uuid4().hex, MessagePace(YIELD_SECONDS), False, 0
    for item in runs.stream(run):
        if isinstance(item, GridResult | MorphResult):
            result = item
        match it, item:
            case Grid(), GridResult() if not begun:
                yield grid_start(name, item, more, words), result
                begun, above = True, int(item.mixed_pixels is not None)
            case Morph() | SeedMorph(), MixMoment() if not begun:
                yield morph_start(name, it, more, words), result
                begun = True
        if not isinstance(item, MixMoment):
            continue
        taken += not item.finished
        if item.finished or pace.due:
            where = [f"step {item.step} of {steps}"]
            where += [f"t = {it.rows[item.place]}"] if isinstance(it, Grid) else []
            left = pace.left(taken, taken + steps - item.step)
            where += [f"{duration(left)} left"] if taken else []
            where_words = " · ".join(where)
            place = item.place + above
            yield MixPart.of(name, place, item.pictures, item.finished, where_words), result
            pace.told()
    sampler = SAMPLER_KINDS[it.run.sampler].label
    yield Finish(name, f"finished in {duration(pace.seconds)} · {sampler}"), result


def estimate_words(lab: MixLab, run: LoadedRun[Grid | Morph | SeedMorph]) -> str:
    """Say how long a run will take: "63 pictures · 900 network steps · about 3 min 20 s"."""
    it, estimate = run.request, lab.estimate(run)
    pictures = len(it.mixes) * (len(it.rows) if isinstance(it, Grid) else 1)
    return (
        f"{counted(pictures, 'picture')} · {counted(estimate.network_steps, 'network step')} · "
        f"about {duration(estimate.seconds)}"
    )
