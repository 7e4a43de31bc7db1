"""`python -m app enlarge`: paint pictures anew at four times a model's side."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.pictures import PICTURE_HELP, save, source_named, watch
from app.fields import Fields, Value
from app.laboratory.experiments import Denoising
from app.painting.recipe import ENLARGING, Recipe
from app.settings import Settings
from app.studio import Studio


def command(
    files: Annotated[list[str], typer.Argument(help=PICTURE_HELP)],
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("paintings"),
    fit: Annotated[str, typer.Option(help="crop or squash to a square.")] = "crop",
    **how: Annotated[
        Value,
        Fields(
            Recipe,
            ENLARGING,
            renamed={"pictures": "variations"},
            words={"model": "The model to whose side each picture is brought first."},
            defaults={"model": "impressionist-64"},
        ),
    ],
) -> None:
    """Bring pictures to a model's side, and paint them anew at four times that."""
    studio = Studio(Settings.from_environment())
    lab, info = studio.noise_lab, studio.models.describe(how["model"])
    typer.echo(f"each picture is brought to {info.size} px first", err=True)
    sources = {word: source_named(word, info, fit, info.some_label) for word in files}
    taken: set[str] = set()
    for word, source in sources.items():
        run = lab.complete(Denoising.enlarging(how, source, info))
        watch(lab.films.stream(run), lab.network_steps(run.request), word)
        name = Path(word.replace(":", "-")).stem
        stem = next(
            it for it in (name, *(f"{name}-{n}" for n in range(1, len(files)))) if it not in taken
        )
        taken.add(stem)
        for result in lab.films.pictures(run):
            save(out, f"{stem}{result.request.run.size_suffix}.png", result.png())
