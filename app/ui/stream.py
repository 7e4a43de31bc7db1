"""From the service's moments to the player's messages, throttled but complete."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Final
from uuid import uuid4

import numpy as np

from app.service.moments import Moment, Retrace, kept_frames
from app.service.recipe import Recipe
from app.service.results import Result, results
from app.service.showcase import Example
from app.service.studio import Studio
from app.ui.faults import explained
from app.ui.player import (
    Download,
    Failure,
    FileType,
    Film,
    FinishedPicture,
    FrameInfo,
    Message,
    PlayerFrame,
    Progress,
    RunMessages,
    Waiting,
    data_uri,
    frame_sheet,
    sheet_quality,
)

YIELD_SECONDS: Final = 1 / 10
VIEWS: Final = 3

Clock = Callable[[], float]


def run_name(recipe: Recipe) -> str:
    """A run's name: its recipe, which the page sends back, and what makes it unlike any other."""
    return f"{recipe.to_link()}.{uuid4().hex[:8]}"


def recipe_of(run: str) -> Recipe:
    """The recipe in a run's name; it comes from the browser, so it is read as a link is.

    Raises:
        RecipeError: If there is none in it.
    """
    return Recipe.from_link(run.partition(".")[0])


def paint_messages(
    studio: Studio, wish: Callable[[], Recipe], clock: Clock = time.monotonic
) -> Generator[Message, None, None]:
    """Paint what is wished for a player: its start, its frames as they come, its end.

    A model that must be loaded first is told of before the start.

    Each message brings all kept frames since the last one; there are at most 10 a second. What
    goes wrong becomes a Failure, so that no player is left waiting.
    """
    try:
        recipe = wish()
        yield from _loading(studio, recipe)
        yield from _messages(studio, studio.painter.complete(recipe), clock)
    except Exception as error:
        yield failure(error)


def _loading(studio: Studio, recipe: Recipe) -> Iterator[Waiting]:
    if recipe.model not in studio.models.shelf.ids:
        yield Waiting("loading the model")


def _messages(studio: Studio, recipe: Recipe, clock: Clock) -> Iterator[Message]:
    painter, info = studio.painter, studio.models.load(recipe.model).info
    run = RunMessages(
        title=summary(recipe),
        pictures=recipe.pictures,
        tile=(info.size, info.size),
        steps=recipe.steps,
        T=info.num_train_timesteps,
        run=run_name(recipe),
    )
    stream, total = painter.paint(recipe), painter.network_steps(recipe)

    def finished() -> Iterator[FinishedPicture]:
        painted = results(painter, recipe)
        pixels = np.stack([result.pixels for result in painted])
        return map(finished_picture, painted, studio.novelty.in_words(recipe.model, pixels))

    yield from film_messages(run, stream, total, finished, clock)


def film_messages(
    run: RunMessages,
    moments: Iterator[Moment | Retrace],
    total: int,
    finished: Callable[[], Iterable[FinishedPicture]],
    clock: Clock = time.monotonic,
) -> Iterator[Message]:
    """Tell a player of a run's `moments`, whose network steps are `total`, and how it ended."""
    yield run.start()
    kept = set(kept_frames(run.steps, run.pictures, run.tile[0]))
    quality = sheet_quality(len(kept) * run.pictures * VIEWS, run.tile)
    for moment, progress in _paced(moments, total, clock):
        if isinstance(moment, Moment) and moment.index in kept:
            run.add(player_frame(moment, quality))
        if progress:
            yield run.frames(progress)
    yield run.end(tuple(finished()))


def _paced(
    moments: Iterator[Moment | Retrace], total: int, clock: Clock
) -> Iterator[tuple[Moment | Retrace, Progress | None]]:
    """Each moment, and how far the run is at most 10 times a second, the last time at its end."""
    began, due = clock(), 0.0
    for done, moment in enumerate(moments, start=1):
        now = clock()
        if now < due and done <= total:
            yield moment, None
            continue
        left = (now - began) / done * max(0, total - done)
        yield moment, _progress(moment, left)
        due = clock() + YIELD_SECONDS


