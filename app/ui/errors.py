"""What a person is told when something goes wrong; the rest goes to the server's log."""

import logging
import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import gradio as gr
from gradio.exceptions import InvalidPathError

from app.errors import StudioError, UploadError
from app.files import FULL, is_disk_full

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)


def no_upload() -> UploadError:
    """Return what is told of a file that the caller names and didn't upload."""
    return UploadError(
        "That is no uploaded file.", "Upload the picture first, as handle_file does."
    )


def explained(error: Exception) -> StudioError:
    """Return `error` as a person may read it; log an unforeseen one in full, tell it in brief."""
    if isinstance(error, StudioError):
        return error
    if isinstance(error, gr.Error):
        # From ZeroGPU: that a visitor's share is used up, say. Its messages are HTML with links.
        told = f"{error.title}: {re.sub(r'<[^>]*>', '', error.message)}."
        return StudioError(told, "Try again later, or ask for less.")
    if isinstance(error, InvalidPathError):  # Its words name the folders of this machine.
        return no_upload()
    if is_disk_full(error):
        _log.error("the disk is full: %s", error)
        return StudioError(*FULL)
    _log.error("a request failed", exc_info=error)
    return StudioError("The studio could not finish this.", "Try again; the server's log says why.")


def errors_to_page(handler: Callable[P, R]) -> Callable[P, R]:
    """Wrap `handler` so that its errors tell the page or caller what happened, and what to do."""

    @wraps(handler)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            raise page_error(error) from error

    return wrapped


def page_error(error: Exception) -> gr.Error:
    """Return the error by which Gradio tells the page or a caller what `explained` says."""
    # All in one text: the page shows no title, and a caller gets none. The page shows the text as
    # HTML, and a name in the text must not become markup.
    text = str(explained(error)).replace("<", "&lt;")
    return gr.Error(text, duration=12, print_exception=False)
