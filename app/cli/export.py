"""`python -m app export`: make a model of weights that a training run kept."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    folder: Annotated[Path, typer.Argument(help="Where the model goes.")],
    weights: Annotated[str, typer.Option(help="raw, ema-0.050, ...")] = "ema-0.050",
    step: Annotated[int | None, typer.Option(help="By default the newest checkpoint's.")] = None,
    fp16: Annotated[bool, typer.Option(help="Store the weights in fp16.")] = False,
) -> None:
    """Write a model folder from a checkpoint or a snapshot of a run."""
    from app.training.export import export_choice

    export_choice(run, folder, weights=weights, step=step, half=fp16)
    typer.echo(folder)