def _progress(moment: Moment | Retrace, seconds_left: float) -> Progress:
    if isinstance(moment, Retrace):
        return Progress(moment.step, moment.steps, None, seconds_left)
    return Progress(moment.index, moment.total, moment.t, seconds_left)


def failure(error: Exception) -> Failure:
    """What a person is told of `error`, for the player to show."""
    fault = explained(error)
    return Failure(fault.message, fault.hint)


def player_frame(moment: Moment, quality: int) -> PlayerFrame:
    """A moment with its sheet of pictures."""
    src = frame_sheet((moment.x_t, moment.x_0_hat, moment.eps_hat), quality)
    return PlayerFrame(moment.index, moment.t, moment.snr_db, moment.signal, src)


def finished_picture(result: Result, nearest: str) -> FinishedPicture:
    """A result as the player's row of finished pictures shows it."""
    recipe = result.recipe
    return FinishedPicture(
        src=data_uri(result.png(), "image/png"),
        name=f"{result.name}.png",
        recipe=summary(recipe),
        seed=recipe.seed + recipe.picture,
        link=recipe.to_link(),
        nearest=nearest,
    )


def film_message(example: Example) -> Film:
    """A stored example, opened at once."""
    recipe = example.recipe
    picture = FinishedPicture(
        src=data_uri(example.png, "image/png"),
        name=f"{example.name}.png",
        recipe=summary(recipe),
        seed=recipe.seed + recipe.picture,
        link=recipe.to_link(),
        nearest=example.nearest,
    )
    return Film(
        run=run_name(recipe),
        title=summary(recipe),
        tile=example.tile,
        steps=example.total,
        frames=tuple(
            FrameInfo(m.index, m.t, float("inf") if m.snr_db is None else m.snr_db, m.signal)
            for m in example.moments
        ),
        src=data_uri(example.film, "image/jpeg"),
        finished=(picture,),
    )


def file_messages(
    studio: Studio, recipe: Recipe, what: FileType, clock: Clock = time.monotonic
) -> Generator[Message, None, None]:
    """A strip or an animation of a run's picture, as a file to save.

    A run that isn't remembered is painted again first, as far as one request may go, and the
    player told of it. What goes wrong becomes a Failure.
    """
    try:
        if studio.painter.remembered(recipe) is None:
            recipe = yield from _painted_again(studio, recipe, clock)
        yield _download(results(studio.painter, recipe)[recipe.picture], what)
    except Exception as error:
        yield failure(error)


def _painted_again(
    studio: Studio, recipe: Recipe, clock: Clock
) -> Generator[Message, None, Recipe]:
    painter = studio.painter
    yield from _loading(studio, recipe)
    recipe = painter.complete(recipe)
    if painter.remembered(recipe) is None:
        token = uuid4().hex
        total = painter.network_steps(recipe)
        for _, progress in _paced(painter.paint(recipe), total, clock):
            if progress:
                yield Waiting("painted again", progress, token)
    return recipe


def _download(result: Result, what: FileType) -> Download:
    if what == "strip":
        return Download(f"{result.name}-strip.png", data_uri(result.strip(), "image/png"))
    return Download(f"{result.name}.{what}", data_uri(result.animation(what), f"image/{what}"))


def summary(recipe: Recipe) -> str:
    """A recipe in a short line: "ddim · 50 steps · seed 42 · exact"."""
    eta = f" · eta {recipe.eta:g}" if recipe.sampler == "ddim" else ""
    branch = f" · branch at frame {recipe.frame}" if recipe.parent else ""
    label = f" · class {recipe.label}" if recipe.label is not None else ""
    seed = recipe.seed + recipe.picture
    return (
        f"{recipe.sampler}{eta} · {recipe.steps} steps · seed {seed}"
        f"{label}{branch} · {recipe.precision}"
    )
