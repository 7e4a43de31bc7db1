"""What the laboratories' tabs open with: runs of the bundled model, done once and kept.

They lie in assets/laboratory: films as the message that a player takes, grid, morph and bound as
results, which can be saved with their experiment inside like any other.
"""

from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np
from PIL import Image

from app.service.laboratory.bound_result import BoundResult
from app.service.laboratory.bounding import Bounding, Subject
from app.service.laboratory.experiment import Source
from app.service.laboratory.experiments import Denoising, Grid, Mixing, Morph, even_rows
from app.service.laboratory.films import Filmed, FilmResult
from app.service.laboratory.mixtures import GridResult, MorphResult
from app.service.laboratory.stored import (
    bound_file,
    bound_of,
    grid_file,
    grid_of,
    morph_file,
    morph_of,
)
from app.service.pictures import evenly_spaced
from app.service.recipe import Recipe
from app.service.showcase import FILM_MOMENTS, film_sheet, load_examples
from app.service.studio import Studio
from app.settings import ASSETS
from app.ui.bound_stream import bound_start
from app.ui.film_stream import finished_picture, results_of, title
from app.ui.lab_messages import jpeg_uri
from app.ui.messages import Film, FrameInfo, Message
from app.ui.mix_messages import GridRow, MorphPart, grid_start, morph_start, row_sheet
from app.ui.stream import summary
from app.ui.train_keepsake import train_example

FOLDER: Final = ASSETS / "laboratory"
PAIR: Final = (0, 4)
"""Which of the examples are A and B, here and when the page opens."""

STORED: Final = "stored"
"""The name of a kept run."""

RUN: Final = {"sampler": "ddpm", "steps": 200, "seed": 42, "precision": "fast"}


def stored(name: str) -> str | None:
    """The film kept as `name`, as the player takes it; None where there is none."""
    file = FOLDER / f"{name}.json"
    return file.read_text(encoding="utf-8") if file.exists() else None


def stored_experiment(name: str) -> Filmed | None:
    """The experiment of a kept film."""
    file = FOLDER / f"{name}-experiment.json"
    if not file.exists():
        return None
    kind = Denoising if name == "denoising" else Mixing
    return kind.from_json(file.read_text(encoding="utf-8"))


@cache
def stored_grid() -> GridResult | None:
    """The kept grid."""
    file = FOLDER / "grid.png"
    return grid_of(file) if file.exists() else None


@cache
def stored_morph() -> MorphResult | None:
    """The kept morph."""
    file = FOLDER / "morph.png"
    return morph_of(file) if file.exists() else None


@cache
def stored_bound() -> BoundResult | None:
    """The kept bound."""
    file = FOLDER / "bound.json"
    return bound_of(file) if file.exists() else None


def first_grid() -> Message | None:
    """The kept grid, as its instrument takes it."""
    result = stored_grid()
    if result is None:
        return None
    rows = enumerate(row for row in result.rows if row is not None)
    parts = (GridRow(STORED, n, row_sheet(row, finished=True), True, "") for n, row in rows)
    start = grid_start(STORED, result, summary(result.experiment.run), live=False)
    return replace(start, parts=tuple(parts))


def first_morph() -> Message | None:
    """The kept morph, as its instrument takes it."""
    result = stored_morph()
    if result is None:
        return None
    part = MorphPart(STORED, 0, row_sheet(result.frames, finished=True), True, "")
    words = summary(result.experiment.run)
    start = morph_start(STORED, result.experiment, result.frames, words, live=False)
    return replace(start, parts=(part,))


def first_bound() -> Message | None:
    """The kept bound, as its instrument takes it."""
    result = stored_bound()
    if result is None:
        return None
    it = result.experiment
    words = f"{it.terms or result.length} terms · {it.draws} draws · seed {it.seed}"
    return bound_start(STORED, result, words, live=False)


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
    morph = studio.mix_lab.complete(Morph.checked(pair | {"t": 500, "frames": 16}))
    _keep("morph.png", morph_file(studio.mix_lab.morph_result(morph)))
    rows = even_rows(studio.models.describe(model).num_train_timesteps)
    grid = studio.mix_lab.complete(Grid.checked(pair | {"rows": rows}))
    _keep("grid.png", grid_file(studio.mix_lab.grid_result(grid)))
    bounding = studio.bound_lab.complete(_bounding(model, first, run.seed))
    _keep("bound.json", bound_file(studio.bound_lab.result(bounding)))
    _keep("training.json", f"{train_example(studio).to_json()}\n".encode())


def _bounding(model: str, picture: Source, seed: int) -> Bounding:
    name = _name(PAIR[0])
    subjects = (
        Subject(source=picture, name=name),
        Subject(source=picture, kind="shuffled", name=f"{name}, shuffled"),
        Subject(kind="noise", name="plain noise"),
    )
    return Bounding.checked({"model": model, "subjects": subjects, "terms": 200, "seed": seed})


def _example(place: int) -> Source:
    example = load_examples(ASSETS / "showcase")[place]
    with Image.open(example.folder / f"{example.name}.png") as image:
        return Source.of(image)


def _name(place: int) -> str:
    recipe = load_examples(ASSETS / "showcase")[place].recipe
    return f"seed {recipe.seed + recipe.picture}"


def _keep(name: str, data: bytes) -> None:
    (FOLDER / name).write_bytes(data)


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
        kept=True,
    )
    _keep(f"{name}.json", f"{film.to_json()}\n".encode())
    _keep(f"{name}-experiment.json", f"{experiment.to_json()}\n".encode())
