"""`python -m tools.showcase`: repaint the bundled model's pictures for the page and the README."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import typer
from pydantic import TypeAdapter

from app.diffusion.cascade import RATIO, enlarged
from app.errors import StudioError
from app.images.arrays import Pixels
from app.images.encoding import jpeg_bytes, jpeg_uri, png_bytes
from app.images.pixels import evenly_spaced, joined, to_bytes, to_unit
from app.images.reading import own_picture
from app.laboratory.bound_results import BoundResult
from app.laboratory.experiments import (
    BoundRequest,
    Denoising,
    Grid,
    Mixing,
    Morph,
    Subject,
    even_rows,
)
from app.laboratory.mix import GridResult, MorphResult
from app.novelty.nearest import Novelty
from app.painting.examples import INDEX, Example, FilmMoment, load_examples
from app.painting.film import FilmResult, Moment, film_sheet
from app.painting.painter import Painter
from app.painting.recipe import Recipe
from app.painting.sources import PictureSource
from app.settings import ASSETS
from app.studio import Studio
from app.ui.components.films import finished_picture, title
from app.ui.components.instrument import message_json
from app.ui.components.layout import FOLDER
from app.ui.components.messages import FilmMessage, FrameInfo
from tools.run import run
from tools.training_example import train_example

EXAMPLE_SEEDS: Final = (43, 16, 27, 33, 52, 31, 46, 59)
"""The examples' seeds, chosen by eye for variety; those on the model's card are not chosen."""

STRIP_SEED: Final = 43

FILM_MOMENTS: Final = 33
"""The most moments of a kept film at the model's own size."""

LARGE_MOMENTS: Final = 5
"""The most moments of a second stage's film."""

CARD_SEEDS: Final = 36
"""The number of samples on a model's card: their seeds are the first ones, not chosen ones."""

SAMPLE_ROWS: Final = 4
"""The number of rows of enlarged samples on the stage's card."""

SHOWN_MOMENT: Final = 6
"""The box of the strip that the player shows on the screenshots: half noise, half painting."""

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")


def command() -> None:
    """Repaint what the page opens with and what the README shows with today's weights."""
    from app.evaluation.evaluator import EvaluationPlan, paint_all, recipes
    from app.images.sheets import tiled
    from app.settings import ASSETS, Settings
    from app.studio import Studio
    from app.ui.components.recipe_controls import DEFAULT

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise StudioError("The screenshots need a browser.", "Install the package chromium.")
    studio = Studio(Settings())
    model = studio.settings.default_model
    large = {"size": RATIO * studio.models.describe(model).size}
    chosen = [DEFAULT.recipe(model, seed).model_copy(update=large) for seed in EXAMPLE_SEEDS]
    save_examples(studio.painter, studio.novelty, chosen, ASSETS / "showcase")
    first = EvaluationPlan(DEFAULT.sampler, DEFAULT.steps, CARD_SEEDS)
    runs = recipes(
        studio.painter, model, first, seed=0, spacing=chosen[0].spacing, precision="exact"
    )
    card = studio.models.find(model).folder / "samples.png"
    card.write_bytes(png_bytes(tiled(paint_all(studio.painter, runs, lambda: None))))
    of_strip = studio.painter.complete(chosen[EXAMPLE_SEEDS.index(STRIP_SEED)])
    save_keepsakes(studio)
    stage = studio.models.find_stage(chosen[0].stage).folder / "samples.jpg"
    stage.write_bytes(jpeg_bytes(_enlarged_samples(studio.painter, chosen[0]), 85))
    (ASSETS / "strip.png").write_bytes(studio.painter.films.pictures(of_strip)[0].strip())
    _photograph(browser, ASSETS)
    typer.echo(
        f"repainted {len(chosen)} examples, the strip and the screenshots in {ASSETS}, "
        f"{card} and {stage}"
    )


def _enlarged_samples(painter: Painter, like: Recipe) -> Pixels:
    """Paint the card's seeds as `like` says, each below its small picture enlarged bicubically."""
    each, rows = CARD_SEEDS // SAMPLE_ROWS, []
    for seed in range(0, CARD_SEEDS, each):
        changes = {"seed": seed, "stage_seed": seed, "pictures": each}
        run = painter.complete(like.model_copy(update=changes))
        results = painter.films.pictures(run)
        small = to_bytes(enlarged(to_unit(np.stack([result.small for result in results]))))
        rows += [small, np.stack([result.pixels for result in results])]
    return joined(np.stack(rows))


def _photograph(browser: str, folder: Path) -> None:
    """Photograph the page in a real browser by day and by night: page-day.jpg, page-night.jpg."""
    from playwright.sync_api import expect, sync_playwright

    from tools.server import running_server

    with running_server() as server, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser, args=["--no-sandbox", "--disable-background-networking"]
        )
        for name in ("day", "night"):
            page = chromium.new_page(
                viewport={"width": 1440, "height": 900},
                color_scheme="dark" if name == "night" else "light",
            )
            page.goto(server.url)
            player = page.locator(".player")
            expect(player).to_have_attribute("data-state", "finished", timeout=60_000)
            page.locator(".player-moments button").nth(SHOWN_MOMENT).click()
            page.wait_for_function("[...document.images].every((image) => image.complete)")
            page.screenshot(path=folder / f"page-{name}.jpg", type="jpeg", quality=85)
        chromium.close()


