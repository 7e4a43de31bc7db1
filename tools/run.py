"""Running a developer's command as `python -m app` runs a user's: same options, same errors."""

from collections.abc import Callable

import typer

from app.cli.errors import errors_to_shell
from app.settings import spin_briefly


def run(command: Callable[..., None]) -> None:
    """Parse the process's arguments by the signature of `command`, and call `command`."""
    spin_briefly()
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    alone.command()(command)
    with errors_to_shell():
        alone()
