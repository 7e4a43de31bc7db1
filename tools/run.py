"""Running a developer's command as `python -m app` runs a user's: same options, same errors."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

import typer

from app.cli.errors import errors_to_shell
from app.settings import spin_briefly


def run(command: Callable[..., None]) -> None:
    """Parse the process's arguments by the signature of `command`, and call `command`."""
    spin_briefly()
    for number in (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
        signal.signal(number, _leave)
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    alone.command()(command)
    with errors_to_shell():
        alone()


def _leave(number: int, _: FrameType | None) -> None:
    """Leave as at Ctrl-C: by an exception, so that what was started is ended on the way."""
    sys.exit(128 + number)
