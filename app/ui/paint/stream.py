"""Paintings and their files as messages to the player of Paint."""

import io
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Final

from PIL import Image

from app.images.reading import own_picture
from app.painting.examples import Example
from app.painting.recipe import Recipe
from app.studio import Studio
from app.ui.components.films import (
    Clock,
    again,
    download,
    failure,
    film_messages,
    finished_file,
    run_name,
    summary,
    with_small,
)
from app.ui.components.messages import FilmMessage, FrameInfo, Message, Waiting
from app.ui.components.player import PlayerEvent
from app.ui.components.recipe_controls import can_enlarge
from app.ui.served import served

PREVIEW_QUALITY: Final = 25


def paint_messages(
    studio: Studio,
    wish: Callable[[], Recipe],
    clock: Clock = time.monotonic,
    *,
    source: str = "",
) -> Generator[Message, None, None]:
    """Paint what `wish` asks for a player, and say so first if a model must be loaded.

    `source` is the key of the run that this one comes from.
    """
    films, recipe = studio.painter.films, cache(wish)
    return film_messages(
        films,
        lambda: films.complete(recipe()),
        before=_loading(studio, recipe),
        name=run_name,
        nearest=studio.novelty.in_words,
        enlarges=partial(can_enlarge, studio),
        source=source,
        clock=clock,
    )


def _loading(studio: Studio, wish: Callable[[], Recipe]) -> Iterator[Waiting]:
    recipe = wish()
    if {recipe.model, *([recipe.stage] if recipe.size else [])} - set(studio.models.shelf.ids):
        yield Waiting("loading the model")


def film_message(studio: Studio, example: Example) -> FilmMessage:
    """Turn a stored example into the message that opens it at once."""
    recipe = example.recipe
    finished = finished_file(recipe, example.png, example.name, example.nearest)
    small = own_picture(example.small_path).size if recipe.size else None
    if small:
        finished = with_small(finished, example.small_path.read_bytes(), example.small_name)
        finished = replace(finished, small=served(example.small_path.read_bytes(), "png"))
    finished = replace(finished, src=served(example.png, "png"))
    return FilmMessage(
        run=run_name(recipe),
        title=summary(recipe),
        tile=own_picture(example.path).size,
        steps=example.total,
        frames=tuple(
            FrameInfo(m.index, m.t, float("inf") if m.snr_db is None else m.snr_db, m.signal)
            for m in example.moments
        ),
        sheets=tuple(served(film, "jpg") for film in example.films),
        finished=(finished,),
        second=example.second,
        small=small,
        enlarges=can_enlarge(studio, studio.models.describe(recipe.model)),
    )


def with_previews(film: FilmMessage, example: Example) -> FilmMessage:
    """Let the stored `film` open with previews, a third of its sheets in bytes."""
    sheets = (Image.open(io.BytesIO(sheet)) for sheet in example.films)
    previews = tuple(served(_coarse(sheet), "jpg") for sheet in sheets)
    return replace(film, previews=previews)


def _coarse(sheet: Image.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "jpeg", quality=PREVIEW_QUALITY, optimize=True)
    return buffer.getvalue()


def file_messages(
    studio: Studio, recipe: Recipe, wish: PlayerEvent, clock: Clock = time.monotonic
) -> Generator[Message, None, None]:
    """Make the file that a player asks for of a run's picture, or of all.

    A run that isn't remembered is painted again first, as far as one request may go, and the
    player is told how far it is. An error becomes a Failure.
    """
    films = studio.painter.films
    try:
        if films.remembered(recipe) is None:
            yield from _loading(studio, lambda: recipe)
            run = films.complete(recipe)
            recipe = run.request
            if films.remembered(recipe) is None:
                yield from again(films, run, clock)
        yield download(films.pictures(recipe), wish)
    except Exception as error:
        yield failure(error)
