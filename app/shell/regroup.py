"""`python -m app regroup`: a copy of a model with another number of groups in its norms."""

from pathlib import Path
from typing import Annotated, Final

import typer

from app.errors import StudioError

MOST: Final = 128
"""Pictures that the copy's norms are fitted on; one number a channel needs no more."""


def command(
    model: Annotated[str, typer.Argument(help="A model's id.")],
    folder: Annotated[Path, typer.Argument(help="Where the copy goes.")],
    groups: Annotated[int, typer.Option(help="Groups of each norm.")],
    data: Annotated[Path, typer.Option(help="A folder of pictures to fit the norms on.")],
) -> None:
    """Write a model whose function is near the old one's, to be trained on.

    With more channels a group a network can learn the mean colour of the noise.
    """
    from dataclasses import replace

    import numpy as np

    from app.diffusion.forward import q_sample
    from app.service.plans import LEAST
    from app.service.studio import Studio
    from app.service.trainees import load_trainee
    from app.settings import Settings
    from app.training.export import export_model
    from app.training.held_out import BATCH, HeldOut
    from app.training.reference import load_pictures, picture_files
    from app.training.regrouping import regroup

    if folder.exists():
        raise StudioError(f"{folder} is there already.", "Name a new folder.")
    picture_files(data, LEAST)
    models = Studio(Settings.from_environment()).models
    info = models.describe(model)
    if info.labels:
        raise StudioError(f"{model} has classes.", "Choose a model without.")
    trainee = load_trainee(models.find(model))
    schedule = trainee.architecture.schedule
    pixels = load_pictures(data, info.size, info.channels, LEAST).pixels
    even = np.linspace(0, len(pixels) - 1, min(MOST, len(pixels))).astype(int)
    noised = HeldOut.made(pixels[even, ..., : info.channels], None, schedule.num_train_timesteps)
    x_t = q_sample(schedule, noised.x_0, noised.t, noised.eps)
    regroup(trainee.network, groups, zip(x_t.split(BATCH), noised.t.split(BATCH), strict=True))
    architecture = replace(trainee.architecture, unet=dict(trainee.network.config))
    export_model(folder, architecture, trainee.network.state_dict(), size=info.size)
    typer.echo(folder)
