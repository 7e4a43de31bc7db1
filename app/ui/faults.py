"""The one place where the service's errors become messages on the page."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import gradio as gr

from app.errors import StudioError

P = ParamSpec("P")
R = TypeVar("R")


def said(handler: Callable[P, R]) -> Callable[P, R]:
    """`handler`, with a StudioError shown as a message: what happened, and what to do."""

    @wraps(handler)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except StudioError as error:
            raise gr.Error(
                error.hint, title=error.message, duration=12, print_exception=False
            ) from error

    return wrapped
