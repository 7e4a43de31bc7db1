"""Runs as messages to the page, sent a few times a second."""

import io
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Generic, TypeVar
from uuid import uuid4
from zipfile import ZipFile

import gradio as gr
import numpy as np
from gradio.events import Dependency

from app.diffusion.samplers.registry import SAMPLER_KINDS
from app.diffusion.schedule import paper_t
from app.errors import RecipeError
from app.images.arrays import Pixels
from app.images.encoding import data_uri, jpeg_uri, png_bytes
from app.images.pixels import joined
from app.images.video import mp4
from app.laboratory.experiments import Denoising, Mixing
from app.models.files import ModelInfo
from app.models.loading import LoadedModel
from app.painting.film import FilmResult, Films, Moment, ReplayStep, kept_moments
from app.painting.recipe import Filmed, Recipe
from app.painting.runs import LoadedRun
from app.ui.callers import finish
from app.ui.components.instrument import BrowserComponent
from app.ui.components.layout import counted, restarted
from app.ui.components.messages import (
    LATENT_VIEWS,
    VIEWS,
    Download,
    End,
    Failure,
    FinishedPicture,
    Frames,
    Message,
    PlayerFrame,
    Progress,
    Start,
    Waiting,
)
from app.ui.components.player import PlayerEvent
from app.ui.errors import errors_to_page, explained

YIELD_SECONDS: Final = 1 / 10

GREY: Final = 128

BLOCK: Final = 8
"""The side of JPEG's blocks; a tile that isn't a multiple is padded, lest neighbours bleed in."""

Clock = Callable[[], float]
Item = TypeVar("Item")
Shown = TypeVar("Shown", bound=Filmed)
Result = TypeVar("Result")
Told = tuple[Message, Result | None]
"""A message to the page, and the result that can be saved so far."""


def run_name(recipe: Recipe) -> str:
    """Name a run by its recipe, which the page sends back, and a random part that is unique.

    The name of a run that starts from a picture has no recipe, which is sent beside it.
    """
    return f"{_link(recipe)}.{uuid4().hex[:8]}"


def _link(recipe: Recipe) -> str:
    return "" if recipe.root.source else recipe.to_link()


def run_key(run: str) -> str:
    """Return the part of a run's name by which a browser keeps it."""
    return run.rpartition(".")[2]


def recipe_of(run: str, recipe: str = "") -> Recipe:
    """Read the recipe in a run's name, or beside it, as warily as a link's: it is the browser's.

    Raises:
        RecipeError: If there is no recipe.
    """
    if recipe:
        return Recipe.from_json(recipe)
    return Recipe.from_link(run.partition(".")[0])


class LatestRun:
    """The newest run of each page, known by Gradio's session hash; safe between threads."""

    def __init__(self) -> None:
        self._newest: dict[str, object] = {}

    def follow(
        self, request: gr.Request, run: Generator[Item, None, None]
    ) -> Generator[Item, None, None]:
        """Yield what `run` yields until it ends, is closed, or another run of the page begins."""
        page = str(request.session_hash)
        self._newest[page] = run
        try:
            for message in run:
                if self._newest.get(page) is not run:
                    return
                yield message
        finally:
            run.close()
            if self._newest.get(page) is run:
                del self._newest[page]


