"""`python -m app paint`: paint PNGs with their recipes inside."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.pictures import ClassName, chosen_class, opened, save_films
from app.errors import PictureError
from app.fields import Fields, Value, limited
from app.images.reading import Fit, square
from app.models.files import ModelInfo
from app.painting.canvas import check_same_size, held, side_of
from app.painting.recipe import STEP_FIELDS, Recipe, read_recipe
from app.settings import Settings
from app.studio import Studio


def command(
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("paintings"),
    recipe: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A PNG with a recipe: paint that again."),
    ] = None,
    animation: Annotated[bool, typer.Option(help="Also write a GIF of each run.")] = False,
    strip: Annotated[bool, typer.Option(help="Also write a film strip of each run.")] = False,
    class_name: ClassName = None,
    source: Annotated[
        str | None,
        typer.Option("--from", help="A picture's file to start from, with --start-t or --mask."),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            help="A picture of the same size, white where --from is painted anew; the rest stays."
        ),
    ] = None,
    sketch: Annotated[
        bool, typer.Option(help="--from is a sketch: its flat strokes are softened a little.")
    ] = False,
    fit: Annotated[Fit, typer.Option(help="How --from becomes a square.")] = "crop",
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Steps that were searched for, by their name in the model's schedules.json: "
            "instead of --sampler, --steps and --spacing."
        ),
    ] = None,
    **wish: Annotated[
        Value,
        Fields(
            Recipe,
            without=STEP_FIELDS,
            renamed={"pictures": "count", "resampling": "careful"},
            defaults={"model": "impressionist-64"},
        ),
    ],
) -> None:
    """Paint pictures; each PNG carries the recipe that paints it again."""
    wish["label"] = chosen_class(wish["label"], class_name)
    # Whoever has the shell may use all jobs' models.
    painter = Studio(Settings.from_environment().model_copy(update={"single_user": True})).painter
    if recipe:
        asked = read_recipe(recipe.read_bytes())
    else:
        info = painter.models.describe(wish["model"])
        wish |= _canvas(
            info, source, mask, fit, sketch=sketch, large=wish["size"] not in (None, info.size)
        )
        if schedule is not None:
            wish |= painter.models.find(wish["model"]).schedule(schedule).wish
        asked = Recipe.checked(limited(wish, info.num_train_timesteps, Recipe))
    if difference := painter.differences(asked):
        typer.echo(difference, err=True)
    complete = painter.complete(asked)
    out.mkdir(parents=True, exist_ok=True)
    moments = painter.network_steps(complete.request) + 1
    save_films(painter.films, complete, moments, "painting", out, strip=strip, animation=animation)


def _canvas(
    info: ModelInfo, source: str | None, mask: str | None, fit: Fit, *, sketch: bool, large: bool
) -> dict[str, str | None]:
    if source is None:
        if mask is not None:
            raise PictureError("A mask is about a picture.", "Name that with --from.")
        return {}
    picture, side = opened(source), side_of(info, large=large, masked=mask is not None)
    drawn = None if mask is None else opened(mask)
    if drawn:
        check_same_size(picture.size, drawn.size)
    hole = None if drawn is None else square(drawn, side, fit)
    return held(square(picture, side, fit), hole, info, sketch=sketch)
