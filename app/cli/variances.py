"""`python -m app variances`: estimate a model's analytic variances, for DDPM in few steps."""

import json
import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from tqdm import tqdm

from app.errors import StudioError


def command(
    model: Annotated[str, typer.Argument(help="A model's id.")],
    data: Annotated[Path, typer.Option(help="A folder of pictures like those it was trained on.")],
    seed: Annotated[int, typer.Option(help="The seed of the noise.")] = 0,
    fit: Annotated[
        Literal["crop", "squash"], typer.Option(help="How training made its pictures square.")
    ] = "squash",
) -> None:
    """Write analytic.json into the model's folder: a number for each t, for ddpm-analytic."""
    from app.datasets.folder import load_reference
    from app.diffusion.analytic import BATCH, eps_squares
    from app.files import replace_file
    from app.images.pixels import to_unit
    from app.models.files import ANALYTIC
    from app.settings import Settings
    from app.studio import Studio

    models = Studio(Settings.from_environment()).models
    info, folder = models.describe(model), models.find(model).folder
    if not os.access(folder, os.W_OK):
        raise StudioError(f"{folder} can't be written.", "Copy the model to a folder of yours.")
    pictures = load_reference(data, info.size, info.channels, BATCH, fit=fit)
    loaded = models.load(model)
    found = eps_squares(
        loaded.denoiser("exact"),
        loaded.schedule,
        loaded.encode(to_unit(pictures.pixels, info.channels)),
        seed=seed,
        condition=loaded.condition(info.some_label, BATCH),
    )
    squares = list(tqdm(found, total=info.num_train_timesteps, unit="t", desc=model))
    written = {"weights": loaded.weights, "pictures": len(pictures.pixels), "eps_square": squares}
    replace_file(folder / ANALYTIC, json.dumps(written).encode())
    typer.echo(f"wrote {folder / ANALYTIC}: {len(squares)} numbers")
