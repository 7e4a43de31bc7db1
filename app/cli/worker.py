"""`python -m app worker`: carry out training jobs."""

from typing import Annotated

import typer


def command(
    until_idle: Annotated[
        bool,
        typer.Option(help="End when there is nothing to do for a minute, or another worker runs."),
    ] = False,
) -> None:
    """Carry out training jobs until SIGTERM; the next worker goes on with what runs."""
    from app.jobs.worker import Worker
    from app.settings import Settings

    settings = Settings.from_environment()
    typer.echo(f"Working on the jobs in {settings.data_dir}.", err=True)
    Worker(settings).run(
        until_idle=until_idle,
        waiting=lambda: typer.echo("Another worker has them; waiting for it to end.", err=True),
    )
