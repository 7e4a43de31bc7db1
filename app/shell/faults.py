"""What a person in a shell is told when something can't be done."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from app.errors import StudioError


@contextmanager
def told() -> Iterator[None]:
    """Say in two lines what happened and what to do, and end the process with 1."""
    try:
        yield
    except StudioError as error:
        typer.echo(f"{error.message}\n{error.hint}", err=True)
        sys.exit(1)
