"""What the laboratories' tabs open with: runs of the bundled model, done once and kept.

Each is the very message that its instrument would get, as a file of JSON in assets/laboratory.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from app.service.laboratory.experiment import Source
from app.service.laboratory.experiments import Bounding, Denoising, Grid, Mixing, Morph, Subject
from app.service.laboratory.films import Filmed, FilmResult
from app.service.pictures import evenly_spaced
from app.service.recipe import Recipe
from app.service.showcase import FILM_MOMENTS, film_sheet, load_examples
from app.service.studio import Studio
from app.settings import ASSETS
from app.ui.bound_stream import BoundStart, Row, Terms, tell_bound
from app.ui.film_stream import finished_picture, results_of, title
from app.ui.lab_messages import jpeg_uri
from app.ui.messages import Film, FrameInfo, Message
from app.ui.mix_messages import Finish, GridRow, GridStart, MorphPart, MorphStart
from app.ui.mix_stream import tell_grid, tell_morph

FOLDER: Final = ASSETS / "laboratory"
PAIR: Final = (0, 4)
"""Which of the examples are A and B, here and when the page opens."""

RUN: Final = {"sampler": "ddpm", "steps": 200, "seed": 42, "precision": "fast"}


def stored(name: str) -> str | None:
    """The message kept as `name`, as JSON; None where there is none."""
    file = FOLDER / f"{name}.json"
    return file.read_text(encoding="utf-8") if file.exists() else None


def stored_experiment(name: str) -> Filmed | None:
    """The experiment of a kept film."""
    file = FOLDER / f"{name}-experiment.json"
    if not file.exists():
        return None
    kind = Denoising if name == "denoising" else Mixing
    return kind.from_json(file.read_text(encoding="utf-8"))


def save_keepsakes(studio: Studio) -> None:
    """Run everything anew and keep it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    model = studio.settings.default_model
    run = Recipe.checked(RUN | {"model": model})
    first, second = (_example(place) for place in PAIR)
    pair = {"run": run, "first": first, "second": second, "seed": run.seed}
    mixing = studio.mix_lab.complete(Mixing.checked(pair | {"t": 500, "mix": 0.5}))
    wish = {"run": run, "source": first, "t": 500, "seed": run.seed}
    denoising = studio.noise_lab.complete(Denoising.checked(wish))
    _keep_film("mixing", mixing, results_of(studio.mix_lab, mixing)[0])
    _keep_film("denoising", denoising, results_of(studio.noise_lab, denoising)[0])
    morph = Morph.checked(pair | {"t": 500, "frames": 16})
    _keep("morph", _whole_morph(told for told, _ in tell_morph(studio.mix_lab, lambda: morph)))
    bounding = Bounding.checked(
        {
            "model": model,
            "subjects": (
                Subject(source=first, name=_name(PAIR[0])),
                Subject(source=first, kind="shuffled", name=f"{_name(PAIR[0])}, shuffled"),
                Subject(kind="noise", name="plain noise"),
            ),
            "terms": 200,
            "seed": run.seed,
        }
    )
    _keep("bound", _whole_bound(tell_bound(studio.bound_lab, studio.models, lambda: [bounding])))
    grid = Grid.checked(pair)
    _keep("grid", _whole_grid(told for told, _ in tell_grid(studio.mix_lab, lambda: grid)))


def _example(place: int) -> Source:
    example = load_examples(ASSETS / "showcase")[place]
    with Image.open(example.folder / f"{example.name}.png") as image:
        return Source.of(image)


def _name(place: int) -> str:
    recipe = load_examples(ASSETS / "showcase")[place].recipe
    return f"seed {recipe.seed + recipe.picture}"


def _keep(name: str, message: Message) -> None:
    Path(FOLDER / f"{name}.json").write_text(message.to_json() + "\n", encoding="utf-8")


def _keep_film(name: str, experiment: Filmed, result: FilmResult) -> None:
    moments = [result.film[i] for i in evenly_spaced(FILM_MOMENTS, len(result.film))]
    frames = tuple(FrameInfo(m.index, m.t, round(m.snr_db, 2), round(m.signal, 6)) for m in moments)
    size = result.pixels.shape[0]
    film = Film(
        run=name,
        title=title(experiment),
        tile=(size, size),
        steps=result.film[-1].total,
        frames=frames,
        src=jpeg_uri(np.asarray(film_sheet(moments, 0)), 75),
        finished=(finished_picture(result),),
    )
    _keep(name, film)
    (FOLDER / f"{name}-experiment.json").write_text(experiment.to_json() + "\n", encoding="utf-8")


def _whole_grid(messages: Iterator[Message]) -> GridStart:
    start, rows, words = None, [], ""
    for message in messages:
        match message:
            case GridStart():
                start = message
            case GridRow(finished=True):
                rows.append(message)
            case Finish():
                words = message.words
    if start is None:
        raise ValueError("the grid could not be painted")
    run = "stored"
    parts = tuple(replace(row, run=run, words="") for row in rows)
    return replace(start, run=run, words=words, live=False, parts=parts)


def _whole_morph(messages: Iterator[Message]) -> MorphStart:
    start, parts, words = None, [], ""
    for message in messages:
        match message:
            case MorphStart():
                start = message
            case MorphPart(finished=True):
                parts.append(message)
            case Finish():
                words = message.words
    if start is None:
        raise ValueError("the morph could not be painted")
    kept = tuple(replace(part, run="stored", words="") for part in parts)
    return replace(start, run="stored", words=words, live=False, parts=kept)


def _whole_bound(messages: Iterator[Message]) -> BoundStart:
    start, words = None, ""
    rows: list[Row] = []
    for message in messages:
        match message:
            case BoundStart():
                start = message
            case Terms():
                rows += message.rows
            case Finish():
                words = message.words
    if start is None:
        raise ValueError("the bound could not be computed")
    return replace(start, run="stored", words=words, live=False, rows=tuple(rows))
