"""Errors as they are told to a person in a shell."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from app.errors import StudioError
from app.files import FULL, is_disk_full


@contextmanager
def errors_to_shell() -> Iterator[None]:
    """Print what a person can act on as two lines, what and what to do; end the process with 1."""
    try:
        yield
    except StudioError as error:
        _end_with(error.message, error.hint)
    except Exception as error:
        if not is_disk_full(error):
            raise
        _end_with(*FULL)


def _end_with(message: str, hint: str) -> NoReturn:
    typer.echo(f"{message}\n{hint}", err=True)
    sys.exit(1)
