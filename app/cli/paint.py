"""`python -m app paint`: paint PNGs with their recipes inside."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.pictures import ClassName, chosen_class, save_films
from app.fields import Fields, Value, limited
from app.painting.recipe import Recipe, read_recipe
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
    **wish: Annotated[
        Value,
        Fields(Recipe, renamed={"pictures": "count"}, defaults={"model": "impressionist-64"}),
    ],
) -> None:
    """Paint pictures; each PNG carries the recipe that paints it again."""
    wish["label"] = chosen_class(wish["label"], class_name)
    # Whoever has the shell may use all jobs' models.
    painter = Studio(Settings.from_environment().model_copy(update={"single_user": True})).painter
    if recipe:
        asked = read_recipe(recipe.read_bytes())
    else:
        T = painter.models.describe(wish["model"]).num_train_timesteps
        asked = Recipe.checked(limited(wish, T, Recipe))
    if difference := painter.differences(asked):
        typer.echo(difference, err=True)
    complete = painter.complete(asked)
    out.mkdir(parents=True, exist_ok=True)
    moments = painter.network_steps(complete.request) + 1
    save_films(painter.films, complete, moments, "painting", out, strip=strip, animation=animation)