class MessagePace:
    """The pace of a run's messages to a page, so often at most; and the time that the run takes."""

    def __init__(self, seconds: float = YIELD_SECONDS, clock: Clock = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._due, self._began = 0.0, clock()

    @property
    def due(self) -> bool:
        """Tell whether a message is due."""
        return self._clock() >= self._due

    def told(self) -> None:
        """Begin the wait for the next message, once the page has taken this one."""
        self._due = self._clock() + self._seconds

    @property
    def seconds(self) -> float:
        """The seconds since the run began."""
        return self._clock() - self._began

    def left(self, done: int, total: int) -> float:
        """Estimate the seconds that a run still takes, when `done` of `total` steps are done."""
        return self.seconds / max(1, done) * max(0, total - done)


@dataclass
class RunMessages:
    """The messages of one run, which gather its frames between two yields and are numbered."""

    title: str
    pictures: int
    tile: tuple[int, int]
    steps: int
    T: int = 1000
    second: int | None = None
    small: tuple[int, int] | None = None
    enlarges: bool = False
    picture: int = 0
    source: str = ""
    recipe: str = ""
    views: tuple[str, ...] = VIEWS
    run: str = field(default_factory=lambda: uuid4().hex)
    _seq: int = 0
    _waiting: list[PlayerFrame] = field(default_factory=list)

    def start(self) -> Start:
        """Return the first message."""
        about = (self.run, self.title, self.pictures, self.tile, self.steps, self.T)
        stages = (self.second, self.small, self.enlarges)
        return Start(*about, *stages, self.picture, self.source, self.recipe, self.views)

    def add(self, frame: PlayerFrame) -> None:
        """Keep a frame for the next message."""
        self._waiting.append(frame)

    @property
    def waits(self) -> bool:
        """Tell whether frames wait for the next message."""
        return bool(self._waiting)

    def tile_of(self, index: int) -> tuple[int, int]:
        """Return a picture's width and height at a frame's index."""
        return self.small if self.small and index < (self.second or 0) else self.tile

    def frames(self, progress: Progress) -> Frames:
        """Return the message with all frames since the last one."""
        self._seq += 1
        waiting, self._waiting = tuple(self._waiting), []
        return Frames(self.run, self._seq, waiting, progress)

    def end(self, pictures: Sequence[FinishedPicture] = ()) -> End:
        """Return the last message; frames still waiting belong in a `frames` message before it."""
        self._seq += 1
        return End(self.run, self._seq, tuple(pictures))


def film_messages(
    films: Films[Shown],
    begin: Callable[[], LoadedRun[Shown]],
    *,
    before: Iterable[Message] = (),
    name: Callable[[Shown], str] = lambda _: uuid4().hex,
    nearest: Callable[[LoadedModel, Pixels], Iterable[str]] = lambda _, pixels: [""] * len(pixels),
    enlarges: Callable[[ModelInfo], bool] = lambda _: False,
    source: str = "",
    clock: Clock = time.monotonic,
) -> Generator[Message, None, None]:
    """Do a run for a player: its start, its frames as they come, its end.

    Each message brings all kept frames since the last one; there are at most 10 a second. An
    error becomes a Failure, so that no player is left waiting.

    Args:
        films: Does the run.
        begin: Makes the run, its model loaded.
        before: Messages to send first.
        name: Names a request's run.
        nearest: Says which training paintings the first stage's pictures (B, H, W, 3) come
            nearest to.
        enlarges: Tells whether a second stage can be asked for.
        source: The key of the run that this one comes from.
        clock: Tells the time in seconds.
    """
    try:
        yield from before
        run = begin()
        request, info, total = run.request, run.model.info, films.network_steps(run.request)
        recipe, steps = request.process, request.num_steps(info.num_train_timesteps)
        side = recipe.size or info.size
        told = RunMessages(
            title=title(request, _starts(recipe, info.num_train_timesteps), info.labels),
            pictures=recipe.pictures,
            tile=(side, side),
            steps=steps + (1 + recipe.later_steps if recipe.size else 0),
            T=info.num_train_timesteps,
            second=steps + 1 if recipe.size else None,
            small=(info.size, info.size) if recipe.size else None,
            enlarges=enlarges(info),
            picture=recipe.picture,
            source=source,
            recipe=request.to_json() if isinstance(request, Recipe) and recipe.root.source else "",
            views=LATENT_VIEWS if info.latent else VIEWS,
            run=name(request),
        )
        yield told.start()
        kept = kept_moments(recipe, steps, info.size)
        areas = (told.tile_of(index) for index in kept)
        quality = sheet_quality(recipe.pictures * len(told.views) * sum(w * h for w, h in areas))
        pace = MessagePace(clock=clock)
        for done, moment in enumerate(films.stream(run), start=1):
            if isinstance(moment, Moment) and moment.index in kept:
                told.add(_player_frame(moment, told.views, quality))
            if done > total or pace.due:
                yield told.frames(_progress(moment, pace.left(done, total)))
                pace.told()
        if told.waits:  # a run whose beginning was remembered takes fewer steps than it counts
            yield told.frames(_progress(moment, 0.0))
        results = films.pictures(run)
        words = nearest(run.model, np.stack([result.small for result in results]))
        pairs = zip(results, words, strict=True)
        yield told.end([finished_picture(it, near, info.labels) for it, near in pairs])
    except Exception as error:
        yield failure(error)


def again(
    films: Films[Shown], run: LoadedRun[Shown], clock: Clock = time.monotonic
) -> Iterator[Waiting]:
    """Repeat a run that isn't remembered, and yield how far it is."""
    token, pace, total = uuid4().hex, MessagePace(clock=clock), films.network_steps(run.request)
    for done, moment in enumerate(films.stream(run), start=1):
        if done > total or pace.due:
            yield Waiting("painted again", _progress(moment, pace.left(done, total)), token)
            pace.told()


def _progress(moment: Moment | ReplayStep, seconds_left: float) -> Progress:
    if isinstance(moment, ReplayStep):
        return Progress(moment.step, moment.steps, None, seconds_left)
    return Progress(moment.index, moment.total, moment.t, seconds_left)


def _player_frame(moment: Moment, views: Sequence[str], quality: int) -> PlayerFrame:
    """Make a moment's frame, with its sheet of `views` as a JPEG of that `quality`."""
    seen = {view: getattr(moment, view) for view in views}
    if "channels" in views and moment.channels is None:  # of a second stage, which has no latents
        seen["channels"] = np.full_like(moment.x_t, GREY)
    src = frame_sheet([*seen.values()], quality)
    return PlayerFrame(moment.index, moment.t, moment.snr_db, moment.signal, src)


def sheet_quality(pixels: int) -> int:
    """Choose the JPEG quality at which a run's `pixels` of noisy pictures stay within 15 MB."""
    bytes_per_pixel = 15e6 / pixels
    # Measured on noise at 4:4:4, where JPEG is at its worst: bytes per pixel at each quality.
    costs = {85: 1.10, 80: 0.96, 75: 0.86}
    return next((quality for quality, cost in costs.items() if cost <= bytes_per_pixel), 70)


def frame_sheet(views: Sequence[Pixels | None], quality: int = 85) -> str:
    """Join one frame's pictures in a JPEG data-URI: a row a view, a column a picture.

    Args:
        views: x_t, x_0_hat and eps_hat, each (B, H, W, 3); those that are None (eps_hat at the
            end) must come last and are left out.
        quality: The JPEG quality.
    """
    cells = np.stack([view for view in views if view is not None])
    padding = [(0, 0), (0, 0), *((0, -side % BLOCK) for side in cells.shape[2:4]), (0, 0)]
    return jpeg_uri(joined(np.pad(cells, padding, mode="edge")), quality)


def failure(error: Exception) -> Failure:
    """Turn `error` into the Failure that the player shows to a person."""
    fault = explained(error)
    return Failure(fault.message, fault.hint)


def tell(
    films: Films[Shown],
    wish: Callable[[], Shown],
    enlarges: Callable[[ModelInfo], bool] = lambda _: False,
) -> Iterator[Told[Shown]]:
    """Run what `wish` asks for a player, and yield the experiment beside each message."""
    run = films.complete(wish())
    for message in film_messages(films, lambda: run, enlarges=enlarges):
        yield message, run.request


def failing(told: Iterator[Told[Result]]) -> Generator[Told[Result], None, None]:
    """Yield what `told` yields; an error becomes a Failure."""
    try:
        yield from told
    except Exception as error:
        yield failure(error), None


class PageRuns(Generic[Result]):
    """The runs of an instrument, one at a time on each page, which the instrument can stop.

    The last result stays when a run has none, after a failure for example.

    Attributes:
        instrument: Shows the runs.
        result: Holds what the latest left.
    """

    def __init__(self, instrument: BrowserComponent, result: gr.State) -> None:
        self.instrument, self.result = instrument, result
        self._latest = LatestRun()

    def begin_by(
        self,
        listen: Callable[..., Dependency],
        inputs: Sequence[gr.components.Component],
        tell: Callable[..., Iterator[Told[Result]]],
    ) -> None:
        """Let an event, as `button.click`, begin what `tell` does with the values of `inputs`."""

        def start(request: gr.Request, *values: Any) -> Iterator[tuple[Message, Any]]:
            yield from self._follow(request, tell(*values))

        self._stoppable(listen, start, inputs)

    def answer_by(
        self,
        answer: Callable[..., Message | Iterator[Told[Result]]],
        inputs: Sequence[gr.components.Component] = (),
    ) -> None:
        """Let `answer` say what the instrument asked for, or do a run instead.

        It gets the event, the result, and the values of `inputs`.
        """

        def asked(
            request: gr.Request, event: gr.EventData, result: Result | None, *values: Any
        ) -> Iterator[tuple[Message, Any]]:
            told = errors_to_page(answer)(event, result, *values)
            if isinstance(told, Message):
                yield told, gr.skip()
            else:
                yield from self._follow(request, told)

        self._stoppable(self.instrument.select, asked, [self.result, *inputs])

    def _follow(
        self, request: gr.Request, told: Iterator[Told[Result]]
    ) -> Iterator[tuple[Message, Any]]:
        with closing(self._latest.follow(request, failing(told))) as run:
            for message, result in run:
                yield message, gr.skip() if result is None else result

    def _stoppable(
        self,
        listen: Callable[..., Dependency],
        do: Callable[..., Any],
        inputs: Sequence[gr.components.Component],
    ) -> None:
        running = listen(do, list(inputs), [self.instrument, self.result], **restarted())
        self.instrument.stop(fn=None, cancels=[running], api_visibility="private")


def wire_player(
    films: Films[Shown],
    runs: PageRuns[Shown],
    brushwork: Sequence[gr.components.Component],
    enlarge: Callable[..., Shown],
    enlarges: Callable[[ModelInfo], bool],
) -> None:
    """Answer a player of `runs`, whose state holds the experiment.

    Args:
        films: Does the runs.
        runs: The player's.
        brushwork: The controls whose values `enlarge` gets after these.
        enlarge: Makes the experiment whose pictures are painted anew at four times their side, of
            one and the frame at which it hands them over.
        enlarges: Tells whether there is a second stage for a model's pictures.
    """

    def asked(
        event: gr.EventData, experiment: Shown | None, *values: Any
    ) -> Message | Iterator[Told[Shown]]:
        told = PlayerEvent.of(event)
        try:
            if experiment is None or not 0 <= told.picture < experiment.process.pictures:
                raise RecipeError("That run isn't kept any more.", "Run it again.")
            if told.action in ("branch", "vary"):
                raise RecipeError("A run from x_t has no branches.", "Run it from another t.")
            if told.action == "whole":
                return tell(films, lambda: experiment, enlarges)
            if told.action == "enlarge":
                return tell(films, partial(enlarge, experiment, told.frame, *values), enlarges)
            return download(finish(films.picture_steps(experiment)), told)
        except Exception as error:
            return failure(error)

    runs.answer_by(asked, brushwork)


def download(results: Sequence[FilmResult[Filmed]], wish: PlayerEvent) -> Download:
    """Make the file that a player asks for of a run's pictures."""
    result = results[wish.picture]
    name = result.name if wish.view == "x_t" else f"{result.name}-expected"
    match wish.file_type:
        case "zip":
            return Download.of(
                f"{results[0].name}-and-{len(results) - 1}-more.zip", zipped(results)
            )
        case "strip":
            return Download.of(f"{name}-strip.png", result.strip(wish.view))
        case "mp4":
            return Download.of(f"{name}.mp4", mp4(result.seen(wish.view)))
        case form:
            return Download.of(f"{name}.{form}", result.animation(form, wish.view))


def zipped(results: Sequence[FilmResult[Filmed]]) -> bytes:
    """Put a run's finished pictures in a zip, each a PNG with its recipe inside."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as file:
        for result in results:
            file.writestr(f"{result.name}.png", result.png())
    return buffer.getvalue()


def finished_picture(
    result: FilmResult[Filmed], nearest: str = "", classes: Sequence[str] = ()
) -> FinishedPicture:
    """Turn a result into an entry of the player's row of finished pictures."""
    request = result.request
    starts = result.film[0].t
    finished = finished_file(request, result.png(), result.name, nearest, starts, classes)
    run = request.process
    steps = result.film[-1].total - 1 - run.later_steps
    if not run.size or run.is_truncated or not steps:
        return finished  # there is no other finished picture, or nothing was done to it
    small = request.small
    return with_small(finished, png_bytes(result.small, small), small.file_name)


def with_small(finished: FinishedPicture, png: bytes, name: str) -> FinishedPicture:
    """Add the PNG of what the first stage painted to an entry of the player's row."""
    return replace(finished, small=data_uri(png, "image/png"), small_name=f"{name}.png")


def finished_file(
    request: Filmed,
    png: bytes,
    name: str,
    nearest: str = "",
    starts: int | None = None,
    classes: Sequence[str] = (),
) -> FinishedPicture:
    """Return a finished picture's PNG, with what the player says of the picture; see `summary`."""
    run = request.process
    return FinishedPicture(
        src=data_uri(png, "image/png"),
        name=f"{name}.png",
        recipe=title(request, starts, classes),
        seed=run.picture_seed,
        link=_link(request) if isinstance(request, Recipe) else "",
        nearest=nearest,
    )


def _starts(recipe: Recipe, total: int) -> int:
    return paper_t(int(recipe.timesteps(total)[0]))


def title(request: Filmed, starts: int | None = None, classes: Sequence[str] = ()) -> str:
    """Describe a request in a short line; see `summary`."""
    words = summary(request.process, starts, classes)
    match request:
        case Denoising(t=0):
            return f"enlarged · seed {words.partition(' · seed ')[2]}"
        case Denoising():
            return f"denoised from t = {request.t} · {words}"
        case Mixing():
            rule = request.rule.replace("_", " ")
            return f"mixed at t = {request.t}, \u03bb = {request.mix:g}, {rule} · {words}"
        case _:
            return words


def summary(recipe: Recipe, starts: int | None = None, classes: Sequence[str] = ()) -> str:
    """Describe a recipe in a short line: "DDIM · 50 steps · seed 42 · exact".

    Args:
        recipe: The recipe, of a sampler that there is.
        starts: The paper's t at which its own steps begin, of which a branch's line tells.
        classes: The names of the model's classes.
    """
    kind = SAMPLER_KINDS[recipe.sampler]
    eta = f" · eta {recipe.eta:g}" if kind.uses_eta and not recipe.step_t else ""
    steps = counted(recipe.steps, "listed step" if recipe.root.step_t else "step")
    branch = f" · branch at t = {starts}" if recipe.parent else ""
    start = f" · from a picture at t = {recipe.start_t}" if recipe.start_t else ""
    if recipe.root.mask:
        careful = f", {recipe.root.resampling} times over" if recipe.root.resampling > 1 else ""
        start += f" · a part anew{careful}"
    label = "" if recipe.label is None else f" · {_class_name(recipe.label, classes)}"
    guidance = f" guided by {recipe.guidance_scale:g}" if recipe.is_guided else ""
    brushwork = recipe.stage_seeds[recipe.picture]
    early = f" from t = {recipe.stage_truncation}" if recipe.is_truncated else ""
    large = f" · {recipe.size} px{early}, brushwork {brushwork}" if recipe.size else ""
    seed = f"{recipe.picture_seed}"
    if recipe.variation_seed is not None:
        other = recipe.variation_seeds[recipe.picture]
        seed += f" with {recipe.variation_strength:g} of {other}"
    return (
        f"{kind.label}{eta} · {steps} · "
        f"seed {seed}{label}{guidance}{start}{branch}{large} · {recipe.precision}"
    )


def _class_name(label: int | str, classes: Sequence[str]) -> str:
    if isinstance(label, str):
        return label
    return classes[label] if label < len(classes) else f"class {label}"


def duration(seconds: float) -> str:
    """Put a number of seconds in words: "12 s", "3 min 05 s"."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02} s"
