"""`python -m app push`: publish a model of one's own on the Hub."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[str, typer.Argument(help="A model's id, or its folder.")],
    target: Annotated[str, typer.Argument(help="owner/name on the Hub.")],
    licence: Annotated[str, typer.Option(help="By default the base model's.")] = "",
    private: Annotated[bool, typer.Option(help="Only you can see it.")] = False,
    replace: Annotated[bool, typer.Option(help="A repository of that name may change.")] = False,
    yes: Annotated[bool, typer.Option(help="Don't ask.")] = False,
) -> None:
    """Show what would be public, ask, and publish it on the account that HF_TOKEN belongs to."""
    from app.hub.publish import HubPublisher
    from app.models.files import ModelFiles
    from app.painting.painter import Painter
    from app.settings import Settings
    from app.studio import StudioModels

    models = StudioModels(Settings.from_environment())
    publisher = HubPublisher(Painter(models))
    folder = Path(model)
    files = ModelFiles(folder.resolve().name, folder) if folder.is_dir() else models.find(model)
    how = {"private": private, "replace": replace}
    publication = publisher.preview(files, target, licence=licence, **how)
    typer.echo(publication.card)
    for file in publication.files:
        typer.echo(f"{file.size:>12,}  {file.path}")
    typer.echo(publication.in_words)
    if not yes and not typer.confirm("Publish this?"):
        raise typer.Exit(1)
    stream = publisher.push(publication)
    while True:
        try:
            typer.echo(next(stream).in_words, err=True)
        except StopIteration as end:
            typer.echo(end.value)
            return
