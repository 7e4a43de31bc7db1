"""What a person is told when something goes wrong; the rest goes to the server's log."""

import logging
import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import gradio as gr

from app.errors import StudioError
from app.files import FULL, is_disk_full

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)


def explained(error: Exception) -> StudioError:
    """Return `error` as a person may read it; log an unforeseen one in full, tell it in brief."""
    if isinstance(error, StudioError):
        return error
    if isinstance(error, gr.Error):
        # From ZeroGPU: that a visitor's share is used up, say. Its messages are HTML with links.
        told = f"{error.title}: {re.sub(r'<[^>]*>', '', error.message)}."
        return StudioError(told, "Try again later, or ask for less.")
    _log.error("a request failed", exc_info=error)
    if is_disk_full(error):
        return StudioError(*FULL)
    return StudioError("The studio could not finish this.", "Try again; the server's log says why.")


def errors_to_page(handler: Callable[P, R]) -> Callable[P, R]:
    """Wrap `handler` so that its errors tell the page or caller what happened, and what to do."""

    @wraps(handler)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            # All in one text: the page shows no title, and a caller gets none. The page shows the
            # text as HTML, and a name in the text must not become markup.
            text = str(explained(error)).replace("<", "&lt;")
            raise gr.Error(text, duration=12, print_exception=False) from error

    return wrapped
