"""`python -m app models`: list what can be painted with."""

import typer


def command() -> None:
    """List the models, with the sha256 of their weights."""
    from app.service.studio import Studio
    from app.settings import Settings

    models = Studio(Settings.from_environment()).models
    for info in models.list():
        typer.echo(f"{info.summary} · sha256 {models.find(info.id).weights_sha256}")
