"""`python -m app index`: write a model's novelty index, of the pictures it was trained on."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from app.errors import StudioError


def command(
    model: Annotated[str, typer.Argument(help="A model's id.")],
    data: Annotated[Path, typer.Option(help="The folder of pictures it was trained on.")],
    held_out: Annotated[
        Path | None, typer.Option(help="A folder of pictures it was never trained on.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="A CSV file with the columns file, artist and title.")
    ] = None,
    fit: Annotated[
        Literal["crop", "squash"], typer.Option(help="How training made its pictures square.")
    ] = "squash",
) -> None:
    """Write novelty.safetensors and novelty.json into the model's folder: features, no pixels."""
    from app.datasets.folder import find_pictures, load_reference
    from app.datasets.labels import paintings
    from app.evaluation.evaluator import LEAST
    from app.novelty.index import ARRAYS, build_index, save_index
    from app.novelty.nearest import model_features
    from app.settings import Settings
    from app.studio import Studio

    models = Studio(Settings.from_environment()).models
    info = models.describe(model)
    files = find_pictures(data, LEAST)
    paintings(files, manifest)
    if held_out:
        find_pictures(held_out, LEAST)
    folder = models.find(model).folder
    if not os.access(folder, os.W_OK):
        raise StudioError(f"{folder} can't be written.", "Copy the model to a folder of yours.")
    typer.echo(f"reading {len(files)} pictures", err=True)
    size, channels = info.size, info.channels
    training = load_reference(data, size, channels, LEAST, fit=fit)
    control = load_reference(held_out, size, channels, LEAST, fit=fit) if held_out else None
    typer.echo("looking at them with the model's own network", err=True)
    loaded = models.load(model)
    index = build_index(
        training.pixels,
        paintings(training.files, manifest),
        model_features(loaded),
        weights=loaded.weights,
        held_out=control.pixels if control else None,
    )
    save_index(index, folder)
    for skipped in training.skipped:
        typer.echo(f"skipped {skipped.name}: {skipped.reason}", err=True)
    megabytes = (folder / ARRAYS).stat().st_size / 1e6
    typer.echo(f"indexed {len(training.files)} pictures in {megabytes:.1f} MB in {folder}")
