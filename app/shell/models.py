"""`python -m app models`: list what can be painted with, and bring models from the Hub."""

from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

if TYPE_CHECKING:
    from app.service.hub.download import HubModels


def command(
    add: Annotated[str, typer.Option(help="owner/name of a model on the Hub: download it.")] = "",
    revision: Annotated[
        str, typer.Option(help="add, remove: a branch, tag, commit or refs/pr/1.")
    ] = "",
    remove: Annotated[str, typer.Option(help="A model that was added: list it no longer.")] = "",
) -> None:
    """List the models, with the sha256 of their weights; add one of the Hub, or forget it."""
    from app.service.hub.download import HubModels
    from app.service.hub.ids import HubId
    from app.service.hub.library import HubLibrary
    from app.service.models import ModelStore
    from app.settings import Settings

    settings = Settings.from_environment()
    models, library = ModelStore.of(settings, "cpu"), HubLibrary(settings.data_dir)
    if add:
        _download(HubModels(library, models), add, revision)
    if remove:
        library.remove(HubId.parse(remove, revision))
    for info in models.list():
        typer.echo(f"{info.summary} · sha256 {models.find(info.id).weights_sha256}")


def _download(hub: "HubModels", name: str, revision: str) -> None:
    with tqdm(unit="B", unit_scale=True, desc=name) as bar:
        for transfer in hub.add(name, revision):
            bar.total = transfer.total
            bar.update(transfer.done - bar.n)
