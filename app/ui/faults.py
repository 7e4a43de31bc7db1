"""What a person is told when something goes wrong; the rest goes to the server's log."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import gradio as gr

from app.errors import StudioError

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)


def explained(error: Exception) -> StudioError:
    """`error` as a person may read it; what nobody foresaw is logged in full and said in brief."""
    if isinstance(error, StudioError):
        return error
    _log.error("a request failed", exc_info=error)
    return StudioError("The studio could not finish this.", "Try again; the server's log says why.")


def said(handler: Callable[P, R]) -> Callable[P, R]:
    """`handler` of an event of the page, its errors shown as a message: what, and what to do."""

    @wraps(handler)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            fault = explained(error)
            raise gr.Error(
                fault.hint, title=fault.message, duration=12, print_exception=False
            ) from error

    return wrapped


def answered(handler: Callable[P, R]) -> Callable[P, R]:
    """`handler` of a public endpoint: a caller gets what happened and what to do in one text."""

    @wraps(handler)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            raise gr.Error(str(explained(error)), print_exception=False) from error

    return wrapped