def save_examples(
    painter: Painter, novelty: Novelty, recipes: Sequence[Recipe], folder: Path
) -> None:
    """Paint `recipes`, one picture each, and replace the contents of `folder` with them."""
    folder.mkdir(parents=True, exist_ok=True)
    painted = [painter.films.pictures(painter.complete(recipe))[0] for recipe in recipes]
    for old in folder.iterdir():
        old.unlink()
    examples = [_save(painter, result, novelty, folder) for result in painted]
    entries = [{name: vars(e)[name] for name in vars(e) if name != "folder"} for e in examples]
    text = json.dumps(entries, default=asdict, indent=1, ensure_ascii=False)
    (folder / INDEX).write_text(text + "\n", encoding="utf-8")


def _save(painter: Painter, result: FilmResult[Recipe], novelty: Novelty, folder: Path) -> Example:
    recipe, film = result.request, result.film
    first = _spread([m for m in film if m.index <= recipe.steps], FILM_MOMENTS)
    second = _spread([m for m in film if m.index > recipe.steps], LARGE_MOMENTS)
    stages = {recipe.small.file_name: (png_bytes(result.small, recipe.small), first)}
    if recipe.size:
        stages[result.name] = (result.png(), second)
    for name, (png, moments) in stages.items():
        (folder / f"{name}.png").write_bytes(png)
        sheet = film_sheet(moments, recipe.picture)
        (folder / f"{name}.jpg").write_bytes(jpeg_bytes(sheet, 75))
    said = tuple(
        FilmMoment(m.index, m.t, round(m.signal, 6), round(m.snr_db, 2) if m.t else None)
        for m in (*first, *second)
    )
    model = painter.models.load(recipe.model)
    nearest = novelty.in_words(model, result.small[None])[0]
    return Example(result.name, film[-1].total, said, nearest, folder)


def _spread(moments: Sequence[Moment], most: int) -> list[Moment]:
    return [moments[i] for i in evenly_spaced(most, len(moments))]


PAIR: Final = (0, 4)
"""The places of the examples that are A and B, here and when the page opens."""

RUN: Final = {"sampler": "ddpm", "steps": 200, "seed": 42, "precision": "fast"}


def save_keepsakes(studio: Studio) -> None:
    """Run the experiments that the page opens with, and save their results."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    model = studio.settings.default_model
    run = Recipe.checked(RUN | {"model": model})
    first, second = (_example(place) for place in PAIR)
    pair = {"run": run, "first": first, "second": second, "seed": run.seed}
    mixing = studio.mix_lab.complete(Mixing.checked(pair | {"t": 500, "mix": 0.5}))
    wish = {"run": run, "source": first, "t": 500, "seed": run.seed}
    denoising = studio.noise_lab.complete(Denoising.checked(wish))
    _keep_film("mixing", studio.mix_lab.films.pictures(mixing)[0])
    _keep_film("denoising", studio.noise_lab.films.pictures(denoising)[0])
    morph = studio.mix_lab.complete(Morph.checked(pair | {"t": 500, "frames": 16}))
    _keep("morph.png", morph_file(studio.mix_lab.morphs.result(morph)))
    rows = even_rows(studio.models.describe(model).num_train_timesteps)
    grid = studio.mix_lab.complete(Grid.checked(pair | {"rows": rows}))
    _keep("grid.png", grid_file(studio.mix_lab.grids.result(grid)))
    bounding = studio.bound_lab.complete(_bounding(model, first, run.seed))
    _keep("bound.json", bound_file(studio.bound_lab.bounds.result(bounding)))
    _keep("training.json", f"{message_json(train_example(studio))}\n".encode())


def grid_file(result: GridResult) -> bytes:
    """Return the cells of a whole grid as a PNG, without labels, its experiment inside.

    Raises:
        ValueError: If a row is missing.
    """
    rows = [row for row in result.rows if row is not None]
    if len(rows) < len(result.rows):
        raise ValueError("only a whole grid can be kept")
    return png_bytes(joined(np.stack(rows)), result.experiment)


def morph_file(result: MorphResult) -> bytes:
    """Return a morph's frames in a row, as a PNG with its experiment inside."""
    return png_bytes(joined(result.frames[None]), result.experiment)


def bound_file(result: BoundResult) -> bytes:
    """Return a bound with all of its terms, as JSON."""
    return TypeAdapter(BoundResult).dump_json(result)


def _bounding(model: str, picture: PictureSource, seed: int) -> BoundRequest:
    name = _name(PAIR[0])
    subjects = (
        Subject(source=picture, name=name),
        Subject(source=picture, kind="shuffled", name=f"{name}, shuffled"),
        Subject(kind="noise", name="plain noise"),
    )
    return BoundRequest.checked({"model": model, "subjects": subjects, "terms": 200, "seed": seed})


def _example(place: int) -> PictureSource:
    example = load_examples(ASSETS / "showcase")[place]
    return PictureSource.of(own_picture(example.small_path))


def _name(place: int) -> str:
    recipe = load_examples(ASSETS / "showcase")[place].recipe
    return f"seed {recipe.seed + recipe.picture}"


def _keep(name: str, data: bytes) -> None:
    (FOLDER / name).write_bytes(data)


def _keep_film(name: str, result: FilmResult[Denoising] | FilmResult[Mixing]) -> None:
    moments = _spread(result.film, FILM_MOMENTS)
    frames = tuple(FrameInfo(m.index, m.t, round(m.snr_db, 2), round(m.signal, 6)) for m in moments)
    size = result.pixels.shape[0]
    film = FilmMessage(
        run=name,
        title=title(result.request),
        tile=(size, size),
        steps=result.film[-1].total,
        frames=frames,
        sheets=(jpeg_uri(film_sheet(moments, 0), 75),),
        finished=(finished_picture(result),),
        kept=True,
    )
    _keep(f"{name}.json", f"{message_json(film)}\n".encode())
    _keep(f"{name}-experiment.json", f"{result.request.to_json()}\n".encode())


if __name__ == "__main__":
    run(command)
