"""`python -m app sheet`: paint the same seed side by side, over two settings."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.pictures import ClassName, chosen_class, save, say_estimate, watch
from app.errors import RecipeError
from app.fields import Fields, Value, limited
from app.laboratory.sheet_experiment import SETTINGS, Sheet, SheetAxis
from app.painting.recipe import STEP_FIELDS, Recipe
from app.settings import Settings
from app.studio import Studio

AXIS_HELP = f"SETTING=VALUE,VALUE,...; one of {', '.join(SETTINGS)}."


def command(
    rows: Annotated[str, typer.Option(help=AXIS_HELP)] = "steps=10,25,50",
    columns: Annotated[str, typer.Option(help=AXIS_HELP)] = "sampler=ddpm,ddim,dpm-solver-sde",
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("paintings"),
    class_name: ClassName = None,
    **wish: Annotated[
        Value,
        Fields(
            Recipe,
            without=("pictures", *STEP_FIELDS),
            defaults={"model": "impressionist-64"},
        ),
    ],
) -> None:
    """Paint one seed side by side in a labelled sheet, which carries what paints it again."""
    wish["label"] = chosen_class(wish["label"], class_name)
    studio = Studio(Settings.from_environment().model_copy(update={"single_user": True}))
    T = studio.models.describe(wish["model"]).num_train_timesteps
    axes = {"rows": _axis(rows), "columns": _axis(columns)}
    lab, sheet = studio.sheet_lab, Sheet.of(limited(wish, T, Recipe) | axes)
    run = lab.complete(sheet)
    estimate = lab.estimate(run.request)
    say_estimate(estimate)
    watch(lab.sheets.stream(run), estimate.network_steps, "sheet")
    result = lab.sheets.result(run)
    save(out, f"{result.name}.png", result.png())


def _axis(words: str) -> SheetAxis:
    setting, equals, values = words.partition("=")
    if not equals:
        raise RecipeError(f"{words!r} names no values.", "Write steps=10,25,50, for example.")
    return SheetAxis.written(setting.strip(), values)
