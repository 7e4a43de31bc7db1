"""Errors as they are told to a person in a shell."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from app.errors import StudioError


@contextmanager
def errors_to_shell() -> Iterator[None]:
    """Print a StudioError as two lines, the message and the hint, and end the process with 1."""
    try:
        yield
    except StudioError as error:
        typer.echo(f"{error.message}\n{error.hint}", err=True)
        sys.exit(1)
