"""`python -m app models`: list what can be painted with, and bring models from the Hub."""

from typing import Annotated

import typer
from tqdm import tqdm


def command(
    add: Annotated[str, typer.Option(help="owner/name of a model on the Hub: download it.")] = "",
    revision: Annotated[
        str, typer.Option(help="add, remove: a branch, tag, commit or refs/pr/1.")
    ] = "",
    remove: Annotated[str, typer.Option(help="A model that was added: list it no longer.")] = "",
) -> None:
    """List the models, with the sha256 of their weights; add one of the Hub, or forget it.

    Folders that can't be used are named on stderr, with the reason.
    """
    from app.hub.download import HubModels
    from app.hub.library import HubLibrary
    from app.hub.repository import HubId
    from app.settings import Settings
    from app.studio import StudioModels

    settings = Settings.from_environment()
    models, library = StudioModels(settings, "cpu"), HubLibrary(settings.data_dir)
    if add:
        with tqdm(unit="B", unit_scale=True, desc=add) as bar:
            for transfer in HubModels(library, models).add(add, revision):
                bar.total = transfer.total
                bar.update(transfer.done - bar.n)
    if remove:
        library.remove(HubId.parse(remove, revision))
    for info in models.list():
        typer.echo(f"{info.summary} · sha256 {models.find(info.id).weights_sha256}")
    for fault in models.faults():
        typer.echo(f"{fault.message} {fault.hint}", err=True)
